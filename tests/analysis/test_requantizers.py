"""Requantizers against brute force: what a layer does with its variables, and what is said about the difference."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.analysis.registers import level_errors
from cnn2snn_ir.analysis.requantizers import (
    Requantizer,
    as_bytes,
    as_mantissa,
    candidates,
    fit,
    wanted_boundaries,
)
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.ir import F64, Tensor, si
from cnn2snn_ir.reference.arithmetic import shift_round
from cnn2snn_ir.reference.rounding import rescale


def line(zero, step, rounding=Rounding.HALF_EVEN, limits=(-128, 127)):
    """What `rescale` reads of a `qnn.rescale`."""
    tensor = lambda x: Tensor.of(np.asarray(x, np.float64), F64, "t")  # noqa: E731
    return SimpleNamespace(zero=tensor(zero), step=tensor(step), offset=None, limits=limits, rounding=rounding)


def outputs(found: Requantizer, potentials, positions):
    """A layer's results before saturation [n, channels], computed as the chip does."""
    sums = potentials + (found.bias << found.bias_shift) * positions
    return shift_round(sums * found.mantissa, found.shift)


lines = st.tuples(st.floats(-3000, 3000), st.floats(0.02, 500), st.sampled_from(Rounding))


@settings(max_examples=150, deadline=None)
@given(lines, st.integers(-2000, 0), st.integers(0, 2000))
def test_wanted_boundaries_are_where_levels_begin(drawn, lo, hi):
    op = line([drawn[0]], [drawn[1]], drawn[2])
    levels = np.arange(-127, 128)
    found = wanted_boundaries(lambda p: rescale(op, p), levels, np.array([lo]), np.array([hi]))[0]
    potentials = np.arange(lo, hi + 1)
    reached = rescale(op, potentials[:, None])[:, 0]
    for level, boundary in zip(levels, found, strict=True):
        assert boundary == next((p for p, r in zip(potentials, reached, strict=True) if r >= level), hi + 1)


@settings(max_examples=150, deadline=None)
@given(st.integers(-128, 127), st.integers(0, 6), st.integers(0, 255), st.integers(-20, 3), st.sampled_from([0, 1, 4]))
def test_boundaries_are_where_the_layer_reaches_levels(bias, bias_shift, mantissa, shift, positions):
    found = Requantizer(*(np.array([n]) for n in (bias, bias_shift, mantissa, shift)))
    potentials, levels = np.arange(-3000, 3001)[:, None], np.arange(-127, 128)
    reached = (outputs(found, potentials, positions)[:, :, None] >= levels).sum(axis=2)
    boundaries = found.boundaries(levels, positions)[0]
    assert ((potentials[:, :, None] >= boundaries).sum(axis=2) == reached).all()


@settings(max_examples=150, deadline=None)
@given(lines, st.integers(-3000, 0), st.integers(0, 3000), st.sampled_from([1, 4]))
def test_what_is_said_to_be_off_is_off_and_nothing_else(drawn, lo, hi, positions):
    op = line([drawn[0]], [drawn[1]], drawn[2])
    levels, lows, highs = np.arange(-127, 128), np.array([lo]), np.array([hi])
    wanted = wanted_boundaries(lambda p: rescale(op, p), levels, lows, highs)
    fitted = fit(wanted, levels, np.array([drawn[0]]), np.array([drawn[1]]), lows, highs, positions)
    potentials = np.arange(lo, hi + 1)[:, None]
    given = np.clip(outputs(fitted.found, potentials, positions), -128, 127)
    apart = np.abs(given - rescale(op, potentials))
    assert (fitted.differing[0], fitted.off_by[0]) == ((apart > 0).sum(), apart.max())


def test_no_candidate_is_better():
    """Of each channel the best is kept, whichever came first."""
    random = np.random.default_rng(0)
    zero, step = random.normal(0, 900, 12), np.exp(random.uniform(0, 4, 12))
    op, levels = line(zero, step), np.arange(-127, 128)
    lows, highs = np.full(12, -3000), np.full(12, 3000)
    wanted = wanted_boundaries(lambda p: rescale(op, p), levels, lows, highs)
    fitted = fit(wanted, levels, zero, step, lows, highs)
    firsts = []
    for found in candidates(zero, step, 1):
        given = np.clip(found.boundaries(levels, 1), lows[:, None], highs[:, None] + 1)
        differing, _ = level_errors(wanted, given, lows, highs)
        assert (fitted.differing <= differing).all()
        firsts.append(differing)
    assert (fitted.differing < firsts[0]).any(), "otherwise the first would do"


def test_reals_that_fit_no_integer_are_clipped_and_no_others():
    far = 2**62
    op = line(0.0, 1.0, limits=(-far, far))
    found = rescale(op, np.array([3.0 * 2**60, 2.0**62, 2.0**63, 1e300, -3.0 * 2**60, -1e300]))
    assert list(found) == [3 * 2**60, far, far, far, -3 * 2**60, -far]


def test_an_offset_is_added_behind_the_rounding_and_in_front_of_the_limits():
    op = line(1.0, 2.0)
    op.offset = Tensor.of(np.array([0, 100, -100]), si(16), "offset")
    assert rescale(op, np.array([[5.9, 5.9, 5.9], [61.0, 61.0, 61.0]])).tolist() == [[2, 102, -98], [30, 127, -70]]


@settings(max_examples=200, deadline=None)
@given(st.integers(-128, 127), st.integers(0, 5), st.integers(128, 255), st.integers(-16, -2))
def test_what_a_layer_can_do_is_done_exactly(bias, bias_shift, mantissa, shift):
    """The line of any requantizer, rounded as the chip rounds, has no potential on a wrong level."""
    zero, step = -float(bias << bias_shift), 2.0**-shift / mantissa
    op = line([zero], [step], Rounding.HALF_CEIL)
    levels, lows, highs = np.arange(-127, 128), np.array([-4000]), np.array([4000])
    wanted = wanted_boundaries(lambda p: rescale(op, p), levels, lows, highs)
    fitted = fit(wanted, levels, np.array([zero]), np.array([step]), lows, highs)
    ties = (
        abs(np.remainder((np.arange(-4000, 4001) - zero) / step, 1) - 0.5) < 1e-9
    )  # float64 may round them either way
    assert fitted.differing[0] <= ties.sum()


@given(st.floats(-1e9, 1e9))
def test_bytes_are_as_near_as_eight_bits_can_be(value):
    mantissa, shift = (int(found[0]) for found in as_bytes(np.array([value])))
    assert -127 <= mantissa <= 127
    assert abs((mantissa << shift) - value) <= max(2.0**shift / 2, 0.5)
    assert shift == 0 or abs(mantissa) >= 63


@given(st.floats(1e-7, 1e7))
def test_a_mantissa_has_eight_bits(slope):
    mantissa, shift = (int(found[0]) for found in as_mantissa(np.array([slope])))
    assert 128 <= mantissa <= 255
    assert abs(mantissa * 2.0**shift / slope - 1) <= 2**-8


def test_a_channel_without_weights_gives_its_bias():
    """Sums that are always 0 leave one potential to get right."""
    op = line([-50.0], [10.0])
    levels, zero = np.arange(-127, 128), np.zeros(1, np.int64)
    wanted = wanted_boundaries(lambda p: rescale(op, p), levels, zero, zero)
    fitted = fit(wanted, levels, np.array([-50.0]), np.array([10.0]), zero, zero)
    assert fitted.differing[0] == 0
    assert si(8).contains(fitted.found.bias)
