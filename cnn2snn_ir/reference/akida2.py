"""Reference semantics of `akida2`: the formulas at the top of the dialect, line by line."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import ElementType, Tensor
from cnn2snn_ir.reference import hardware
from cnn2snn_ir.reference.arithmetic import (
    Ints,
    convolve,
    convolve_depthwise,
    convolve_transposed,
    convolve_transposed_depthwise,
    deviates,
    dot,
    max_pool,
    recur,
    saturate,
    shift_round,
    values,
)
from cnn2snn_ir.reference.semantics import meaning_of

meaning_of(akida2.InputData)(hardware.input_data)
meaning_of(akida2.Quantizer)(hardware.quantizer)
meaning_of(akida2.LinearQuantizer)(hardware.linear_quantizer)
meaning_of(akida2.Dequantizer)(hardware.dequantizer)


def align(op: akida2.NeuralLayer, x: Ints) -> Ints:
    """Left shift of the inputs; without one, x is passed on whatever its width."""
    return x if op.input_shift is None else saturate(x << op.input_shift.int64, op.acc)


def with_bias(op: akida2.NeuralLayer, a: Ints) -> Ints:
    """Saturate the accumulator, add the bias, saturate again."""
    a = saturate(a, op.acc)
    return a if op.bias is None else saturate(a + (op.bias.int64 << values(op.bias_shift)), op.acc)


def activate(op: akida2.NeuralLayer, a: Ints) -> Ints:
    """The activation."""
    if op.lut_values is not None:
        index = akida2.table_index(op)
        product = saturate(a * values(op.activation_scales, 1), op.post_op)
        position = saturate(shift_round(product, values(op.activation_shift)), index)
        looked_up: Ints = op.lut_values.int64[position - index.lo]
        return looked_up
    if op.activation is Activation.RELU:
        a = np.maximum(a, 0)
    return a if op.max_value is None else np.minimum(a, op.max_value.int64 << values(op.max_value_shift))


def output(op: akida2.NeuralLayer, a: Ints) -> Ints:
    """The 8-bit output scale and the rounding shift."""
    if op.to is None:
        return a
    product = saturate(a * values(op.output_scales, 1), op.post_op)
    return saturate(shift_round(product, values(op.output_shift)), op.to)


def finish(op: akida2.ConvLayer, a: Ints) -> Ints:
    """Everything after a convolution."""
    a = with_bias(op, a)
    if op.pool is Pool.MAX:
        a = max_pool(a, op.pool_size, op.pool_stride, op.padding)
    a = activate(op, a)
    if op.pool is Pool.AVERAGE:
        a = saturate(a.sum(axis=(1, 2), keepdims=True), op.post_op)
    return output(op, a)


@meaning_of(akida2.InputConv2D)
def input_conv2d(op: akida2.InputConv2D, x: Ints) -> Ints:
    fill = values(op.padding_value)
    strides = (op.stride, op.stride)
    return finish(op, convolve(align(op, x), op.weights.int64, strides, op.padding, fill=fill))


@meaning_of(akida2.Conv2D)
def conv2d(op: akida2.Conv2D, x: Ints) -> Ints:
    return finish(op, convolve(align(op, x), hardware.unreverse(op.weights), (op.stride, op.stride), op.padding))


@meaning_of(akida2.DepthwiseConv2D)
def depthwise_conv2d(op: akida2.DepthwiseConv2D, x: Ints) -> Ints:
    strides = (op.stride, op.stride)
    return finish(op, convolve_depthwise(align(op, x), hardware.unreverse(op.weights), strides, op.padding))


@meaning_of(akida2.Conv2DTranspose)
def conv2d_transpose(op: akida2.Conv2DTranspose, x: Ints) -> Ints:
    a = convolve_transposed(align(op, x), op.weights.int64, (op.stride, op.stride), op.padding)
    return output(op, activate(op, with_bias(op, a)))


@meaning_of(akida2.DepthwiseConv2DTranspose)
def depthwise_conv2d_transpose(op: akida2.DepthwiseConv2DTranspose, x: Ints) -> Ints:
    a = convolve_transposed_depthwise(align(op, x), op.weights.int64, (op.stride, op.stride), op.padding)
    return output(op, activate(op, with_bias(op, a)))


def window(fifo: Ints, x: Ints) -> Ints:
    """All frames, oldest first [batch, height, width, frames, channels]."""
    return np.concatenate([fifo, x[:, :, :, None]], axis=3)


@meaning_of(akida2.BufferTempConv)
def buffer_temp_conv(op: akida2.BufferTempConv, x: Ints, fifo: Ints) -> Ints:
    frames = align(op, window(fifo, x))
    flat = frames.reshape(*frames.shape[:3], frames.shape[3] * frames.shape[4])
    return output(op, activate(op, with_bias(op, dot(flat, op.weights.int64[0, 0]))))


@meaning_of(akida2.DepthwiseBufferTempConv)
def depthwise_buffer_temp_conv(op: akida2.DepthwiseBufferTempConv, x: Ints, fifo: Ints) -> Ints:
    a: Ints = (align(op, window(fifo, x)) * op.weights.int64).sum(axis=3)
    return output(op, activate(op, with_bias(op, a)))


@meaning_of(akida2.FifoPush)
def fifo_push(op: akida2.FifoPush, fifo: Ints, x: Ints) -> Ints:
    return window(fifo, x)[:, :, :, 1:]


@meaning_of(akida2.StatefulRecurrent)
def stateful_recurrent(op: akida2.StatefulRecurrent, x: Ints, real: Ints, imaginary: Ints) -> tuple[Ints, Ints, Ints]:
    projected = saturate(dot(align(op, x), op.in_weights.int64), op.acc)
    product = saturate(projected * values(op.new_state_scales, 1), op.state_acc)
    u = saturate(shift_round(product, values(op.new_state_shift)), op.state_acc)
    a = (op.a_real.int64, op.a_imaginary.int64)
    states, real, imaginary = recur(u[:, 0], (real, imaginary), a, op.state_shift, op.state_acc, op.state)
    picked = states[:, None, op.subsample - 1 :: op.subsample, :, op.part]
    return output(op, activate(op, with_bias(op, dot(picked, op.weights.int64)))), real, imaginary


@meaning_of(akida2.PicoPostProcessing)
def pico_post_processing(op: akida2.PicoPostProcessing, x: Ints, target: Ints) -> Ints:
    product = saturate(x * values(op.input_scales, 1), op.buffer)
    prediction = saturate(shift_round(product, values(op.input_shift)), op.acc)
    return saturate(deviates(prediction, target, 2, op.acc, op.threshold), op.to)


@meaning_of(akida2.Dense1D)
def dense1d(op: akida2.Dense1D, x: Ints) -> Ints:
    a = dot(align(op, x.reshape(len(x), op.weights.array.shape[0])), op.weights.int64)
    return output(op, activate(op, with_bias(op, hardware.as_map(a))))


@meaning_of(akida2.Add)
def add(op: akida2.Add, a: Ints, b: Ints) -> Ints:
    total = saturate(shifted(a, op.a_shift, op.acc) + shifted(b, op.b_shift, op.acc), op.acc)
    return total if op.to is None else saturate(shift_round(total, values(op.output_shift)), op.to)


def shifted(x: Ints, shift: Tensor | None, acc: ElementType) -> Ints:
    """An operand of an addition, aligned."""
    return x if shift is None else saturate(x << shift.int64, acc)


@meaning_of(akida2.Concatenate)
def concatenate(op: akida2.Concatenate, *parts: Ints) -> Ints:
    return np.concatenate(parts, axis=-1)
