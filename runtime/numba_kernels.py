"""The compiled kernels of the numba backend.

Maps are flat int16 arrays; a position is an element offset within a sample.  `constants` is the table of
`Epilogue.constants`, in int32 or int64: numba compiles one version of a kernel for each combination of types
that a program needs, when it needs it, and keeps it on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cnn2snn_ir.runtime.vector_kernels import BLOCK, LANES, ROWS, depthwise_tile, dot_tile

_dot_many_two, _dot_many_one = dot_tile(ROWS, 2), dot_tile(ROWS, 1)
_dot_one_two, _dot_one_one = dot_tile(1, 2), dot_tile(1, 1)
_depthwise_many, _depthwise_one = depthwise_tile(ROWS), depthwise_tile(1)


def _compiled(function: Any) -> Any:
    """Compile `function` at its first call with new types; release the interpreter lock while it runs."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no directory to keep compiled code in: every process compiles for itself
        return njit(**options)(function)


@njit(inline="always")
def _finish(sums, constants, channels, y, start):  # type: ignore[no-untyped-def]
    """One position: the formula of `requantize`.

    Numba computes integers in 64 bits unless told otherwise after every operation, and LLVM shifts 32-bit vectors
    only if it sees that the shift is below 32.
    """
    kind = constants.dtype.type
    last_bit = kind(np.iinfo(constants.dtype).bits - 1)
    out = y[start : start + channels]
    for c in range(channels):
        a = kind(kind(sums[c]) + constants[0, c])
        a = kind(min(max(a, constants[1, c]), constants[2, c]))
        a = kind(kind(a * constants[3, c]) + constants[4, c])
        a = kind(a >> kind(constants[5, c] & last_bit))
        out[c] = min(max(a, constants[6, c]), constants[7, c])


@njit(inline="always")
def _locate(at, rows, x_size, x_starts, y_size, y_places, starts, places):  # type: ignore[no-untyped-def]
    """Element offsets of `rows` windows and of their results, from window number `at` of the whole batch on."""
    positions = len(x_starts)
    sample, position = at // positions, at % positions
    for r in range(rows):
        starts[r] = sample * x_size + x_starts[position]
        places[r] = sample * y_size + y_places[position]
        position += 1
        if position == positions:
            position = 0
            sample += 1


@_compiled
def convolve(samples, x, x_size, x_starts, segments, pitch, pairs, w, constants, y, y_size, y_places, channels):  # type: ignore[no-untyped-def]
    """Convolution or dense layer: the window at each of `x_starts` gives the channels at the same of `y_places`.

    A window is `segments` runs of 2 · `pairs` elements, `pitch` apart; `w` is packed as `dot_tile` wants it.
    The last tile overlaps the one before it: computing a position twice costs less than computing it alone.
    """
    total = samples * len(x_starts)
    rows = ROWS if total >= ROWS else 1
    vector_bytes = segments * pairs * BLOCK * 2
    starts = np.empty(ROWS, np.int64)
    places = np.empty(ROWS, np.int64)
    xs, ss, ps = x.ctypes.data, starts.ctypes.data, places.ctypes.data
    for done in range(0, total, rows):
        _locate(min(done, total - rows), rows, x_size, x_starts, y_size, y_places, starts, places)
        for first in range(0, channels, BLOCK):
            ws = w.ctypes.data + first // LANES * vector_bytes
            if first + LANES < channels:
                if rows == ROWS:
                    _dot_many_two(xs, ss, segments, pitch, pairs, ws, constants, y, ps, first, channels)
                else:
                    _dot_one_two(xs, ss, segments, pitch, pairs, ws, constants, y, ps, first, channels)
            elif rows == ROWS:
                _dot_many_one(xs, ss, segments, pitch, pairs, ws, constants, y, ps, first, channels)
            else:
                _dot_one_one(xs, ss, segments, pitch, pairs, ws, constants, y, ps, first, channels)


