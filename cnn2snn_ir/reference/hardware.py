"""Reference semantics of what the layers of both generations share."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects.hardware import DequantizerLayer, InputLayer, LinearQuantizerLayer, QuantizerLayer
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.reference.arithmetic import Array, Ints, quantize_linear, saturate, values


def as_map(x: Ints) -> Ints:
    """Samples of fewer than 3 dimensions get leading ones."""
    return x.reshape(len(x), *(1,) * (4 - x.ndim), *x.shape[1:])


def unreverse(weights: Tensor) -> Ints:
    """A kernel stored with both spatial axes reversed, as it slides over the map."""
    return weights.int64[::-1, ::-1]


def input_data(op: InputLayer, x: Ints) -> Ints:
    """The same integers, as a map."""
    return as_map(x)


def quantizer(op: QuantizerLayer, x: Array) -> Ints:
    """Scaled and rounded half to even, saturated, offset, saturated; NaN is 0."""
    scaled = np.rint(x.astype(np.float64) * op.scales.array.astype(np.float64))
    bounded = np.clip(np.nan_to_num(scaled, nan=0.0), op.to.lo, op.to.hi)
    return as_map(saturate(bounded.astype(np.int64) + values(op.zero_points), op.to))


def linear_quantizer(op: LinearQuantizerLayer, x: Array) -> Ints:
    """Divided, rounded half to even, offset, saturated."""
    return as_map(quantize_linear(x, op.scales.array, values(op.zero_points), op.to))


def dequantizer(op: DequantizerLayer, x: Ints) -> Array:
    """One rounding to float32, one product."""
    result: Array = x.astype(np.float32) * op.scales.array
    return result
