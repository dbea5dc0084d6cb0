"""Reference semantics of `akida1`: the formulas at the top of the dialect, line by line."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.dialects import akida1
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.reference import hardware
from cnn2snn_ir.reference.arithmetic import (
    Ints,
    convolve,
    convolve_depthwise,
    dot,
    fire,
    max_pool,
    saturate,
    values,
)
from cnn2snn_ir.reference.semantics import meaning_of

meaning_of(akida1.InputData)(hardware.input_data)
meaning_of(akida1.Quantizer)(hardware.quantizer)
meaning_of(akida1.Dequantizer)(hardware.dequantizer)


def activate(op: akida1.NeuralLayer, p: Ints) -> Ints:
    """Levels, or the potential above the threshold."""
    if op.to is None:
        return saturate(p - values(op.threshold), op.acc)
    assert op.act_step is not None
    return fire(p, values(op.threshold), op.act_step.array, op.to.bits)


def finish(op: akida1.ConvLayer, p: Ints) -> Ints:
    """Everything after a convolution."""
    p = saturate(p, op.acc)
    if op.pool is Pool.MAX:
        p = max_pool(p, op.pool_size, op.pool_stride, op.padding)
    if op.pool is Pool.AVERAGE:
        p = saturate(p.sum(axis=(1, 2), keepdims=True), op.acc)
    return activate(op, p)


@meaning_of(akida1.InputConvolutional)
def input_convolutional(op: akida1.InputConvolutional, x: Ints) -> Ints:
    fill = np.asarray(op.padding_value, np.int64)
    return finish(op, convolve(x, op.weights.int64, (op.stride, op.stride), op.padding, fill=fill))


@meaning_of(akida1.Convolutional)
def convolutional(op: akida1.Convolutional, x: Ints) -> Ints:
    return finish(op, convolve(x, hardware.unreverse(op.weights), (op.stride, op.stride), op.padding))


@meaning_of(akida1.SeparableConvolutional)
def separable_convolutional(op: akida1.SeparableConvolutional, x: Ints) -> Ints:
    between = convolve_depthwise(x, hardware.unreverse(op.weights), (op.stride, op.stride), op.padding)
    return finish(op, dot(saturate(between, op.acc), op.weights_pw.int64[0, 0]))


@meaning_of(akida1.FullyConnected)
def fully_connected(op: akida1.FullyConnected, x: Ints) -> Ints:
    by_channel = x.transpose(0, 3, 1, 2).reshape(len(x), math.prod(x.shape[1:]))
    return activate(op, saturate(hardware.as_map(dot(by_channel, op.weights.int64[0, 0])), op.acc))
