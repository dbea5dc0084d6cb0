"""Weights and constants in the order in which the vector kernels read them."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.requantize import INT8, inside
from cnn2snn_ir.runtime.storage import ALIGNMENT, SLACK, Array, Layout, Offsets
from cnn2snn_ir.runtime.vector_kernels import BLOCK, EIGHTS, LANES, Form

assert SLACK >= BLOCK
assert ALIGNMENT >= 2 * BLOCK


def aligned(values: Array) -> Array:
    """A flat copy at a cache line's start, zeros behind it."""
    flat = Layout((values.size,), values.dtype).allocate(1).flat
    flat[: values.size] = values.reshape(-1)
    return flat


def blocks(channels: int) -> int:
    """How many blocks of channels hold so many."""
    return -(-channels // BLOCK)


def whole_blocks(constants: Array) -> Array:
    """A table [8, channels] with its channels padded to whole blocks, where vectors may be read."""
    channels = constants.shape[1]
    return np.pad(constants, ((0, 0), (0, blocks(channels) * BLOCK - channels)))


def form_of(layer: Layer, x: Layout) -> Form:
    """How elements of `x` are multiplied with the layer's weights."""
    if x.dtype == np.uint8:
        return Form.BYTES
    weights = Range.of(layer.weights.min(), layer.weights.max())
    return Form.BYTE_WEIGHTS if inside(weights, INT8) else Form.SHORTS


def pack(layer: Layer, pitch: int, form: Form) -> tuple[int, int, Array]:
    """Segments of a window, groups of elements in one, and weights [vector][segment][group][filter][element].

    A row of the kernel is one segment, because NHWC makes its elements neighbours; rows that follow each other
    without a gap are one.  The last group is filled up with zero weights, and so are the filters of a block's rest.
    """
    height, width, channels, filters = layer.weights.shape
    segments, length = (1, height * width * channels) if pitch == width * channels else (height, width * channels)
    groups = -(-length // form.group)
    vectors = blocks(filters) * BLOCK // LANES
    dtype = np.int16 if form is Form.SHORTS else np.int8
    packed = np.zeros((segments, form.group * groups, vectors * LANES), dtype)
    packed[:, :length, :filters] = layer.weights.reshape(segments, length, filters)
    packed = packed.reshape(segments, groups, form.group, vectors, LANES).transpose(3, 0, 1, 4, 2)
    return segments, groups, aligned(packed)


def pack_depthwise(layer: Layer, x: Layout, group: int) -> tuple[Offsets, Array]:
    """Offsets of the taps from a window's start [pair][2], and weights [block][pair][channel][2] for `group` pixels.

    An odd tap is paired with a zero weight, and so are the channels of a block's rest.
    """
    height, width, channels = layer.weights.shape
    count, pairs = height * width, -(-height * width // 2)
    rows, columns = np.arange(height) * layer.row_pitch(x), np.arange(width) * channels
    taps = np.zeros(2 * pairs, np.int64)
    taps[:count] = (rows[:, None] + columns).reshape(-1)
    packed = np.zeros((2 * pairs, blocks(channels * group) * BLOCK), np.int16)
    packed[:count, : channels * group] = np.tile(layer.weights.reshape(-1, channels), group)
    packed = packed.reshape(pairs, 2, -1, BLOCK).transpose(2, 0, 3, 1)[:, :, EIGHTS]
    return taps, aligned(packed)
