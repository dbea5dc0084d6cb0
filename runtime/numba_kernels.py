"""The compiled kernels of the numba backend, and the loop that runs a list of commands for them.

A command holds addresses and sizes; a whole network is one call without the interpreter, so that small batches
do not wait for Python and threads do not wait for its lock.  Maps hold int16 elements, or int32 where a field says
`wide`; a position is an element offset within a sample.
"""

# Numba exports `carray` only at run time.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numba import carray, njit

from cnn2snn_ir.runtime.vector_kernels import (
    BLOCK,
    LANES,
    MULTIPLIES_BYTES,
    ROWS,
    Form,
    depthwise_tile,
    dot_tile,
    pointer,
)


class Kernel(IntEnum):
    """What a command does."""

    CONVOLVE = 0
    DEPTHWISE = 1
    MAX_POOL = 2
    AVERAGE_POOL = 3
    ADD = 4
    QUANTIZE = 5
    DEQUANTIZE = 6
    LOOKUP = 7
    COPY = 8
    LEVELS = 9
    FILL = 10
    NARROW = 11


_FIELDS = (
    ("kernel", "a `Kernel`"),
    ("x", "address of the operand"),
    ("x_size", "elements from one of its samples to the next"),
    ("x_wide", "1 if its elements are int32"),
    ("starts", "address of int64 offsets of the windows or pixels read"),
    ("positions", "how many there are, in x and in y"),
    ("y", "address of the result"),
    ("y_size", "elements from one of its samples to the next"),
    ("y_wide", "1 if its elements are int32"),
    ("places", "address of int64 offsets of the pixels written"),
    ("channels", "of a pixel written, or elements of a run of pixels"),
    ("constants", "address of the table of `Formula.constants`, int32 [8][width]"),
    ("width", "its row length"),
    ("w", "address of the packed weights"),
    ("form", "a `Form` of a convolution; a depthwise one has 16-bit elements and weights"),
    ("segments", "runs of neighbours in a window"),
    ("pitch", "elements from one run to the next"),
    ("groups", "groups of elements in a run, or pairs of taps"),
    ("taps", "address of int64 offsets of a window's taps [pair][2]"),
    ("b", "address of the second operand of an addition, int16"),
    ("b_size", "elements from one of its samples to the next"),
    ("b_starts", "address of int64 offsets of its pixels"),
    ("factors", "address of int32 [2][channels], the weights of an addition, or [width] of a row made narrow"),
    ("rows", "of the map that is pooled"),
    ("columns", "of the map that is pooled"),
    ("pooled_columns", "of the map after pooling"),
    ("pool_height", "of the window"),
    ("pool_width", "of the window"),
    ("pool_down", "step of the window"),
    ("pool_right", "step of the window"),
    ("pool_top", "rows by which the first window lies above the map"),
    ("pool_left", "columns by which the first window lies left of the map"),
    ("table", "address of results by index, of the type of y"),
    ("entries", "of the table, for all channels"),
    ("origins", "address of int64, the entry of index 0 of each channel"),
    ("scales", "address of float64 (to integers) or float32 (from integers) scales, one a channel"),
    ("zero_points", "address of int64, one a channel"),
    ("boundaries", "address of int32 [levels][channels], the smallest potential of each level"),
    ("levels", "how many there are"),
    ("lo", "the smallest integer of the result's type"),
    ("hi", "the largest"),
)

COMMAND = np.dtype([(name, np.int64) for name, _ in _FIELDS])
"""One command; a kernel reads the fields that it needs, the others are 0."""

_depthwise_many, _depthwise_one = depthwise_tile(ROWS), depthwise_tile(1)


