"""Positions of a layer's windows."""

import numpy as np
import pytest

from cnn2snn_ir.analysis.layer_ranges import conv_positions
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
