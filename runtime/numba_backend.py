"""The numba backend: 16-bit integers in and out of every layer, 32-bit sums, one fused pass for all the rest.

A layer whose numbers do not provably fit is left to the NumPy backend's float products, or to the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn2snn_ir.analysis.interval import Range, constant_integers
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Pool
from cnn2snn_ir.ir import Op
from cnn2snn_ir.runtime import numba_kernels as kernels
from cnn2snn_ir.runtime.backend import Program
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.numpy_backend import blas_step
from cnn2snn_ir.runtime.requantize import INT32, Epilogue, fold_add, inside
from cnn2snn_ir.runtime.step import Buffers, Call, Step
from cnn2snn_ir.runtime.storage import ALIGNMENT, SLACK, Array, Buffer, Layout
from cnn2snn_ir.runtime.vector_kernels import BLOCK, EIGHTS, LANES

INT16 = Range.of(-(2**15), 2**15 - 1)


class NumbaBackend:
    """Compiles its kernels on first use and caches them on disk."""

    name = "numba"

    def carrier(self, range: Range) -> np.dtype[Any]:
        """The narrowest of int16, int32 and int64: int16 feeds the kernels, the others leave the network."""
        if inside(range, INT16):
            return np.dtype(np.int16)
        return np.dtype(np.int32 if inside(range, INT32) else np.int64)

    def step(self, op: Op, program: Program) -> Step | None:
        """See `Backend`."""
        if isinstance(op, akida2.Add):
            return self._add(op, program)
        if isinstance(op, akida2.Quantizer):
            return QuantizeStep(op)
        layer = program.layers.get(op)
        if layer is None:
            return None
        if self._fits(layer, program.ranges[layer.x]):
            return KernelStep(layer, self)
        return blas_step(layer)

    def _fits(self, layer: Layer, x: Range) -> bool:
        """True if the kernels compute this layer exactly.

        A sum of products may wrap on its way, as long as its end lies within 32 bits.
        """
        weights = Range.of(layer.weights.min(), layer.weights.max())
        narrow = (
            inside(x, INT16) and inside(weights, INT16) and inside(Range.of(layer.fill.min(), layer.fill.max()), INT16)
        )
        commutes = layer.pool is not Pool.MAX or layer.epilogue.rescale.monotone
        return narrow and commutes and inside(layer.ranges.dot, INT32) and layer.epilogue.fits_int64

    def _add(self, op: akida2.Add, program: Program) -> Step | None:
        a, b = program.ranges[op.a], program.ranges[op.b]
        epilogue = fold_add(op, a, b)
        if epilogue is None or not epilogue.fits_int64:
            return None
        return AddStep(op, epilogue)


def aligned(values: Array) -> Array:
    """A flat copy at a cache line's start, zeros behind it."""
    flat = Layout((values.size,), values.dtype).allocate(1).flat
    flat[: values.size] = values.reshape(-1)
    return flat


def padded_channels(channels: int) -> int:
    """Channels rounded up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK


@dataclass(frozen=True, eq=False)
class KernelStep:
    """One layer with weights, on the compiled kernels."""

    layer: Layer
    backend: NumbaBackend

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`.

        Pooling runs on what the convolution wrote to a buffer of this step's own.  A maximum may come last, because
        all that precedes it is monotone.
        """
        layer = self.layer
        x, y = buffers[layer.x], buffers[layer.y]
        if layer.pool is Pool.NONE:
            return convolution(layer, x, y, layer.epilogue)
        pooled = (*layer.positions, layer.filters)
        if layer.pool is Pool.MAX:
            middle = Layout(pooled, y.layout.dtype).allocate(samples)
            return in_order(convolution(layer, x, middle, layer.epilogue), maximum(layer, middle, y))
        epilogue = layer.epilogue.before_sum()
        middle = Layout(pooled, self.backend.carrier(layer.ranges.activated)).allocate(samples)
        return in_order(convolution(layer, x, middle, epilogue), average(layer, middle, y))


def in_order(first: Call, second: Call) -> Call:
    """One call after the other."""

    def call(count: int) -> None:
        first(count)
        second(count)

    return call


def convolution(layer: Layer, x: Buffer, y: Buffer, epilogue: Epilogue) -> Call:
    """The kernel of a layer without its pooling, from `x` to `y`."""
    if layer.depthwise:
        return depthwise_convolution(layer, x, y, epilogue)
    pitch, filters = layer.row_pitch(x.layout), layer.filters
    segments, pairs, w = pack(layer, pitch)
    reading = (x.flat, x.layout.sample_size, layer.window_starts(x.layout), segments, pitch, pairs, w)
    writing = (whole_blocks(epilogue.constants(filters)), y.flat, y.layout.sample_size, y.layout.pixels(), filters)

    def call(count: int) -> None:
        kernels.convolve(count, *reading, *writing)

    return call


