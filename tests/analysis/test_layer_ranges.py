"""Positions of a layer's windows, and the ranges of what it sums up."""

import numpy as np
import pytest

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.layer_ranges import conv_positions, layer_ranges
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Tensor, si


@pytest.mark.parametrize("padding", Padding)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), [(7, 8), (8, 9), (9, 7)])
def test_windows_are_counted_as_the_result_has_them(rows, columns, stride, padding):
    x = builtin.Input((rows, columns, 2), si(8)).result
    weights = Tensor.of(np.ones((3, 3, 2, 4), np.int64), si(8), "kernel")
    layer = akida2.Conv2D(x, weights, stride=stride, padding=padding)
    assert conv_positions(layer) == layer.result.type.shape[1:3]


def test_a_dense_layer_knows_the_channel_of_each_of_its_inputs():
    """A flattened map has the range of its channels again at every position."""
    x = builtin.Input((2, 3, 2), si(8)).result
    weights = np.random.default_rng(0).integers(-8, 8, (12, 4))
    dense = akida2.Dense1D(x, Tensor.of(weights, si(8)), acc=si(32), to=None)
    lo, hi = np.array([0, -3]), np.array([100, 5])
    found = layer_ranges(dense, Range.of(lo, hi)).dot
    ends = np.stack([weights * np.tile(bound, 6)[:, None] for bound in (lo, hi)])
    assert np.array_equal(found.lo, ends.min(axis=0).sum(axis=0))
    assert np.array_equal(found.hi, ends.max(axis=0).sum(axis=0))
