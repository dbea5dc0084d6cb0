"""`hardware`: what the layers of both generations share: maps, poolings, and the two ends of a program.

Every value between layers is a map of rank 4, NHWC; vectors have height and width 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.geometry import Padding, per_channel, spatial
from cnn2snn_ir.dialects.qnn import fault, fit_channels, positive_reals
from cnn2snn_ir.ir import F32, ElementType, Op, Tensor, TensorType, Value, attr, constant, operand

FULL_KERNEL = "[height, width, in, out]"
DEPTHWISE_KERNEL = "[height, width, channels]"


class Pool(StrEnum):
    """Pooling inside a layer: `max` over windows, or `average`, a sum over the whole map."""

    NONE = "none"
    MAX = "max"
    AVERAGE = "average"


def as_map(x: TensorType) -> TensorType:
    """The type of a feature map: samples of fewer than 3 dimensions get leading ones."""
    if not 2 <= x.rank <= 4:
        raise ValueError(f"needs samples of 1 to 3 dimensions, found {x}")
    return TensorType((x.shape[0], *(1,) * (4 - x.rank), *x.shape[1:]), x.element)


def kernel_shape(weights: Tensor, rank: int, what: str) -> tuple[int, ...]:
    """The static shape of a kernel; raises ValueError if its rank is another."""
    if weights.type.rank != rank:
        raise ValueError(f"needs weights {what}, found {weights.type}")
    return tuple(d or 0 for d in weights.type.shape)


class PooledConvolution(Protocol):
    """The geometry of a convolution with its pooling."""

    stride: int
    padding: Padding
    pool: Pool
    pool_size: tuple[int, int]
    pool_stride: tuple[int, int]


def unpooled_size(op: PooledConvolution, x: TensorType, weights: Tensor) -> tuple[int, int]:
    """Height and width in front of any pooling; raises ValueError where a window does not fit."""
    kernel = (weights.type.shape[0] or 0, weights.type.shape[1] or 0)
    return spatial(x, kernel, (op.stride, op.stride), op.padding)


def pooled_size(op: PooledConvolution, x: TensorType, weights: Tensor) -> tuple[int, int]:
    """Height and width of what a convolution gives; raises ValueError where a window does not fit."""
    rows, columns = unpooled_size(op, x, weights)
    if op.pool is Pool.AVERAGE:
        return 1, 1
    if op.pool is Pool.MAX:
        sums = TensorType((None, rows, columns, x.channels), x.element)
        return spatial(sums, op.pool_size, op.pool_stride, op.padding)
    return rows, columns


class InputLayer(Op):
    """Signed integers from outside, handed to the first layer as a feature map."""

    x: Value = operand("Integers.")

    def infer(self) -> tuple[TensorType, ...]:
        return (as_map(self.x.type),)


class QuantizerLayer(Op):
    """Float inputs to integers: `saturate(saturate(round_half_even(x · scales)) + zero_points)`."""

    x: Value = operand("Float input.")
    scales: Tensor = constant("Powers of two, float32; one for all or one a channel.")
    to: ElementType = attr("Element type of the output.")
    zero_points: Tensor | None = attr("Added to every integer.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (as_map(self.x.type.with_element(self.to)),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fault(self, per_channel(self.scales, self.x.type.channels, "scales"))
        yield from fault(self, per_channel(self.zero_points, self.x.type.channels, "zero_points"))


class LinearQuantizerLayer(Op):
    """Float inputs to integers, by division: `saturate(round_half_even(float32(x / scales)) + zero_points)`.

    The vendor's layer multiplies by the reciprocal instead, so that ties and near ties may go to the other side.
    """

    x: Value = operand("Float input.")
    scales: Tensor = constant("Positive float32; one for all or one a channel.")
    to: ElementType = attr("Element type of the output.")
    zero_points: Tensor | None = attr("Added to every integer, in front of the saturation.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (as_map(self.x.type.with_element(self.to)),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "scales", "zero_points")
        yield from positive_reals(self, "scales")


class DequantizerLayer(Op):
    """Integer to float32: `float32(x) · scales`."""

    x: Value = operand("Integers.")
    scales: Tensor = constant("Float32; one for all or one a channel.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(F32),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fault(self, per_channel(self.scales, self.x.type.channels, "scales"))