@_compiled
def convolve_depthwise(samples, x, x_size, x_starts, taps, w, constants, y, y_size, y_places, channels):  # type: ignore[no-untyped-def]
    """Depthwise convolution; `taps` and `w`, in blocks of channels, are packed as `depthwise_tile` wants them."""
    total = samples * len(x_starts)
    rows = ROWS if total >= ROWS else 1
    pairs = len(taps) // 2
    starts = np.empty(ROWS, np.int64)
    places = np.empty(ROWS, np.int64)
    ts, ss, ps = taps.ctypes.data, starts.ctypes.data, places.ctypes.data
    for done in range(0, total, rows):
        _locate(min(done, total - rows), rows, x_size, x_starts, y_size, y_places, starts, places)
        for first in range(0, channels, BLOCK):
            xs, ws = x.ctypes.data + 2 * first, w.ctypes.data + first * pairs * 4
            if rows == ROWS:
                _depthwise_many(xs, ss, ts, pairs, ws, constants, y, ps, first, channels)
            else:
                _depthwise_one(xs, ss, ts, pairs, ws, constants, y, ps, first, channels)


@_compiled
def max_pool(samples, x, rows, columns, y, y_size, y_places, y_columns, size, step, before):  # type: ignore[no-untyped-def]
    """Maximum over windows of `x` [samples, rows, columns, channels]; windows are cut off at the edges."""
    channels = x.shape[1]
    for n in range(samples):
        for p in range(len(y_places)):
            top, left = p // y_columns * step[0] - before[0], p % y_columns * step[1] - before[1]
            start = n * y_size + y_places[p]
            best = y[start : start + channels]
            best[:] = x[(n * rows + max(top, 0)) * columns + max(left, 0)]
            for i in range(max(top, 0), min(top + size[0], rows)):
                for j in range(max(left, 0), min(left + size[1], columns)):
                    pixel = x[(n * rows + i) * columns + j]
                    for c in range(channels):
                        best[c] = max(best[c], pixel[c])


@_compiled
def average_pool(samples, x, positions, constants, y, y_size):  # type: ignore[no-untyped-def]
    """Sum over the positions of `x` [samples · positions, channels], then the epilogue."""
    kind = constants.dtype.type
    channels = x.shape[1]
    sums = np.empty(channels, constants.dtype)
    for n in range(samples):
        sums[:] = 0
        for p in range(positions):
            pixel = x[n * positions + p]
            for c in range(channels):
                sums[c] += kind(pixel[c])
        _finish(sums, constants, channels, y, n * y_size)


@_compiled
def add(samples, a, a_size, a_places, a_factor, b, b_size, b_places, b_factor, constants, y, y_size, y_places):  # type: ignore[no-untyped-def]
    """Weighted sum of two maps, then the epilogue."""
    kind = constants.dtype.type
    channels = constants.shape[1]
    sums = np.empty(channels, constants.dtype)
    for n in range(samples):
        for p in range(len(y_places)):
            i, j = n * a_size + a_places[p], n * b_size + b_places[p]
            from_a, from_b = a[i : i + channels], b[j : j + channels]
            for c in range(channels):
                sums[c] = kind(kind(from_a[c]) * a_factor[c]) + kind(kind(from_b[c]) * b_factor[c])
            _finish(sums, constants, channels, y, n * y_size + y_places[p])


@_compiled
def quantize(samples, x, scales, zero_points, lo, hi, y, y_size, y_places):  # type: ignore[no-untyped-def]
    """Floats `x` [samples · pixels, channels] to integers: rounded half to even, clamped, offset, clamped; NaN is 0."""
    channels = x.shape[1]
    for n in range(samples):
        for p in range(len(y_places)):
            start = n * y_size + y_places[p]
            pixel, out = x[n * len(y_places) + p], y[start : start + channels]
            for c in range(channels):
                scaled = np.rint(np.float64(pixel[c]) * scales[c])
                scaled = scaled if scaled == scaled else 0.0
                out[c] = min(max(np.int64(min(max(scaled, lo), hi)) + zero_points[c], lo), hi)
