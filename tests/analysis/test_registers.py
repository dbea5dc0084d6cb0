"""Threshold synthesis against brute force, and the exactness of what it says."""

import itertools
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.occurrence import UNSEEN, Occurrence
from cnn2snn_ir.analysis.potentials import potentials
from cnn2snn_ir.analysis.registers import (
    MANTISSA_BITS,
    UNIT,
    Limits,
    in_grains,
    level_errors,
    moved_potentials,
    simplest,
    synthesize,
)
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Tensor, si
from cnn2snn_ir.reference.arithmetic import fire, level_boundaries

ONE = np.array([1])
WIDE = Limits(2**31 - 1, 2**24)


class Uniform:
    """Every potential occurs as often as any other."""

    def __init__(self, lo, hi):
        self.lo, self.hi = lo, hi

    def below(self, channel, bounds):
        return (np.clip(bounds, self.lo[channel], self.hi[channel] + 1) - self.lo[channel]).astype(np.float64)


@st.composite
def wishes(draw, largest=24):
    """Boundaries that never decrease, of 1, 2 or 4 bits, inside and outside of a small range."""
    bits = draw(st.sampled_from([1, 2, 4]))
    lo = draw(st.integers(-largest, largest))
    hi = lo + draw(st.integers(0, largest))
    count = 2**bits - 1
    straight = draw(st.booleans())
    if straight:
        first, step = draw(st.integers(lo - largest, hi)), draw(st.fractions(0, 6, max_denominator=20))
        start = draw(st.fractions(0, 1, max_denominator=9))
        wanted = [first + floor(start + k * step) for k in range(count)]
    else:
        wanted = sorted(draw(st.lists(st.integers(lo - 5, hi + 6), min_size=count, max_size=count)))
    return bits, lo, hi, np.array(wanted, np.int64)


def levels(boundaries, lo, hi):
    """The level of every potential in reach."""
    return (np.arange(lo, hi + 1)[:, None] >= boundaries).sum(axis=1)


def test_grains_are_play():
    """Boundaries between which no straight line of integers fits, and one of thirds does."""
    wanted = np.array([0, 2, 3])  # 0.9, 2.1 and 3.3, rounded up, less 1
    assert levels(realized(2, -9, 9, wanted), -9, 9).tolist() != levels(wanted, -9, 9).tolist()
    assert levels(realized(2, -9, 9, wanted, grain=3), -9, 9).tolist() == levels(wanted, -9, 9).tolist()


@settings(max_examples=200, deadline=None)
@given(wishes(largest=60), st.integers(2, 7))
def test_a_grain_never_makes_it_worse(wish, grain):
    bits, lo, hi, wanted = wish
    finer, plain = (
        np.abs(levels(realized(bits, lo, hi, wanted, g), lo, hi) - levels(wanted, lo, hi)) for g in (grain, 1)
    )
    assert finer.sum() <= plain.sum()


def best(bits, lo, hi, wanted):
    """The fewest level errors of any threshold and any step, by trying all that differ."""
    count, width = 2**bits - 1, hi - lo + 1
    target = levels(np.clip(wanted, lo, hi + 1), lo, hi)
    steps = sorted({Fraction(m, k) for k in range(1, max(count, 2)) for m in range(width * k + 2)})
    found = width * count
    for step in steps:
        offsets = np.array([floor(k * step) for k in range(count)])
        for threshold in range(lo - 1 - int(offsets[-1]), hi + 1):
            found = min(found, int(np.abs(levels(threshold + offsets + 1, lo, hi) - target).sum()))
    return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 2, 2, 4]), st.data())
def test_no_two_registers_do_better(bits, data):
    """For what folding gives: levels on a straight line, up to the level where a bounded ReLU ends."""
    reach = 3 if bits == 4 else 8
    lo = data.draw(st.integers(-reach, reach))
    hi = lo + data.draw(st.integers(0, 2 * reach))
    first, start = data.draw(st.integers(lo - reach, hi)), data.draw(st.fractions(0, 1, max_denominator=9))
    step, last = data.draw(st.fractions(0, 4, max_denominator=9)), data.draw(st.integers(1, 2**bits - 1))
    line = [first + floor(start + k * step) for k in range(2**bits - 1)]
    wanted = np.array([t if k < last else max(hi + 1, *line) for k, t in enumerate(line)], np.int64)
    errors = np.abs(levels(realized(bits, lo, hi, wanted), lo, hi) - levels(wanted, lo, hi)).sum()
    assert errors == best(bits, lo, hi, wanted)


def realized(bits, lo, hi, wanted, grain=1, limits=WIDE):
    bounds = np.array([lo]), np.array([hi])
    registers = synthesize(wanted[None], *bounds, np.array([grain]), limits, Uniform(*bounds))
    return in_grains(level_boundaries(registers.threshold, registers.act_step(bits), bits), np.array([grain]))[0]


