"""Reference semantics of `qnn`."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.reference import rounding
from cnn2snn_ir.reference.arithmetic import (
    Array,
    Ints,
    convolve,
    convolve_depthwise,
    convolve_transposed,
    convolve_transposed_depthwise,
    deviates,
    dot,
    fire,
    max_pool,
    quantize_linear,
    recur,
    round_half_even,
    saturate,
    shift_round,
    values,
)
from cnn2snn_ir.reference.semantics import meaning_of


@meaning_of(qnn.Quantize)
def quantize(op: qnn.Quantize, x: Array) -> Ints:
    integers = saturate(round_half_even(x, op.frac_bits.int64), op.to)
    return saturate(integers + values(op.zero_point), op.to)


@meaning_of(qnn.QuantizeLinear)
def quantize_by_division(op: qnn.QuantizeLinear, x: Array) -> Ints:
    return quantize_linear(x, op.scale.array, values(op.zero_point), op.to)


@meaning_of(qnn.Dequantize)
def dequantize(op: qnn.Dequantize, x: Ints) -> Array:
    reals = np.ldexp(x.astype(np.float32), -op.frac_bits.int64.astype(np.int32))
    return reals if op.scale is None else (reals * op.scale.array).astype(np.float32)


@meaning_of(qnn.Shift)
def shift(op: qnn.Shift, x: Ints) -> Ints:
    return saturate(shift_round(x, op.shift.int64), op.to)


@meaning_of(qnn.Scale)
def scale(op: qnn.Scale, x: Ints) -> Ints:
    return saturate(x * op.mantissa.int64, op.to)


@meaning_of(qnn.Requantize)
def requantize(op: qnn.Requantize, x: Ints) -> Ints:
    product = saturate(x * op.mantissa.int64, op.buffer)
    return saturate(shift_round(product, op.shift.int64), op.to)


@meaning_of(qnn.Rescale)
def rescale(op: qnn.Rescale, x: Ints) -> Ints:
    return rounding.rescale(op, x)


@meaning_of(qnn.Threshold)
def threshold(op: qnn.Threshold, x: Ints) -> Ints:
    reached = x[..., None] >= op.thresholds.int64
    return saturate(op.base + reached.sum(axis=-1, dtype=np.int64), op.to)


@meaning_of(qnn.Fire)
def fires(op: qnn.Fire, x: Ints) -> Ints:
    return fire(x, op.threshold.int64, op.act_step.array, op.to.bits)


@meaning_of(qnn.Conv2D)
def conv2d(op: qnn.Conv2D, x: Ints) -> Ints:
    fill = values(op.pad_value)
    return saturate(convolve(x, op.weights.int64, op.strides, op.padding, op.dilation, fill), op.acc)


@meaning_of(qnn.DepthwiseConv2D)
def depthwise_conv2d(op: qnn.DepthwiseConv2D, x: Ints) -> Ints:
    return saturate(convolve_depthwise(x, op.weights.int64, op.strides, op.padding, op.dilation), op.acc)


@meaning_of(qnn.Conv2DTranspose)
def conv2d_transpose(op: qnn.Conv2DTranspose, x: Ints) -> Ints:
    return saturate(convolve_transposed(x, op.weights.int64, op.strides, op.padding), op.acc)


@meaning_of(qnn.DepthwiseConv2DTranspose)
def depthwise_conv2d_transpose(op: qnn.DepthwiseConv2DTranspose, x: Ints) -> Ints:
    return saturate(convolve_transposed_depthwise(x, op.weights.int64, op.strides, op.padding), op.acc)


@meaning_of(qnn.Dense)
def dense(op: qnn.Dense, x: Ints) -> Ints:
    return saturate(dot(x, op.weights.int64), op.acc)


@meaning_of(qnn.BiasAdd)
def bias_add(op: qnn.BiasAdd, x: Ints) -> Ints:
    return saturate(x + (op.bias.int64 << op.shift.int64), op.x.type.element)


@meaning_of(qnn.ReLU)
def relu(op: qnn.ReLU, x: Ints) -> Ints:
    positive = np.maximum(x, 0)
    return positive if op.max is None else np.minimum(positive, op.max.int64 << values(op.shift))


@meaning_of(qnn.Lookup)
def lookup(op: qnn.Lookup, x: Ints) -> Ints:
    result: Ints = op.table.int64[x - op.x.type.element.lo]
    return result


@meaning_of(qnn.MaxPool)
def pool(op: qnn.MaxPool, x: Ints) -> Ints:
    return max_pool(x, op.size, op.strides, op.padding)


@meaning_of(qnn.SumPool)
def sum_pool(op: qnn.SumPool, x: Ints) -> Ints:
    return saturate(x.sum(axis=(1, 2), keepdims=op.keepdims), op.acc)


@meaning_of(qnn.Add)
def add(op: qnn.Add, a: Ints, b: Ints) -> Ints:
    return saturate(a + b, op.acc)


@meaning_of(qnn.Concat)
def concat(op: qnn.Concat, *parts: Ints) -> Ints:
    return np.concatenate(parts, axis=op.axis)


@meaning_of(qnn.Reshape)
def reshape(op: qnn.Reshape, x: Ints) -> Ints:
    return x.reshape(len(x), *op.shape)


@meaning_of(qnn.Transpose)
def transpose(op: qnn.Transpose, x: Ints) -> Ints:
    return x.transpose(op.order)


@meaning_of(qnn.Take)
def take(op: qnn.Take, x: Ints) -> Ints:
    result: Ints = np.take(x, op.index, axis=op.axis)
    return result


@meaning_of(qnn.Slice)
def take_slice(op: qnn.Slice, x: Ints) -> Ints:
    index = [slice(None)] * x.ndim
    index[op.axis] = slice(op.start, None, op.step)
    return x[tuple(index)]


@meaning_of(qnn.Recurrence)
def recurrence(op: qnn.Recurrence, x: Ints, real: Ints, imaginary: Ints) -> tuple[Ints, Ints, Ints]:
    a = (op.a_real.int64, op.a_imaginary.int64)
    return recur(x, (real, imaginary), a, op.shift, op.acc, op.to)


@meaning_of(qnn.Deviation)
def deviation(op: qnn.Deviation, x: Ints, target: Ints) -> Ints:
    return saturate(deviates(x, target, 1, op.acc, op.threshold)[:, 0], op.to)
