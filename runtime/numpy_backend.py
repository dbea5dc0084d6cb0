"""The NumPy backend: float BLAS products where they are proven exact, integers after them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import Op
from cnn2snn_ir.runtime import numpy_events
from cnn2snn_ir.runtime.backend import Count, Program
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.parallel import blas_lock
from cnn2snn_ir.runtime.requantize import Epilogue, Formula
from cnn2snn_ir.runtime.step import Call, Step, border_call
from cnn2snn_ir.runtime.storage import Array, Buffer
from cnn2snn_ir.runtime.window import over_time, shift_in, window

FLOAT32_EXACT = 2**24
"""Integers below this bound, and their sums while below it, are exact in float32 (24-bit significand)."""

FLOAT64_EXACT = 2**53
"""The same for float64."""


def exact_float(bound: int) -> np.dtype[Any] | None:
    """The float type whose sums are exact in any order while no partial sum reaches `bound`; None if there is none."""
    if bound < FLOAT32_EXACT:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if bound < FLOAT64_EXACT else None


class NumpyBackend:
    """Needs nothing but NumPy; as fast as its BLAS."""

    name = "numpy"
    chunk_bytes = 1 << 20
    """About the second-level cache of one core; with less, calling NumPy costs more than its work."""

    def carrier(self, range: Range) -> np.dtype[Any]:
        """Float32 where that is exact, so that products need no conversion."""
        return exact_float(range.magnitude) or np.dtype(np.int64)

    def steps(self, op: Op, program: Program) -> tuple[Step, ...]:
        """See `Backend`."""
        return blas_steps(program.layers.get(op, ()))

    def border(self, buffer: Buffer) -> Call:
        """See `Backend`."""
        return border_call(buffer)

    def link(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """Nothing to gain."""
        return tuple(calls)

    def counting(self, maps: Sequence[Buffer], heights: Sequence[int], channels: Sequence[int]) -> Count:
        """See `Backend`."""
        return numpy_events.counting(maps, heights, channels)


def blas_steps(layers: Iterable[Layer]) -> tuple[Step, ...]:
    """Layers through float products, or none if those of one of them are not proven exact."""
    found: list[Step] = []
    for layer in layers:
        product = exact_float(layer.ranges.partial)
        if product is None or not layer.epilogue.fits_int64:
            return ()
        found.append((WindowBlasStep if over_time(layer) else BlasStep)(layer, product))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class BlasStep:
    """One layer with weights; `product` is the float type of its sums."""

    layer: Layer
    product: np.dtype[Any]

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        return self.reading(buffers[self.layer.x], buffers)

    def reading(self, x: Buffer, buffers: Buffers) -> Call:
        """The call that reads the map `x`."""
        layer, epilogue = self.layer, ArrayEpilogue(self.layer.epilogue, self.layer.filters)
        y = buffers[layer.y].inside[:, *self.layer.part]
        weights = np.ascontiguousarray(layer.weights.astype(self.product))
        source = _visible(layer, x) if len(x.layout.shape) == 3 else x.inside
        sums = _depthwise if layer.depthwise else _products

        def call(count: int) -> None:
            a = sums(layer, source[:count].astype(self.product, copy=False), weights)
            if layer.pool is Pool.MAX:
                a = _max_pool(layer, a)
            y[:count] = epilogue(a).reshape(y[:count].shape)

        return call


@dataclass(frozen=True, eq=False)
class WindowBlasStep(BlasStep):
    """A layer on the window that it gathers first."""

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, fifo = (buffers[v].inside for v in self.layer.op.operands)
        gathered = buffers.scratch(window(self.layer, self.product))
        frames = gathered.inside.reshape(*x.shape[:3], -1, x.shape[3])
        convolution = self.reading(gathered, buffers)

        def call(count: int) -> None:
            shift_in(fifo[:count], x[:count], frames[:count])
            convolution(count)

        return call


def _visible(layer: Layer, x: Buffer) -> Array:
    """The part of a padded map that the layer's windows cover."""
    ((top, _), (left, _)), ((my_top, my_bottom), (my_left, my_right)) = x.layout.border, layer.border
    rows, columns, _ = x.layout.shape
    return x.padded[
        :,
        top - my_top : top + rows + my_bottom,
        left - my_left : left + columns + my_right,
    ]


def _products(layer: Layer, x: Array, weights: Array) -> Array:
    """Sums of products [samples, rows, columns, filters] by one matrix product of columns and weights."""
    height, width, _, filters = weights.shape
    if x.ndim != 4:
        x = x.reshape(len(x), 1, 1, math.prod(x.shape[1:]))
    elif (height, width) == (1, 1):
        x = x[:, :: layer.stride, :: layer.stride]
    else:
        view = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
        x = view[:, :: layer.stride, :: layer.stride].transpose(0, 1, 2, 4, 5, 3)
    matrix = weights.reshape(-1, filters)
    columns = x.reshape(len(x) * math.prod(layer.positions), matrix.shape[0])
    with blas_lock:
        result: Array = columns @ matrix
    return result.reshape(len(x), *layer.positions, filters)


def _depthwise(layer: Layer, x: Array, weights: Array) -> Array:
    """Sums of products of each channel, tap by tap."""
    height, width, channels = weights.shape
    rows, columns = layer.positions
    stride = layer.stride
    total = np.zeros((len(x), rows, columns, channels), weights.dtype)
    for i in range(height):
        for j in range(width):
            tap = x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
            total += tap * weights[i, j]
    return total


def _max_pool(layer: Layer, a: Array) -> Array:
    """Maximum over windows; what lies outside is minus infinity."""
    assert isinstance(layer.op, akida2.ConvLayer)
    (height, width), (down, right) = layer.op.pool_size, layer.op.pool_stride
    a = np.pad(a, ((0, 0), *layer.pool_border, (0, 0)), constant_values=-np.inf)
    rows, columns = (a.shape[1] - height) // down + 1, (a.shape[2] - width) // right + 1
    best = np.full((len(a), rows, columns, a.shape[3]), -np.inf, a.dtype)
    for i in range(height):
        for j in range(width):
            tap = a[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * right + 1 : right]
            np.maximum(best, tap, out=best)
    return best


class ArrayEpilogue:
    """An `Epilogue` on whole arrays [samples, rows, columns, channels]."""

    def __init__(self, epilogue: Epilogue, channels: int) -> None:
        self.first, *self.last = (ArrayFormula(formula, channels) for formula in epilogue.formulas)
        self.sums = epilogue.sums
        self.table = epilogue.table
        if self.table is not None:
            self.results, self.origins = self.table.results.reshape(-1), self.table.origins(channels)

    def __call__(self, a: Array) -> Array:
        """The results for sums of products `a`."""
        a = self.first(a)
        if self.table is not None:
            a = self.results[a + self.origins]
        for formula in self.last:
            a = formula(a.sum(axis=(1, 2), dtype=formula.dtype, keepdims=True) if self.sums else a)
        return a


class ArrayFormula:
    """A `Formula` on whole arrays, channels last, in int32 where that is proven enough."""

    def __init__(self, formula: Formula, channels: int) -> None:
        self.dtype = formula.dtype
        self.constants = formula.constants(channels)

    def __call__(self, a: Array) -> Array:
        """The results for operands `a`."""
        bias, lo, hi, factor, half, shift, least, most = self.constants
        a = a.astype(self.dtype)
        a += bias
        np.clip(a, lo, hi, out=a)
        a *= factor
        a += half
        a >>= shift
        return np.clip(a, least, most, out=a)
