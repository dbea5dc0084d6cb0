"""Proven ranges inside one Akida 1 layer, from its real weights: its potentials, and the levels that they reach."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.analysis import interval
from cnn2snn_ir.analysis.interval import Integers, Range, integers
from cnn2snn_ir.dialects import akida1
from cnn2snn_ir.dialects.geometry import adds_border, spatial
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import ElementType, Tensor
from cnn2snn_ir.reference.arithmetic import level_boundaries


def potentials(op: akida1.NeuralLayer, x: Range) -> Range:
    """What a layer's potentials lie in before the activation, the pooling included, when its input lies in `x`."""
    match op:
        case akida1.FullyConnected():
            rows, columns, channels = op.x.type.per_sample
            by_channel = Range(*(np.repeat(np.broadcast_to(b, (channels,)), rows * columns) for b in (x.lo, x.hi)))
            return interval.dot(by_channel, op.weights.int64[0]).saturate(op.acc)
        case akida1.SeparableConvolutional():
            taps = op.weights.int64.reshape(-1, op.x.type.channels)
            between = interval.dot_depthwise(bordered(op, x, op.weights, 0), taps).saturate(op.acc)
            return pooled(op, interval.dot(between, op.weights_pw.int64[0]).saturate(op.acc), op.weights)
        case akida1.InputConvolutional() | akida1.Convolutional():
            fill = op.padding_value if isinstance(op, akida1.InputConvolutional) else 0
            taps = op.weights.int64.reshape(-1, *op.weights.array.shape[2:])
            return pooled(op, interval.dot(bordered(op, x, op.weights, fill), taps).saturate(op.acc), op.weights)
        case _:
            raise TypeError(f"{op.op_name} has no potentials")


def bordered(op: akida1.ConvLayer, x: Range, weights: Tensor, fill: int) -> Range:
    """What the kernel sees: the input, and the border value if `same` adds any border."""
    strides = (op.stride, op.stride)
    added = adds_border(op.operands[0].type, weights.type.shape, strides, op.padding)
    return x.union(Range.of(fill, fill)) if added else x


def pooled(op: akida1.ConvLayer, sums: Range, weights: Tensor) -> Range:
    """After the pooling: a maximum lies where its operands lie."""
    if op.pool is not Pool.AVERAGE:
        return sums
    height, width = weights.array.shape[:2]
    rows, columns = spatial(op.operands[0].type, (height, width), (op.stride, op.stride), op.padding)
    return sums.times(integers(rows * columns)).saturate(op.acc)


def levels(potential: Range, threshold: Tensor | None, act_step: Tensor | None, to: ElementType) -> Range:
    """The levels of potentials, which never decrease."""
    assert act_step is not None
    at = np.zeros((), np.int64) if threshold is None else threshold.int64
    boundaries = level_boundaries(at, act_step.array, to.bits)

    def level(bound: Integers) -> Integers:
        return integers((np.asarray(bound)[..., None] >= boundaries).sum(axis=-1))

    return Range.of(level(potential.lo), level(potential.hi))
