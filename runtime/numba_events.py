"""Events on the numba backend: one call counts those of all maps of a chunk, a cache line at a time.

A line of 32 elements becomes a mask of 32 bits: its population is added to the row, and the mask itself to 32 counters,
one for each place of a row, which tell the channels in the end.
"""

# Numba exports `carray` only at run time.
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined, call-arg, assignment"

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from cnn2snn_ir.runtime.backend import Count
from cnn2snn_ir.runtime.numba_kernels import compiled
from cnn2snn_ir.runtime.storage import ALIGNMENT, Array, Buffer, Layout
from cnn2snn_ir.runtime.vector_kernels import I16, I32, I64, Builder, pointer

LINE = 32
"""Elements that are looked at together."""

FULL = 65_535
"""Rows after which a counter of 16 bits may be full."""

MAP = np.dtype([(name, np.int64) for name in ("x", "bytes", "sample", "first", "pitch", "run", "height", "channels")])
"""Address and bytes of the elements; in elements: from a sample to the next, to the first row, from row to row; the
elements of a row; rows; channels."""


def counting(maps: Sequence[Buffer], heights: Sequence[int], channels: Sequence[int]) -> Count:
    """See `Backend.counting`."""
    entries = []
    for x, height, depth in zip(maps, heights, channels, strict=True):
        address, size = x.flat.ctypes.data, x.layout.dtype.itemsize
        entries.append((address, size, x.layout.sample_size, *rows_of(x.layout, height), height, depth))
    table = np.array(entries, MAP)

    def count(rows: Array, totals: Array) -> None:
        _count(table, rows, totals)
        assert maps  # the table holds their addresses

    return count


def rows_of(layout: Layout, height: int) -> tuple[int, int, int]:
    """Element offset of a map in its sample, and of each of its rows from the one before; elements of a row."""
    size = math.prod(layout.shape) // height
    if len(layout.shape) < 3:
        return 0, 0, size  # the only row
    ((top, _), (left, _)), (rows, columns) = layout.border, layout.padded[:2]
    pixel = layout.sample_size // (rows * columns)
    return (top * columns + left) * pixel, columns * pixel, size


@compiled
def _count(table, rows, totals):  # type: ignore[no-untyped-def]
    """Count the maps in `table`; `rows` and `totals` have those of one map after those of another."""
    row, channel = 0, 0
    for m in table:
        memory = np.zeros((-(-m.run // LINE) + 1) * LINE, np.uint16)
        met = memory[-memory.ctypes.data // 2 % LINE :]  # from a cache line's start on
        seen = 0
        for n in range(len(rows)):
            for r in range(m.height):
                at = m.x + (n * m.sample + m.first + r * m.pitch) * m.bytes
                if m.bytes == 2:
                    rows[n, row + r] = _count_run(at, met.ctypes.data, m.run)
                elif m.bytes == 4:
                    rows[n, row + r] = _count_wide(carray(pointer(at), m.run, np.int32), met)
                else:
                    rows[n, row + r] = _count_wide(carray(pointer(at), m.run, np.int64), met)
                seen += 1
                if seen == FULL:
                    _add_up(met[: m.run], totals[channel : channel + m.channels])
                    seen = 0
        _add_up(met[: m.run], totals[channel : channel + m.channels])
        row += m.height
        channel += m.channels


@njit(error_model="numpy")
def _add_up(met, totals):  # type: ignore[no-untyped-def]
    """Add the counters of a row to those of the channels, and begin anew."""
    for first in range(0, met.size, totals.size):
        for k in range(totals.size):
            totals[k] += met[first + k]
    met[:] = 0


@njit(error_model="numpy")
def _count_wide(run, met):  # type: ignore[no-untyped-def]
    """The same as `_count_run` for elements of more bits, which are few."""
    total = 0
    for i in range(run.size):
        event = np.uint16(run[i] != 0)
        total += event
        met[i] += event
    return total


@intrinsic
def _count_run(_, x, met, run):  # type: ignore[no-untyped-def]
    """How many of the `run` int16 elements at address `x` are not zero; each is added to its counter at `met`.

    The last line may reach beyond the run, as far as the slack of a buffer.
    """

    def codegen(context: Any, b: Builder, signature: Any, values: Any) -> Any:
        x, met, run = values
        line, lanes = ir.VectorType(I16, LINE), ir.VectorType(I32, LINE)
        xs, counters = b.inttoptr(x, I16.as_pointer()), b.inttoptr(met, I16.as_pointer())
        population = b.module.declare_intrinsic("llvm.ctpop", [I32])
        total = cgutils.alloca_once_value(b, I64(0))

        def count(at: Any, mask: Any) -> None:
            here = b.load(b.bitcast(b.gep(xs, [at]), line.as_pointer()))
            here.align = 2
            events = b.icmp_signed("!=", here, line([0] * LINE))
            events = events if mask is None else b.and_(events, mask)
            counter = b.bitcast(b.gep(counters, [at]), line.as_pointer())
            before = b.load(counter)
            before.align = ALIGNMENT
            b.store(b.add(before, b.zext(events, line)), counter).align = ALIGNMENT
            found = b.call(population, [b.bitcast(events, I32)])
            b.store(b.add(b.load(total), b.zext(found, I64)), total)

        whole = b.sdiv(run, I64(LINE))
        rest = b.srem(run, I64(LINE))
        with cgutils.for_range(b, whole) as index:
            count(b.mul(index.index, I64(LINE)), None)
        with b.if_then(b.icmp_signed(">", rest, I64(0))):
            undefined = lanes(ir.Undefined)
            length = b.insert_element(undefined, b.trunc(rest, I32), I32(0))
            length = b.shuffle_vector(length, undefined, lanes([0] * LINE))
            count(b.mul(whole, I64(LINE)), b.icmp_signed("<", lanes(list(range(LINE))), length))
        return b.load(total)

    return types.int64(types.int64, types.int64, types.int64), codegen
