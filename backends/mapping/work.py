"""What a hardware layer asks of the chip: sizes, bits and kind of work, the same for both generations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from cnn2snn_ir.dialects import akida1, akida2
from cnn2snn_ir.dialects.hardware import unpooled_size
from cnn2snn_ir.ir import Op, Tensor, Value


class Kind(StrEnum):
    """How a layer works on an event."""

    INPUT = "input"
    CONV = "conv"
    SEPARABLE = "separable"
    DEPTHWISE = "depthwise"
    DENSE = "dense"
    MERGE = "merge"


KINDS: dict[type[Op], Kind] = {
    akida1.InputConvolutional: Kind.INPUT,
    akida1.Convolutional: Kind.CONV,
    akida1.SeparableConvolutional: Kind.SEPARABLE,
    akida1.FullyConnected: Kind.DENSE,
    akida2.InputConv2D: Kind.INPUT,
    akida2.Conv2D: Kind.CONV,
    akida2.Conv2DTranspose: Kind.CONV,
    akida2.BufferTempConv: Kind.CONV,
    akida2.DepthwiseConv2D: Kind.DEPTHWISE,
    akida2.DepthwiseConv2DTranspose: Kind.DEPTHWISE,
    akida2.DepthwiseBufferTempConv: Kind.DEPTHWISE,
    akida2.Dense1D: Kind.DENSE,
    akida2.Add: Kind.MERGE,
    akida2.Concatenate: Kind.MERGE,
}
"""The layers that a mesh of NPs runs.  Recurrences need the unit of another chip; quantizers run on the host."""

STREAMED = (akida2.FifoPush, akida1.InputData, akida2.InputData)
"""Ops without work of their own, which go with the layer that they feed."""


@dataclass(frozen=True, eq=False)
class Work:
    """One hardware layer, in numbers."""

    op: Op
    kind: Kind
    rows: int
    columns: int
    channels: int
    """Of the input map; of a dense layer's input, all of it as channels."""
    filters: int
    kernel: tuple[int, int]
    positions: int
    """Output positions of the convolution, before any pooling."""
    weight_bits: int
    input_bits: int
    filter_weights: int
    """Weights of one filter."""
    shared_weights: int
    """Weights that every part of the layer needs: the depthwise kernels of a separable layer."""

    @property
    def name(self) -> str:
        """The layer's name."""
        return layer_name(self.op)

    @property
    def x(self) -> Value:
        """The (first) input map."""
        return self.op.operands[0]

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The maps whose events it works on: all that it merges; the newest frame and those before it; or the one."""
        if self.kind is Kind.MERGE or isinstance(self.op, akida2.BufferTempConv | akida2.DepthwiseBufferTempConv):
            return self.op.operands
        return (self.x,)

    @property
    def sites(self) -> int:
        """Elements of the input."""
        return self.rows * self.columns * self.channels

    @cached_property
    def nonzero_weights(self) -> float:
        """The fraction of its weights that are not zero; 1 if it has none."""
        names = ("weights", "weights_pw")
        weights = [v.array for name in names if isinstance(v := self.op.attributes.get(name), Tensor)]
        count = sum(array.size for array in weights)
        return sum(int(np.count_nonzero(array)) for array in weights) / count if count else 1.0

    @property
    def macs(self) -> int:
        """Dense multiplications of one frame."""
        if self.kind is Kind.SEPARABLE:
            taps = math.prod(self.kernel)
            return self.positions * self.channels * (taps + self.filters)
        return self.positions * self.filters * self.filter_weights

    def weight_bytes(self, filters: int, block: int = 1) -> int:
        """Packed weights of so many filters, stored in blocks of `block`."""
        stored = -(-filters // block) * block
        return -(-(stored * self.filter_weights + self.shared_weights) * self.weight_bits // 8)

    def input_bytes(self, rows: int, bits: int) -> int:
        """A packed map of so many rows."""
        return -(-rows * self.columns * self.channels * bits // 8)


def layer_name(op: Op) -> str:
    """A layer's name, as the program's summary has it."""
    return str(op.annotations.get("layer") or op.results[0].name or op.op_name)


def work_of(op: Op) -> Work | None:
    """The work of an op; None if it is not a layer for a mesh of NPs."""
    kind = KINDS.get(type(op))
    if kind is None:
        return None
    rows, columns, channels = _map_of(op.operands[0])
    input_bits = op.operands[0].type.element.bits
    if kind is Kind.MERGE:
        channels = sum(value.type.channels for value in op.operands)
        out = op.results[0].type.channels
        return Work(op, kind, rows, columns, channels, out, (1, 1), rows * columns, 0, input_bits, 0, 0)
    weights = op.attributes["weights"]
    assert isinstance(weights, Tensor)
    bits = weights.type.element.bits
    shape = tuple(d or 0 for d in weights.type.shape)
    if kind is Kind.DENSE:
        inputs, units = shape[-2:]
        return Work(op, kind, 1, 1, inputs, units, (1, 1), 1, bits, input_bits, inputs, 0)
    filters = op.results[0].type.channels
    kernel = (shape[0], shape[1]) if len(shape) > 2 else (1, 1)
    if isinstance(op, akida2.BufferTempConv | akida2.DepthwiseBufferTempConv):
        frames = op.fifo.type.per_sample[2] + 1
        channels *= frames
        per_filter = channels if kind is Kind.CONV else frames
        return Work(op, kind, rows, columns, channels, filters, (1, 1), rows * columns, bits, input_bits, per_filter, 0)
    positions = rows * columns  # of a transposed convolution: each input position meets the whole kernel
    if isinstance(op, akida1.ConvLayer | akida2.ConvLayer):
        positions = math.prod(unpooled_size(op, op.operands[0].type, weights))
    taps = math.prod(kernel)
    if kind is Kind.SEPARABLE:
        return Work(
            op, kind, rows, columns, channels, filters, kernel, positions, bits, input_bits, channels, channels * taps
        )
    per_filter = taps if kind is Kind.DEPTHWISE else channels * taps
    return Work(op, kind, rows, columns, channels, filters, kernel, positions, bits, input_bits, per_filter, 0)


def _map_of(value: Value) -> tuple[int, int, int]:
    shape = (1, 1, 1, *value.type.per_sample)[-3:]
    return shape[0], shape[1], shape[2]