@settings(max_examples=300, deadline=None)
@given(wishes(largest=3000))
def test_what_is_said_to_differ_differs_and_nothing_else(wish):
    bits, lo, hi, wanted = wish
    found = realized(bits, lo, hi, wanted)
    apart = levels(found, lo, hi) - levels(wanted, lo, hi)
    count, off_by = level_errors(wanted[None], found[None], np.array([lo]), np.array([hi]))
    assert (count[0], off_by[0]) == ((apart != 0).sum(), np.abs(apart).max())
    spans = moved_potentials(wanted, found, lo, hi)
    assert [p for a, b in spans for p in range(a, b + 1)] == (np.flatnonzero(apart) + lo).tolist()
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(spans))


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-(2**20), 2**20),
    st.fractions(Fraction(1, 100), 3000),
    st.integers(0, 2**20),
    st.sampled_from([1, 2, 4]),
)
def test_boundaries_of_two_registers_are_found_again(threshold, step, reach, bits):
    """What a neuron can do is done exactly, wherever the range of potentials ends."""
    offsets = [floor(k * step) for k in range(2**bits - 1)]
    wanted = np.array([threshold + offset + 1 for offset in offsets], np.int64)
    for lo, hi in ((threshold - 5, threshold + 5 + reach), (threshold + reach // 3, threshold + reach)):
        found = realized(bits, lo, hi, wanted)
        assert level_errors(wanted[None], found[None], np.array([lo]), np.array([hi]))[0] == 0


@settings(max_examples=200, deadline=None)
@given(wishes(largest=10**6), st.integers(1, 1000), st.integers(1, 1000))
def test_registers_stay_within_their_limits(wish, threshold, step):
    _, lo, hi, wanted = wish
    bounds = np.array([lo]), np.array([hi])
    registers = synthesize(wanted[None], *bounds, ONE, Limits(threshold, step), Uniform(*bounds))
    assert abs(registers.threshold[0]) <= threshold
    assert 0 < registers.act_step(4)[0] <= step
    assert registers.act_step(4).dtype == np.float32


@settings(max_examples=300, deadline=None)
@given(st.integers(1, UNIT * 2**20), st.integers(1, UNIT))
def test_the_simplest_step_lies_in_its_interval(lower, width):
    found = simplest(lower, lower + width)
    if found is None:
        return
    numerator, exponent = found
    assert Fraction(lower, UNIT) <= Fraction(numerator, 2**exponent) < Fraction(lower + width, UNIT)
    assert numerator.bit_length() <= MANTISSA_BITS
    if exponent:  # half as fine a step is no number of the interval
        assert simplest_of(exponent - 1, lower, width) is None


def simplest_of(exponent, lower, width):
    numerator = -(-lower * 2**exponent // UNIT)
    return numerator if numerator * UNIT < (lower + width) * 2**exponent else None


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-(2**31), 2**31),
    st.floats(2.0**-40, 2.0**40, width=32),
    st.sampled_from([1, 2, 4]),
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20),
)
def test_levels_are_exact(threshold, act_step, bits, potentials):
    """The formula of the dialect, in rational numbers."""
    step = Fraction(float(np.float32(act_step))) * 2 ** (4 - bits)
    expected = [min(max(-floor(-(p - threshold) / step), 0), 2**bits - 1) for p in potentials]
    found = fire(np.array(potentials)[:, None], np.array([threshold]), np.array([act_step], np.float32), bits)
    assert found[:, 0].tolist() == expected


def test_common_potentials_keep_their_level():
    """With one wish too many for a straight line, what occurs decides what is right."""
    wanted = np.array([[0, 10, 30]])
    lo, hi = np.array([-50]), np.array([50])
    for common, broken in ((25, False), (12, False), (9, False)):
        seen = np.full((100, 1), common)
        registers = synthesize(wanted, lo, hi, ONE, WIDE, Occurrence(seen, lo, hi))
        found = level_boundaries(registers.threshold, registers.act_step(2), 2)[0]
        assert (levels(found, common, common) != levels(wanted[0], common, common)).any() == broken


@pytest.mark.parametrize("seen", [[5] * 100, list(range(-40, 41)), [3] * 50 + list(range(50))])
def test_occurrence_is_a_measure(seen):
    lo, hi = np.array([-50]), np.array([50])
    occurrence = Occurrence(np.array(seen)[:, None], lo, hi)
    weights = occurrence.below(0, np.arange(-60, 61))
    assert (np.diff(weights) >= 0).all()
    assert weights[0] == weights[10]
    assert weights[-1] - weights[0] == pytest.approx(1, abs=0.01)


def test_what_was_never_seen_falls_off_alike_on_both_sides_of_the_median():
    seen = np.arange(11)[:, None]
    occurrence = Occurrence(seen, np.array([-1000]), np.array([1000]))
    below, above = occurrence.below(0, np.array([5 - 200, 6 + 200]))
    assert 0 < below < UNSEEN / 2
    assert below + above == pytest.approx(1 + UNSEEN, abs=1e-12)


def test_a_layer_of_another_chip_has_no_potentials_here():
    x = builtin.Input((4,), si(8)).result
    layer = akida2.Dense1D(x, Tensor.of(np.ones((4, 3), np.int64), si(8)))
    with pytest.raises(TypeError, match="has no potentials"):
        potentials(layer, Range.of(-8, 7))
