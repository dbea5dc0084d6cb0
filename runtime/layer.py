"""An Akida 2 layer prepared for any fast kernel: weights the right way round, shifts folded, saturations proven.

A dense layer becomes a convolution whose kernel is as large as the map, so the kernels know convolutions only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.layer_ranges import LayerRanges, border, conv_positions, layer_ranges
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Pool
from cnn2snn_ir.dialects.geometry import Padding, same_padding
from cnn2snn_ir.ir import Tensor, Value
from cnn2snn_ir.runtime.requantize import Epilogue, fold
from cnn2snn_ir.runtime.storage import NO_BORDER, Border, Layout, Offsets

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with weights.

    `weights` is [height, width, in, out] or, depthwise, [height, width, channels], ready to slide over the map and
    with `input_shift` folded in; `positions` are the rows and columns of the sums, before any pooling.
    """

    op: akida2.NeuralLayer
    weights: Ints
    stride: int
    border: Border
    fill: Ints
    positions: tuple[int, int]
    ranges: LayerRanges
    epilogue: Epilogue

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
        if self.op.padding is Padding.VALID:
            return NO_BORDER
        sizes = zip(self.positions, self.op.pool_size, self.op.pool_stride, strict=True)
        vertical, horizontal = (same_padding(n, k, s) for n, k, s in sizes)
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


def prepare(op: akida2.NeuralLayer, x: Range) -> Layer | None:
    """The prepared layer, or None if only the reference semantics are certain to be exact.

    That is so if `input_shift` can saturate, or if it applies to the input but not to a border of other than 0; and
    for transposed layers and activations by table, which have no fast kernel.
    """
    if isinstance(op, akida2.TransposedLayer) or op.lut_values is not None:
        return None
    ranges = layer_ranges(op, x)
    fill = np.zeros((), np.int64)
    if isinstance(op, akida2.InputConv2D) and op.padding_value is not None:
        fill = op.padding_value.int64
    shifted = op.input_shift is not None and bool(op.input_shift.int64.any())
    if shifted and (fill.any() or not ranges.aligned.within(op.acc)):
        return None
    if op.input_shift is not None and not ranges.aligned.within(op.acc):
        return None
    layer = _dense(op, ranges) if isinstance(op, akida2.Dense1D) else _convolution(op, ranges)
    return replace(layer, fill=fill)


def _convolution(op: akida2.NeuralLayer, ranges: LayerRanges) -> Layer:
    assert isinstance(op, akida2.InputConv2D | akida2.Conv2D | akida2.DepthwiseConv2D)
    weights = op.weights.int64
    if not isinstance(op, akida2.InputConv2D):
        weights = weights[::-1, ::-1]  # stored reversed
    shift = _shift(op.input_shift)
    weights = weights << (shift if isinstance(op, akida2.DepthwiseConv2D) else shift[..., None])
    place, positions = border(op), conv_positions(op)
    return Layer(op, weights, op.stride, place, np.zeros((), np.int64), positions, ranges, fold(op, ranges))


def _dense(op: akida2.Dense1D, ranges: LayerRanges) -> Layer:
    weights = op.weights.int64 << _shift(op.input_shift)[..., None]
    shape = op.x.type.per_sample
    rows, columns, channels = shape if len(shape) == 3 else (1, 1, weights.shape[0])
    kernel = weights.reshape(rows, columns, channels, -1)
    return Layer(op, kernel, 1, NO_BORDER, np.zeros((), np.int64), (1, 1), ranges, fold(op, ranges))


def _shift(shift: Tensor | None) -> Ints:
    return np.zeros((), np.int64) if shift is None else shift.int64
