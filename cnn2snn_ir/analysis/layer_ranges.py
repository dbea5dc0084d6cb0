"""Proven ranges inside one Akida 2 layer, stage by stage, from its real weights.

What the runtime asks: can this saturation ever do something, how many bits has this sum, is a float32
product of these matrices exact?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis import interval
from cnn2snn_ir.analysis.interval import Range, constant_integers
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.dialects.geometry import borders
from cnn2snn_ir.dialects.hardware import Pool

DEPTHWISE = (akida2.DepthwiseConv2D, akida2.DepthwiseConv2DTranspose, akida2.DepthwiseBufferTempConv)
TEMPORAL = (akida2.BufferTempConv, akida2.DepthwiseBufferTempConv)


class LayerRanges(NamedTuple):
    """The stages of a layer in the order in which it computes them, channels of each stage last."""

    aligned: Range
    """Inputs after `input_shift`, before its saturation; borders included."""
    dot: Range
    """Sums of products, before saturation to `acc`."""
    partial: int
    """No partial sum of those products, in any order of summation, is larger in absolute value."""
    biased: Range
    """After saturation, bias, and saturation again."""
    activated: Range
    """After the activation."""
    pooled_sum: Range | None
    """Sum over height and width before its saturation to `post_op`; None without average pooling."""
    product: Range | None
    """After multiplication by `output_scales`, before saturation to `post_op`; None without `to`."""
    output: Range
    """The layer's result."""


def layer_ranges(op: akida2.NeuralLayer, x: Range) -> LayerRanges:
    """The ranges of every stage when the layer's input lies in `x`."""
    shift = op.input_shift
    if isinstance(op, akida2.StatefulRecurrent):
        x, shift = Range.full(op.state), None  # what its last projection reads; the shift is the first one's
    if isinstance(op, TEMPORAL):
        x = x.union(Range.full(op.operands[1].type.element))  # what the FIFO holds
    channels, inputs = input_channels(op)
    x = x.tiled(channels, inputs)
    aligned = x if shift is None else x.shift_left(constant_integers(shift))
    seen = aligned if shift is None else aligned.saturate(op.acc)
    if has_border(op):
        fill = constant_integers(op.padding_value) if isinstance(op, akida2.InputConv2D) else interval.integers(0)
        seen, aligned = seen.union(Range(fill, fill)), aligned.union(Range(fill, fill))
    if isinstance(op, akida2.TransposedLayer):
        nothing = interval.integers(0)  # not every tap of the kernel reaches every position of the result
        seen, aligned = seen.union(Range(nothing, nothing)), aligned.union(Range(nothing, nothing))
    taps = flat_weights(op)
    if isinstance(op, DEPTHWISE):
        dot, partial = interval.dot_depthwise(seen, taps), interval.magnitude_depthwise(seen, taps)
    else:
        dot, partial = interval.dot(seen, taps), interval.magnitude(seen, taps)
    biased = dot.saturate(op.acc)
    if op.bias is not None:
        biased = biased.offset(constant_integers(op.bias) * 2 ** constant_integers(op.bias_shift)).saturate(op.acc)
    activated = activate(op, biased)
    pooled = pooled_sum(op, activated)
    buffered = activated if pooled is None else pooled.saturate(op.post_op)
    if op.to is None:
        return LayerRanges(aligned, dot, partial, biased, activated, pooled, None, buffered)
    product = buffered.times(constant_integers(op.output_scales, 1))
    output = product.saturate(op.post_op).shift_round(constant_integers(op.output_shift)).saturate(op.to)
    return LayerRanges(aligned, dot, partial, biased, activated, pooled, product, output)


def activate(op: akida2.NeuralLayer, a: Range) -> Range:
    """After the activation."""
    if op.lut_values is not None:
        return looked_up(op, a)
    if op.activation is Activation.RELU:
        a = a.above(0)
    if op.max_value is not None:
        a = a.below(constant_integers(op.max_value) * 2 ** constant_integers(op.max_value_shift))
    return a


def looked_up(op: akida2.NeuralLayer, a: Range) -> Range:
    """The smallest and largest entry of the table that an index in range can reach, for all channels together."""
    assert op.lut_values is not None
    index = akida2.table_index(op)
    product = a.times(constant_integers(op.activation_scales, 1)).saturate(op.post_op)
    reached = product.shift_round(constant_integers(op.activation_shift)).saturate(index)
    entries = op.lut_values.int64[reached.least - index.lo : reached.greatest - index.lo + 1]
    return Range.of(entries.min(), entries.max())


def pooled_sum(op: akida2.NeuralLayer, activated: Range) -> Range | None:
    """The sum over all positions, if the layer averages."""
    if not isinstance(op, akida2.ConvLayer) or op.pool is not Pool.AVERAGE:
        return None
    rows, columns = conv_positions(op)
    return activated.times(interval.integers(rows * columns))


def flat_weights(op: akida2.NeuralLayer) -> npt.NDArray[np.int64]:
    """The weights as [taps, in, out], or [taps, channels] of a depthwise layer; the order of taps is immaterial."""
    weights: npt.NDArray[np.int64] = op.attributes["weights"].int64  # type: ignore[union-attr]
    if isinstance(op, (akida2.Dense1D, akida2.StatefulRecurrent)):
        return weights[None]
    if isinstance(op, akida2.BufferTempConv):
        return weights.reshape(-1, op.x.type.channels, weights.shape[3])
    if isinstance(op, akida2.DepthwiseBufferTempConv):
        return weights
    return weights.reshape(-1, *weights.shape[2:])


def input_channels(op: akida2.NeuralLayer) -> tuple[int, int]:
    """Channels of the layer's operand, and of the input as the layer reads it (flattened, if it is dense)."""
    x = op.operands[0]
    return x.type.channels, int(np.prod(x.type.per_sample)) if isinstance(op, akida2.Dense1D) else x.type.channels


def kernel_size(op: akida2.ConvLayer) -> tuple[int, int]:
    """Height and width of the kernel."""
    assert isinstance(op, akida2.InputConv2D | akida2.Conv2D | akida2.DepthwiseConv2D)
    height, width = op.weights.type.shape[:2]
    return height or 0, width or 0


def border(op: akida2.ConvLayer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows added above and below, columns added left and right of the layer's input."""
    _, rows, columns, _ = op.operands[0].type.shape
    kh, kw = kernel_size(op)
    return borders(rows or 0, kh, op.stride, op.padding), borders(columns or 0, kw, op.stride, op.padding)


def has_border(op: akida2.NeuralLayer) -> bool:
    """True if the layer reads positions outside its input."""
    return isinstance(op, akida2.ConvLayer) and border(op) != ((0, 0), (0, 0))


def conv_positions(op: akida2.ConvLayer) -> tuple[int, int]:
    """Rows and columns of the convolution's result, before pooling."""
    _, rows, columns, _ = op.operands[0].type.shape
    (top, bottom), (left, right) = border(op)
    kh, kw = kernel_size(op)
    return (
        ((rows or 0) + top + bottom - kh) // op.stride + 1,
        ((columns or 0) + left + right - kw) // op.stride + 1,
    )
