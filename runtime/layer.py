"""Akida 2 layers prepared for any fast kernel: weights the right way round, shifts folded, saturations proven.

A dense layer becomes a convolution whose kernel is as large as the map, a transposed convolution becomes one
convolution for each of its phases, and a convolution over time becomes one over the window of all its frames, so the
kernels know convolutions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.layer_ranges import LayerRanges, border, conv_positions
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.geometry import borders
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import Tensor, Value
from cnn2snn_ir.runtime.requantize import Epilogue, fold
from cnn2snn_ir.runtime.storage import NO_BORDER, Border, Layout, Offsets
from cnn2snn_ir.runtime.transposed import phases

Ints = npt.NDArray[np.int64]

ZERO = np.zeros((), np.int64)


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution: a layer with weights, or one phase of a transposed layer.

    `weights` is [height, width, in, out] or, depthwise, [height, width, channels], ready to slide over the map and
    with `input_shift` folded in; `positions` are the rows and columns of the sums, before any pooling.
    Its results are the rows and columns `first`, `first + step`, … of the op's.
    """

    op: akida2.NeuralLayer
    weights: Ints
    stride: int
    border: Border
    fill: Ints
    positions: tuple[int, int]
    ranges: LayerRanges
    epilogue: Epilogue
    first: tuple[int, int] = (0, 0)
    step: int = 1

    @property
    def x(self) -> Value:
        """The operand."""
        return self.op.operands[0]

    @property
    def y(self) -> Value:
        """The result."""
        return self.op.result

    @property
    def depthwise(self) -> bool:
        """True if each channel has a kernel of its own."""
        return self.weights.ndim == 3

    @property
    def filters(self) -> int:
        """Channels of the result."""
        return int(self.weights.shape[-1])

    @property
    def pool(self) -> Pool:
        """Pooling inside the layer."""
        return self.op.pool if isinstance(self.op, akida2.ConvLayer) else Pool.NONE

    @property
    def pool_border(self) -> Border:
        """Positions that a max-pooling window may overlap beyond the sums; they never win."""
        assert isinstance(self.op, akida2.ConvLayer)
        sizes = zip(self.positions, self.op.pool_size, self.op.pool_stride, strict=True)
        vertical, horizontal = (borders(n, k, s, self.op.padding) for n, k, s in sizes)
        return vertical, horizontal

    def window_starts(self, x: Layout) -> Offsets:
        """Element offset, within a padded sample of `x`, of the window of every position in row-major order."""
        if len(x.shape) != 3:
            return np.zeros(1, np.int64)
        (top, _), (left, _) = x.border
        (my_top, _), (my_left, _) = self.border
        _, columns, channels = x.padded
        rows = (np.arange(self.positions[0]) * self.stride + top - my_top) * columns
        steps = np.arange(self.positions[1]) * self.stride + left - my_left
        starts: Offsets = ((rows[:, None] + steps) * channels).reshape(-1).astype(np.int64)
        return starts

    def row_pitch(self, x: Layout) -> int:
        """Elements between two rows of the map `x`."""
        return x.padded[1] * x.padded[2] if len(x.shape) == 3 else x.sample_size

    @property
    def part(self) -> tuple[slice, slice]:
        """The rows and columns of this layer's results in those of the op."""
        row, column = self.first
        return slice(row, None, self.step), slice(column, None, self.step)

    def places(self, y: Layout) -> Offsets:
        """Element offset, within a padded sample of `y`, of every result of this layer in row-major order."""
        return np.ascontiguousarray(y.pixels().reshape(y.shape[:2])[self.part].reshape(-1))


def prepare(op: akida2.NeuralLayer, ranges: LayerRanges) -> tuple[Layer, ...]:
    """The prepared layers that compute `op` together, or none if only the reference semantics are certain to be exact.

    That is so if `input_shift` can saturate, or if it applies to the input but not to a border of other than 0.
    """
    if op.input_shift is not None and not ranges.aligned.within(op.acc):
        return ()
    match op:
        case akida2.Dense1D():
            return (_dense(op, ranges),)
        case akida2.TransposedLayer():
            return tuple(_phases(op, ranges))
        case akida2.InputConv2D() if op.padding_value is not None:
            fill = op.padding_value.int64
            return () if fill.any() and _shift(op.input_shift).any() else (_convolution(op, ranges, fill),)
        case akida2.ConvLayer():
            return (_convolution(op, ranges, ZERO),)
        case akida2.BufferTempConv() | akida2.DepthwiseBufferTempConv():
            return (_temporal(op, ranges),)
        case _:
            return ()


def _convolution(op: akida2.ConvLayer, ranges: LayerRanges, fill: Ints) -> Layer:
    weights = _aligned_weights(op)
    if not isinstance(op, akida2.InputConv2D):
        weights = weights[::-1, ::-1]  # stored reversed
    return Layer(op, weights, op.stride, border(op), fill, conv_positions(op), ranges, fold(op, ranges))


def _dense(op: akida2.Dense1D, ranges: LayerRanges) -> Layer:
    weights = op.weights.int64 << _shift(op.input_shift)[..., None]
    shape = op.x.type.per_sample
    rows, columns, channels = shape if len(shape) == 3 else (1, 1, weights.shape[0])
    kernel = weights.reshape(rows, columns, channels, -1)
    return Layer(op, kernel, 1, NO_BORDER, ZERO, (1, 1), ranges, fold(op, ranges))


def _phases(op: akida2.TransposedLayer, ranges: LayerRanges) -> Iterator[Layer]:
    """The convolutions of a transposed layer.  A kernel smaller than the stride is filled up with zeros."""
    weights, epilogue = _aligned_weights(op), fold(op, ranges)
    missing = [(0, max(0, op.stride - size)) for size in weights.shape[:2]]
    weights = np.pad(weights, (*missing, *[(0, 0)] * (weights.ndim - 2)))
    sizes = zip(op.operands[0].type.per_sample, weights.shape[:2], strict=False)
    for vertical, horizontal in product(*(list(phases(n, k, op.stride, op.padding)) for n, k in sizes)):
        yield Layer(
            op,
            weights[vertical.taps, horizontal.taps][::-1, ::-1],
            1,
            (vertical.border, horizontal.border),
            ZERO,
            (vertical.count, horizontal.count),
            ranges,
            epilogue,
            (vertical.first, horizontal.first),
            op.stride,
        )


def _temporal(op: akida2.BufferTempConv | akida2.DepthwiseBufferTempConv, ranges: LayerRanges) -> Layer:
    """A convolution over the window, a map with a row for each position and a column for each frame."""
    rows, columns, frames, channels = akida2.temporal_shape(op.x.type, op.fifo.type)
    filters = op.weights.array.shape[3:]  # none if depthwise
    weights = _aligned(op, op.weights.int64.reshape(1, frames, channels, *filters))
    return Layer(op, weights, 1, NO_BORDER, ZERO, (rows * columns, 1), ranges, fold(op, ranges))


def _aligned_weights(op: akida2.NeuralLayer) -> Ints:
    """The kernel as stored, times the left shift of its input."""
    return _aligned(op, op.attributes["weights"].int64)  # type: ignore[union-attr]


def _aligned(op: akida2.NeuralLayer, weights: Ints) -> Ints:
    """A kernel [height, width, in, out] or [height, width, channels], times the left shift of the layer's input."""
    shift = _shift(op.input_shift)
    return weights << (shift if weights.ndim == 3 else shift[..., None])


def _shift(shift: Tensor | None) -> Ints:
    return ZERO if shift is None else shift.int64