def depthwise_convolution(layer: Layer, x: Buffer, y: Buffer, epilogue: Epilogue) -> Call:
    """The same for a depthwise layer.

    Pixels that are neighbours in a row are neighbours in memory too, before and after: as many as fill a block are
    computed as one pixel with all their channels.
    """
    rows, columns = layer.positions
    group = max(1, min(columns, BLOCK // layer.filters)) if layer.stride == 1 else 1
    first = np.minimum(np.arange(0, columns, group), columns - group)
    starts, places = (
        np.ascontiguousarray(offsets.reshape(rows, columns)[:, first]).reshape(-1)
        for offsets in (layer.window_starts(x.layout), y.layout.pixels())
    )
    taps, w = pack_depthwise(layer, x.layout, group)
    constants = whole_blocks(np.tile(epilogue.constants(layer.filters), group))
    reading = (x.flat, x.layout.sample_size, starts, taps, w)
    writing = (constants, y.flat, y.layout.sample_size, places, layer.filters * group)

    def call(count: int) -> None:
        kernels.convolve_depthwise(count, *reading, *writing)

    return call


def whole_blocks(constants: Array) -> Array:
    """The table with its channels padded to whole blocks, where vectors may be read."""
    channels = constants.shape[1]
    return np.pad(constants, ((0, 0), (0, padded_channels(channels) - channels)))


def pack(layer: Layer, pitch: int) -> tuple[int, int, Array]:
    """Segments of a window, pairs of elements in one, and weights [vector][segment][pair][filter][2].

    A row of the kernel is one segment, because NHWC makes its elements neighbours; rows that follow each other
    without a gap are one.  An odd element is paired with a zero weight, and so are the filters of a vector's rest.
    """
    height, width, channels, filters = layer.weights.shape
    segments, length = (1, height * width * channels) if pitch == width * channels else (height, width * channels)
    pairs = -(-length // 2)
    vectors = padded_channels(filters) // LANES
    packed = np.zeros((segments, 2 * pairs, vectors * LANES), np.int16)
    packed[:, :length, :filters] = layer.weights.reshape(segments, length, filters)
    packed = packed.reshape(segments, pairs, 2, vectors, LANES).transpose(3, 0, 1, 4, 2)
    return segments, pairs, aligned(packed)


def pack_depthwise(layer: Layer, x: Layout, group: int) -> tuple[Array, Array]:
    """Offsets of the taps from a window's start [pair][2], and weights [block][pair][channel][2] for `group` pixels.

    An odd tap is paired with a zero weight, and so are the channels of a block's rest.
    """
    height, width, channels = layer.weights.shape
    pairs, blocks = -(-height * width // 2), -(-channels * group // BLOCK)
    rows, columns = np.arange(height) * layer.row_pitch(x), np.arange(width) * channels
    taps = np.zeros(2 * pairs, np.int64)
    taps[: height * width] = (rows[:, None] + columns).reshape(-1)
    packed = np.zeros((2 * pairs, blocks * BLOCK), np.int16)
    packed[: height * width, : channels * group] = np.tile(layer.weights.reshape(-1, channels), group)
    packed = packed.reshape(pairs, 2, blocks, BLOCK).transpose(2, 0, 3, 1)[:, :, EIGHTS]
    return taps, aligned(packed)


def maximum(layer: Layer, x: Buffer, y: Buffer) -> Call:
    """Max pooling from `x`, which has no border, to `y`."""
    assert isinstance(layer.op, akida2.ConvLayer)
    ((top, _), (left, _)) = layer.pool_border
    pixels = x.padded.reshape(-1, layer.filters)
    writing = (y.flat, y.layout.sample_size, y.layout.pixels(), y.layout.shape[1])
    window = (layer.op.pool_size, layer.op.pool_stride, (top, left))

    def call(count: int) -> None:
        kernels.max_pool(count, pixels, *layer.positions, *writing, *window)

    return call


def average(layer: Layer, x: Buffer, y: Buffer) -> Call:
    """Sum over all positions of `x`, which has no border, scaled to `y`."""
    constants = layer.epilogue.after_sum().constants(layer.filters)
    pixels, positions = x.padded.reshape(-1, layer.filters), math.prod(layer.positions)
    target, size = y.flat[y.layout.pixels()[0] :], y.layout.sample_size

    def call(count: int) -> None:
        kernels.average_pool(count, pixels, positions, constants, target, size)

    return call


@dataclass(frozen=True, eq=False)
class AddStep:
    """An addition whose operands provably do not saturate."""

    op: akida2.Add
    epilogue: Epilogue

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`."""
        a, b, y = (buffers[v] for v in (self.op.a, self.op.b, self.op.result))
        channels = self.op.a.type.channels
        constants = self.epilogue.constants(channels)
        factors = [
            np.broadcast_to(2 ** constant_integers(s), (channels,)).astype(constants.dtype)
            for s in (self.op.a_shift, self.op.b_shift)
        ]
        arguments = [
            value
            for buffer, factor in zip((a, b), factors, strict=True)
            for value in (buffer.flat, buffer.layout.sample_size, buffer.layout.pixels(), factor)
        ]
        arguments += [constants, y.flat, y.layout.sample_size, y.layout.pixels()]

        def call(count: int) -> None:
            kernels.add(count, *arguments)

        return call


@dataclass(frozen=True, eq=False)
class QuantizeStep:
    """Float inputs to integers."""

    op: akida2.Quantizer

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`.  Products of float32 values and scales are exact in float64."""
        op, x, y = self.op, buffers[self.op.x], buffers[self.op.result]
        channels = op.x.type.channels
        scales = np.broadcast_to(op.scales.array, (channels,)).astype(np.float64)
        zero_points = np.broadcast_to(constant_integers(op.zero_points), (channels,)).astype(np.int64)
        arguments = (x.padded.reshape(-1, channels), scales, zero_points, op.to.lo, op.to.hi)
        writing = (y.flat, y.layout.sample_size, y.layout.pixels())

        def call(count: int) -> None:
            kernels.quantize(count, *arguments, *writing)

        return call


assert SLACK >= BLOCK
assert ALIGNMENT >= 2 * BLOCK