def compiled(function: Any) -> Any:
    """Compile `function` at its first call; release the interpreter lock while it runs."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no directory to keep compiled code in: every process compiles for itself
        return njit(nogil=True, error_model="numpy")(function)


@njit(error_model="numpy")
def _locate(c, at, total, rows, x_starts, y_places, starts, places):  # type: ignore[no-untyped-def]
    """Element offsets of `rows` windows and of their results, from window number `at` of `total` on.

    After the last window comes the last window again: a whole tile costs less than a few rows one by one.
    """
    sample, position = at // c.positions, at % c.positions
    for r in range(rows):
        starts[r] = sample * c.x_size + x_starts[position]
        places[r] = sample * c.y_size + y_places[position]
        if at + r + 1 < total:
            position += 1
            if position == c.positions:
                position = 0
                sample += 1


def _convolution(form: Form) -> Any:
    """The kernel for elements and weights of a form."""
    many_two, many_one = dot_tile(ROWS, 2, form), dot_tile(ROWS, 1, form)
    one_two, one_one = dot_tile(1, 2, form), dot_tile(1, 1, form)
    group_bytes = form.vector_bytes

    @njit(error_model="numpy")
    def convolve(samples, c):  # type: ignore[no-untyped-def]
        """Convolution or dense layer: the window at each of `starts` gives the channels at the same of `places`."""
        x_starts = carray(pointer(c.starts), c.positions, np.int64)
        y_places = carray(pointer(c.places), c.positions, np.int64)
        total = samples * c.positions
        rows = ROWS if total > 1 else 1
        vector_bytes = c.segments * c.groups * group_bytes
        starts, places = np.empty(ROWS, np.int64), np.empty(ROWS, np.int64)
        s, p = starts.ctypes.data, places.ctypes.data
        x, segments, pitch, groups, constants, width = c.x, c.segments, c.pitch, c.groups, c.constants, c.width
        y, wide, channels = c.y, c.y_wide, c.channels
        for done in range(0, total, rows):
            _locate(c, done, total, rows, x_starts, y_places, starts, places)
            for first in range(0, channels, BLOCK):
                w = c.w + first // LANES * vector_bytes
                if first + LANES < channels:
                    if rows == ROWS:
                        many_two(x, s, segments, pitch, groups, w, constants, width, y, wide, p, first, channels)
                    else:
                        one_two(x, s, segments, pitch, groups, w, constants, width, y, wide, p, first, channels)
                elif rows == ROWS:
                    many_one(x, s, segments, pitch, groups, w, constants, width, y, wide, p, first, channels)
                else:
                    one_one(x, s, segments, pitch, groups, w, constants, width, y, wide, p, first, channels)

    return convolve


_convolve_shorts, _convolve_byte_weights = _convolution(Form.SHORTS), _convolution(Form.BYTE_WEIGHTS)
_convolve_bytes = _convolution(Form.BYTES if MULTIPLIES_BYTES else Form.SHORTS)


@njit(error_model="numpy")
def _depthwise(samples, c):  # type: ignore[no-untyped-def]
    """The same, each channel with its own weights."""
    x_starts = carray(pointer(c.starts), c.positions, np.int64)
    y_places = carray(pointer(c.places), c.positions, np.int64)
    total = samples * c.positions
    rows = ROWS if total > 1 else 1
    starts, places = np.empty(ROWS, np.int64), np.empty(ROWS, np.int64)
    s, p = starts.ctypes.data, places.ctypes.data
    taps, pairs, constants, width, y, wide, channels = c.taps, c.groups, c.constants, c.width, c.y, c.y_wide, c.channels
    for done in range(0, total, rows):
        _locate(c, done, total, rows, x_starts, y_places, starts, places)
        for first in range(0, channels, BLOCK):
            x, w = c.x + 2 * first, c.w + first * pairs * 4
            if rows == ROWS:
                _depthwise_many(x, s, taps, pairs, w, constants, width, y, wide, p, first, channels)
            else:
                _depthwise_one(x, s, taps, pairs, w, constants, width, y, wide, p, first, channels)


@njit(error_model="numpy")
def _finish(sums, constants, y):  # type: ignore[no-untyped-def]
    """The formula of `requantize`, without its last clamp, for one pixel whose sums are int32.

    Numba computes integers in 64 bits unless told otherwise after every operation, and LLVM shifts 32-bit vectors
    only if it sees that the shift is below 32.
    """
    for c in range(len(y)):
        a = np.int32(sums[c] + constants[0, c])
        a = np.int32(min(max(a, constants[1, c]), constants[2, c]))
        a = np.int32(np.int32(a * constants[3, c]) + constants[4, c])
        y[c] = a >> np.int32(constants[5, c] & 31)


@njit(error_model="numpy")
def _max_pool(samples, c, x, y):  # type: ignore[no-untyped-def]
    """Maximum over windows, which are cut off at the edges: of the rows first, whole rows at once, then of columns."""
    places = carray(pointer(c.places), c.positions, np.int64)
    length = c.columns * c.channels
    row = np.empty(length, x.dtype)
    for n in range(samples):
        base = n * c.rows * length
        for p in range(0, c.positions, c.pooled_columns):
            top = p // c.pooled_columns * c.pool_down - c.pool_top
            bottom, top = min(top + c.pool_height, c.rows), max(top, 0)
            highest = x[base + top * length : base + (top + 1) * length]
            for k in range(len(row)):
                row[k] = highest[k]
            for i in range(top + 1, bottom):
                other = x[base + i * length : base + (i + 1) * length]
                for k in range(len(row)):
                    row[k] = max(row[k], other[k])
            for q in range(c.pooled_columns):
                left = q * c.pool_right - c.pool_left
                right, left = min(left + c.pool_width, c.columns), max(left, 0)
                start = n * c.y_size + places[p + q]
                best = y[start : start + c.channels]
                leftmost = row[left * c.channels : (left + 1) * c.channels]
                for k in range(len(best)):
                    best[k] = leftmost[k]
                for j in range(left + 1, right):
                    pixel = row[j * c.channels : (j + 1) * c.channels]
                    for k in range(len(best)):
                        best[k] = max(best[k], pixel[k])


@njit(error_model="numpy")
def _average_pool(samples, c, x, y):  # type: ignore[no-untyped-def]
    """Sum over the positions of `x` [samples · rows · columns, channels], int32, then the epilogue."""
    constants = carray(pointer(c.constants), (8, c.width), np.int32)
    place = carray(pointer(c.places), 1, np.int64)[0]
    area = c.rows * c.columns
    sums = np.empty(c.channels, np.int32)
    for n in range(samples):
        for k in range(len(sums)):
            sums[k] = 0
        for p in range(n * area, (n + 1) * area):
            pixel = x[p]
            for k in range(len(sums)):
                sums[k] += pixel[k]
        start = n * c.y_size + place
        _finish(sums, constants, y[start : start + c.channels])


@njit(error_model="numpy")
def _add(samples, c, a, b, y):  # type: ignore[no-untyped-def]
    """Weighted sum of two maps, then the epilogue."""
    constants = carray(pointer(c.constants), (8, c.width), np.int32)
    factors = carray(pointer(c.factors), (2, c.channels), np.int32)
    starts = carray(pointer(c.starts), c.positions, np.int64)
    b_starts = carray(pointer(c.b_starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    sums = np.empty(c.channels, np.int32)
    for n in range(samples):
        for p in range(c.positions):
            i, j, k = n * c.x_size + starts[p], n * c.b_size + b_starts[p], n * c.y_size + places[p]
            from_a, from_b, to = a[i : i + c.channels], b[j : j + c.channels], y[k : k + c.channels]
            for m in range(len(sums)):
                scaled_a, scaled_b = np.int32(from_a[m] * factors[0, m]), np.int32(from_b[m] * factors[1, m])
                sums[m] = scaled_a + scaled_b
            _finish(sums, constants, to)


@njit(error_model="numpy")
def _lookup(samples, c, x, table, y):  # type: ignore[no-untyped-def]
    """Entries of a table by index."""
    origins = carray(pointer(c.origins), c.channels, np.int64)
    starts = carray(pointer(c.starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    for n in range(samples):
        for p in range(c.positions):
            i, k = n * c.x_size + starts[p], n * c.y_size + places[p]
            pixel, out = x[i : i + c.channels], y[k : k + c.channels]
            for m in range(len(out)):
                out[m] = table[origins[m] + pixel[m]]


@njit(error_model="numpy")
def _copy(samples, c, x, y):  # type: ignore[no-untyped-def]
    """The same integers elsewhere."""
    starts = carray(pointer(c.starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    for n in range(samples):
        for p in range(c.positions):
            i, k = n * c.x_size + starts[p], n * c.y_size + places[p]
            pixel, out = x[i : i + c.channels], y[k : k + c.channels]
            for m in range(len(out)):
                out[m] = pixel[m]


@njit(error_model="numpy")
def _quantize(samples, c, y):  # type: ignore[no-untyped-def]
    """Floats to integers: rounded half to even, clamped, offset, clamped; NaN is 0."""
    x = carray(pointer(c.x), samples * c.x_size, np.float32)
    scales = carray(pointer(c.scales), c.channels, np.float64)
    zero_points = carray(pointer(c.zero_points), c.channels, np.int64)
    starts = carray(pointer(c.starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    lo, hi = c.lo, c.hi
    for n in range(samples):
        for p in range(c.positions):
            i, k = n * c.x_size + starts[p], n * c.y_size + places[p]
            pixel, out = x[i : i + c.channels], y[k : k + c.channels]
            for m in range(len(out)):
                scaled = np.rint(np.float64(pixel[m]) * scales[m])
                scaled = scaled if scaled == scaled else 0.0
                out[m] = min(max(np.int64(min(max(scaled, lo), hi)) + zero_points[m], lo), hi)


@njit(error_model="numpy")
def _dequantize(samples, c, x):  # type: ignore[no-untyped-def]
    """Integers to floats, times a scale."""
    y = carray(pointer(c.y), samples * c.y_size, np.float32)
    scales = carray(pointer(c.scales), c.channels, np.float32)
    starts = carray(pointer(c.starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    for n in range(samples):
        for p in range(c.positions):
            i, k = n * c.x_size + starts[p], n * c.y_size + places[p]
            pixel, out = x[i : i + c.channels], y[k : k + c.channels]
            for m in range(len(out)):
                out[m] = np.float32(pixel[m]) * scales[m]


@njit(error_model="numpy")
def _levels(samples, c, x, y):  # type: ignore[no-untyped-def]
    """How many boundaries each potential reaches."""
    starts = carray(pointer(c.starts), c.positions, np.int64)
    places = carray(pointer(c.places), c.positions, np.int64)
    boundaries = carray(pointer(c.boundaries), (c.levels, c.channels), np.int32)
    reached = np.empty(c.channels, np.int32)
    for n in range(samples):
        for p in range(c.positions):
            i, k = n * c.x_size + starts[p], n * c.y_size + places[p]
            pixel, out = x[i : i + c.channels], y[k : k + c.channels]
            reached[:] = 0
            for level in range(c.levels):
                boundary = boundaries[level]
                for m in range(len(reached)):
                    reached[m] += np.int32(pixel[m] >= boundary[m])
            for m in range(len(out)):
                out[m] = reached[m]


@njit(error_model="numpy")
def _fill(samples, c, x, y):  # type: ignore[no-untyped-def]
    """The same pixel everywhere."""
    places = carray(pointer(c.places), c.positions, np.int64)
    for n in range(samples):
        for p in range(c.positions):
            k = n * c.y_size + places[p]
            out = y[k : k + c.channels]
            for m in range(len(out)):
                out[m] = x[m]


@njit(error_model="numpy")
def _narrow(samples, c):  # type: ignore[no-untyped-def]
    """Elements times the factors of their channels in a byte each, row by row, borders included."""
    x = carray(pointer(c.x), samples * c.x_size, np.int16)
    y = carray(pointer(c.y), samples * c.x_size, np.uint8)
    factors = carray(pointer(c.factors), c.width, np.int32)
    for first in range(0, samples * c.x_size, c.width):
        row, out = x[first : first + c.width], y[first : first + c.width]
        for m in range(len(factors)):
            out[m] = np.int32(row[m] * factors[m])


@compiled
def execute(samples, commands):  # type: ignore[no-untyped-def]
    """Run `commands`, an array of `COMMAND`, on the first `samples` samples of the buffers they name."""
    for index in range(len(commands)):
        c = commands[index]
        x_length, y_length = samples * c.x_size, samples * c.y_size
        x = carray(pointer(c.x), x_length, np.int16)
        y = carray(pointer(c.y), y_length, np.int16)
        wide_x = carray(pointer(c.x), x_length, np.int32)
        wide_y = carray(pointer(c.y), y_length, np.int32)
        if c.kernel == 0:
            if c.form == 11:
                _convolve_bytes(samples, c)
            elif c.form == 21:
                _convolve_byte_weights(samples, c)
            else:
                _convolve_shorts(samples, c)
        elif c.kernel == 1:
            _depthwise(samples, c)
        elif c.kernel == 2:
            if c.x_wide:
                _max_pool(samples, c, wide_x, wide_y)
            else:
                _max_pool(samples, c, x, y)
        elif c.kernel == 3:
            shape = (samples * c.rows * c.columns, c.channels)
            if c.y_wide:
                _average_pool(samples, c, carray(pointer(c.x), shape, np.int32), wide_y)
            else:
                _average_pool(samples, c, carray(pointer(c.x), shape, np.int32), y)
        elif c.kernel == 4:
            b = carray(pointer(c.b), samples * c.b_size, np.int16)
            if c.y_wide:
                _add(samples, c, x, b, wide_y)
            else:
                _add(samples, c, x, b, y)
        elif c.kernel == 5:
            _quantize(samples, c, y)
        elif c.kernel == 6:
            if c.x_wide:
                _dequantize(samples, c, wide_x)
            else:
                _dequantize(samples, c, x)
        elif c.kernel == 7:
            if c.y_wide:
                _lookup(samples, c, x, carray(pointer(c.table), c.entries, np.int32), wide_y)
            else:
                _lookup(samples, c, x, carray(pointer(c.table), c.entries, np.int16), y)
        elif c.kernel == 8:
            if c.x_wide:
                _copy(samples, c, wide_x, wide_y)
            elif c.y_wide:
                _copy(samples, c, x, wide_y)
            else:
                _copy(samples, c, x, y)
        elif c.kernel == 9:
            if c.x_wide:
                _levels(samples, c, wide_x, y)
            else:
                _levels(samples, c, x, y)
        elif c.kernel == 10:
            if c.y_wide:
                _fill(samples, c, carray(pointer(c.x), c.channels, np.int32), wide_y)
            else:
                _fill(samples, c, carray(pointer(c.x), c.channels, np.int16), y)
        elif c.kernel == 11:
            _narrow(samples, c)
