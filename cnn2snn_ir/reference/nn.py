"""Reference semantics of `nn`.

Layers compute in float64 and give float64: sums of integers are exact, and a level does not depend on the order in
which something was added up.  All other ops keep the precision of their operands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.reference.arithmetic import Array, scatter, windows
from cnn2snn_ir.reference.functions import FUNCTIONS
from cnn2snn_ir.reference.rounding import ROUNDINGS
from cnn2snn_ir.reference.semantics import meaning_of

Reals = npt.NDArray[np.float64]


def reals(tensor: Tensor | None, default: float = 0.0) -> Reals:
    """A constant as float64, or a scalar `default` if there is none."""
    return np.array(default) if tensor is None else tensor.array.astype(np.float64)


@meaning_of(nn.Softmax)
def softmax(op: nn.Softmax, x: Array) -> Array:
    powers = np.exp(x - x.max(axis=op.axis, keepdims=True))
    result: Array = powers / powers.sum(axis=op.axis, keepdims=True)
    return result


@meaning_of(nn.Activation)
def activation(op: nn.Activation, x: Array) -> Array:
    return FUNCTIONS[op.function](x, op.alpha or 0.0).astype(x.dtype)


@meaning_of(nn.ReLU)
def relu(op: nn.ReLU, x: Array) -> Array:
    positive: Array = np.maximum(x, x.dtype.type(0))
    return positive if op.max_value is None else np.minimum(positive, x.dtype.type(op.max_value))


# ---- layers with weights ----------------------------------------------------------------------------------------


@meaning_of(nn.Conv2D)
def conv2d(op: nn.Conv2D, x: Array) -> Reals:
    height, width, channels, filters = op.weights.array.shape
    patches = windows(x.astype(np.float64), (height, width), op.strides, op.padding, op.dilation)
    rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels)
    sums = (rows @ reals(op.weights).reshape(-1, filters)).reshape(*patches.shape[:3], filters)
    return scaled(op, sums) + reals(op.bias)


@meaning_of(nn.DepthwiseConv2D)
def depthwise_conv2d(op: nn.DepthwiseConv2D, x: Array) -> Reals:
    height, width, _ = op.weights.array.shape
    patches = windows(x.astype(np.float64), (height, width), op.strides, op.padding, op.dilation)
    return scaled(op, np.einsum("nhwcij,ijc->nhwc", patches, reals(op.weights))) + reals(op.bias)


@meaning_of(nn.Conv2DTranspose)
def conv2d_transpose(op: nn.Conv2DTranspose, x: Array) -> Reals:
    wide, weights = x.astype(np.float64), reals(op.weights)
    sums = scatter(wide, weights.shape[:2], weights.shape[3], op.strides, op.padding, lambda i, j: wide @ weights[i, j])
    return scaled(op, sums) + reals(op.bias)


@meaning_of(nn.DepthwiseConv2DTranspose)
def depthwise_conv2d_transpose(op: nn.DepthwiseConv2DTranspose, x: Array) -> Reals:
    wide, weights = x.astype(np.float64), reals(op.weights)
    sums = scatter(wide, weights.shape[:2], weights.shape[2], op.strides, op.padding, lambda i, j: wide * weights[i, j])
    return scaled(op, sums) + reals(op.bias)


@meaning_of(nn.Dense)
def dense(op: nn.Dense, x: Array) -> Array:
    if op.weight_scale is None:  # a float layer, in the precision of its input
        product: Array = x @ op.weights.array
        return product if op.bias is None else product + op.bias.array
    return scaled(op, x.astype(np.float64) @ reals(op.weights)) + reals(op.bias)


def scaled(op: Any, sums: Reals) -> Reals:
    """Sums of products with stored weights, in the unit of the real ones."""
    return sums / reals(op.weight_scale, 1.0)


@meaning_of(nn.BatchNorm)
def batch_norm(op: nn.BatchNorm, x: Array) -> Reals:
    slope = reals(op.gamma) / np.sqrt(reals(op.variance) + op.epsilon)
    return (x - reals(op.mean)) * slope + reals(op.beta)


@meaning_of(nn.Affine)
def affine(op: nn.Affine, x: Array) -> Reals:
    return x * reals(op.scale) + reals(op.offset)


@meaning_of(nn.FakeQuantize)
def fake_quantize(op: nn.FakeQuantize, x: Array) -> Reals:
    zero, (low, high) = reals(op.zero_point), op.limits
    levels = np.clip(ROUNDINGS[op.rounding](x.astype(np.float64) / reals(op.scale)) + zero, low, high)
    return (levels - zero) * reals(op.scale)


# ---- activations and pooling ------------------------------------------------------------------------------------


@meaning_of(nn.QuantizedReLU)
def quantized_relu(op: nn.QuantizedReLU, x: Array) -> Array:
    """The level is the number of boundaries below `x`; on one, the level does not count it."""
    boundaries = (np.arange(1, 1 << op.bits) - 0.5) * op.step
    return np.searchsorted(boundaries, x, side="left") * op.step


@meaning_of(nn.MaxPool)
def max_pool(op: nn.MaxPool, x: Array) -> Array:
    found: Array = windows(x, op.size, op.strides, op.padding, fill=-np.inf).max(axis=(4, 5))
    return found


@meaning_of(nn.AveragePool)
def average_pool(op: nn.AveragePool, x: Array) -> Reals:
    found = windows(x.astype(np.float64), op.size, op.strides, op.padding).sum(axis=(4, 5))
    inside = windows(np.ones((1, *x.shape[1:3], 1)), op.size, op.strides, op.padding).sum(axis=(4, 5))
    result: Reals = found / inside
    return result


@meaning_of(nn.GlobalAveragePool)
def global_average_pool(op: nn.GlobalAveragePool, x: Array) -> Reals:
    found: Reals = x.astype(np.float64).mean(axis=(1, 2), keepdims=op.keepdims)
    return found


# ---- between layers ---------------------------------------------------------------------------------------------


@meaning_of(nn.Add)
def add(op: nn.Add, a: Array, b: Array) -> Array:
    total: Array = a + b
    return total


@meaning_of(nn.Concat)
def concat(op: nn.Concat, *parts: Array) -> Array:
    return np.concatenate(parts, axis=op.axis)


@meaning_of(nn.Pad)
def pad(op: nn.Pad, x: Array) -> Array:
    return np.pad(x, ((0, 0), op.rows, op.columns, (0, 0)), constant_values=op.value)


@meaning_of(nn.Upsample)
def upsample(op: nn.Upsample, x: Array) -> Array:
    return x.repeat(op.factors[0], axis=1).repeat(op.factors[1], axis=2)


@meaning_of(nn.DepthToSpace)
def depth_to_space(op: nn.DepthToSpace, x: Array) -> Array:
    samples, height, width, channels = x.shape
    block, rest = op.block, channels // op.block**2
    parts = x.reshape(samples, height, width, *((rest, block, block) if op.channels_first else (block, block, rest)))
    order = (0, 1, 4, 2, 5, 3) if op.channels_first else (0, 1, 3, 2, 4, 5)
    return parts.transpose(order).reshape(samples, height * block, width * block, rest)


@meaning_of(nn.Transpose)
def transpose(op: nn.Transpose, x: Array) -> Array:
    return x.transpose(op.order)


# ---- the rest ---------------------------------------------------------------------------------------------------


@meaning_of(nn.Rescaling)
def rescaling(op: nn.Rescaling, x: Array) -> Reals:
    return x.astype(np.float64) * op.scale + op.offset


@meaning_of(nn.InputScaling)
def input_scaling(op: nn.InputScaling, x: Array) -> Reals:
    return (x.astype(np.float64) - op.shift) / op.scale


@meaning_of(nn.Dropout)
def dropout(op: nn.Dropout, x: Array) -> Array:
    return x


@meaning_of(nn.Reshape)
def reshape(op: nn.Reshape, x: Array) -> Array:
    return x.reshape(len(x), *op.shape)
