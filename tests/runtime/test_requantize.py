"""The folded formula against the stages it stands for, on accumulators far beyond what small networks reach."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.analysis.interval import Range, integers
from cnn2snn_ir.analysis.layer_ranges import layer_ranges
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.ir import Tensor, si, ui
from cnn2snn_ir.reference.akida2 import activate, output, with_bias
from cnn2snn_ir.runtime.requantize import Rescale, fold

BYTES = st.integers(0, 255)


def scalar(draw, low, high, element):
    return draw(st.none() | st.integers(low, high).map(lambda v: Tensor.of(v, element)))


@st.composite
def layers(draw):
    """A layer with one filter and every combination of variables."""
    x = builtin.Input((1,), si(8)).result
    bias = scalar(draw, -128, 127, si(8))
    activation = draw(st.sampled_from([Activation.NONE, Activation.RELU]))
    bound = scalar(draw, 0, 255, ui(8)) if activation is Activation.RELU else None
    to = draw(st.sampled_from([None, si(8), ui(4), ui(8), si(16)]))
    return akida2.Dense1D(
        x,
        Tensor.of([[1]], si(8)),
        bias=bias,
        bias_shift=scalar(draw, 0, 20, ui(8)) if bias else None,
        activation=activation,
        max_value=bound,
        max_value_shift=scalar(draw, 0, 19, ui(8)) if bound else None,
        output_scales=scalar(draw, 0, 255, ui(8)) if to else None,
        output_shift=scalar(draw, -30, 6, si(8)) if to else None,
        acc=draw(st.sampled_from([si(28), si(20), si(32)])),
        post_op=draw(st.sampled_from([si(33), si(24)])),
        to=to,
    )


def interesting(draw, top):
    """Accumulators: random, small, powers of two and their neighbours, both ends."""
    random = draw(st.lists(st.integers(-top, top), min_size=5, max_size=40))
    powers = [s * (2**k + d) for k in range(top.bit_length() - 1) for s in (-1, 1) for d in (-1, 0, 1)]
    return np.array([*random, *range(-20, 20), *powers, -top, top], np.int64)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_folding_is_exact(data):
    op = data.draw(layers())
    top = 2 ** data.draw(st.integers(8, 31)) - 1
    dots = interesting(data.draw, top)
    ranges = layer_ranges(op, Range.full(si(8)))._replace(dot=Range.of(-top, top))
    (formula,) = fold(op, ranges).formulas
    expected = output(op, activate(op, with_bias(op, dots)))

    assert formula.fits_int64
    bias, lo, hi, factor, half, shift, least, most = formula.constants(1).reshape(8)
    dtype = formula.dtype
    event(f"{dtype}, ends in range: {formula.ends_in_range}")
    with np.errstate(over="raise"):
        product = np.clip(dots.astype(dtype) + bias, lo, hi) * factor + half
    found = product >> shift
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.clip(found, least, most), expected)
    if formula.ends_in_range:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("factor", "monotone"), [(3, True), (0, True), ([2, 0], True), ([2, -1], False), (-1, False)])
def test_a_rescale_is_monotone_if_no_factor_is_negative(factor, monotone):
    rescale = dataclasses.replace(Rescale.none(-8, 7), factor=integers(factor))
    assert rescale.monotone is monotone
