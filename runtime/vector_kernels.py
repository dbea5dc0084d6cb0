"""The two inner loops of the numba backend, written in LLVM's vector types.

Both multiply 16-bit integers and add pairs of products into 32-bit sums: one instruction on x86 (vpdpwssd, or
pmaddwd and an addition), which LLVM chooses by itself from the portable form below.  Where the processor has an
instruction that adds four products of unsigned and signed bytes (vpdpbusd), convolutions of such do twice as many.
Loops written in Python would compute the same, but no compiler keeps a tile of sums in registers for them.  The
epilogue follows in the same registers; it needs no clamp at its end, see `Formula.ends_in_range`.

Addresses are integers and elements are counted from them; nothing is checked here.
"""

# Numba gives its settings their names at run time.
# mypy: disable-error-code="attr-defined, import-untyped, no-untyped-call"

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeAlias

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""32-bit sums in one vector."""

BLOCK = 2 * LANES
"""Channels that are computed together: the sums of one position are two vectors."""


def has(feature: str) -> bool:
    """True if code may use a feature of processors: this one has it, and no setting of numba says otherwise."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return f"+{feature}" in (config.CPU_FEATURES or "").split(",")
    return bool(llvm.get_host_cpu_features().get(feature))


MULTIPLIES_BYTES = has("avx512vnni")
"""True if there is vpdpbusd for vectors of 512 bits; no sum of its products is rounded or saturated."""

ROWS = 8 if has("avx512bw") else 2
"""Positions that are computed together: 16 vectors of sums fill half of 32 registers of 512 bits, 4 as many of 256."""

EIGHTS = np.arange(BLOCK).reshape(4, 2, 4).transpose(1, 0, 2).reshape(-1)
"""Order of the channels when two vectors are interleaved within 128-bit lanes, as x86 does: 0..3, 8..11, …, 4..7, …"""

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SUMS = ir.VectorType(I32, LANES)
PAIRS = ir.VectorType(I16, BLOCK)
PRODUCTS = ir.VectorType(I32, BLOCK)
SHORTS = ir.VectorType(I16, LANES)

Builder: TypeAlias = Any
"""`ir.IRBuilder`, of a library without type hints."""


class Form(IntEnum):
    """The bytes of the elements and of the weights of a convolution, each a digit."""

    SHORTS = 22
    BYTE_WEIGHTS = 21
    """A byte becomes a 16-bit integer as it is read."""
    BYTES = 11
    """Elements without a sign; where `MULTIPLIES_BYTES`."""

    @property
    def group(self) -> int:
        """Elements that are multiplied and added up in one 32-bit lane."""
        return 4 // (self // 10)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the weights of so many filters as a vector has lanes, for one group."""
        return LANES * self.group * (self % 10)


def dot_tile(rows: int, vectors: int, form: Form) -> Any:
    """A function that computes `rows` positions of `vectors` · 16 filters.

        tile(x, starts, segments, pitch, groups, w, constants, width, y, wide, places, first, channels)

    x: address of elements as `form` says; starts: address of int64 element offsets, one a row.  Each row is multiplied
    with `segments` runs of so many groups of elements, `pitch` elements apart.
    w: address of weights [vector][segment][group][filter][element].
    constants: address of the int32 table [8][width] of `Formula.constants`.
    y: address of int16 elements, or int32 if `wide`; places: address of int64 element offsets in y, one a row.
    first: number of the first filter, of `channels`.
    """

    @intrinsic
    def tile(_, x, starts, segments, pitch, groups, w, constants, width, y, wide, places, first, channels):  # type: ignore[no-untyped-def]
        def codegen(context: Any, b: Builder, signature: Any, values: Any) -> Any:
            x, starts, segments, pitch, groups, w, *rest = values
            xs = _row_pointers(b, x, starts, rows, ir.IntType(32 // form.group))
            weights = b.inttoptr(w, ir.VectorType(ir.IntType(8 * (form % 10)), LANES * form.group).as_pointer())
            size = b.mul(segments, groups)
            sums = _biases(b, rows, vectors, *rest)
            with cgutils.for_range(b, segments) as segment:
                heads = [b.bitcast(b.gep(p, [b.mul(segment.index, pitch)]), I32.as_pointer()) for p in xs]
                base = b.mul(segment.index, groups)
                with cgutils.for_range(b, groups) as group:
                    index = b.add(base, group.index)
                    at = [b.add(index, b.mul(size, I64(v))) for v in range(vectors)]
                    columns = [_load(b, weights, place, form.vector_bytes) for place in at]
                    if form is Form.BYTE_WEIGHTS:
                        columns = [b.sext(column, PAIRS) for column in columns]
                    for head, row in zip(heads, sums, strict=True):
                        elements = _broadcast(b, _load(b, head, group.index, 4 // form.group))
                        for column, total in zip(columns, row, strict=True):
                            if form is Form.BYTES:
                                _accumulate_bytes(b, total, elements, column)
                            else:
                                _accumulate(b, total, b.bitcast(elements, PAIRS), column)
            _finish(b, [[b.load(v) for v in row] for row in sums], *rest)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 13), codegen

    return tile


def depthwise_tile(rows: int) -> Any:
    """A function that computes `rows` positions of 32 channels, each channel with its own weights.

        tile(x, starts, taps, pairs, w, constants, width, y, wide, places, first, channels)

    x, starts: as above, at the first channel; taps: address of int64 element offsets [pair][2] of the window.
    w: address of int16 weights [pair][channel][2], channels in the order `EIGHTS`; the rest as above.
    """

    @intrinsic
    def tile(_, x, starts, taps, pairs, w, constants, width, y, wide, places, first, channels):  # type: ignore[no-untyped-def]
        def codegen(context: Any, b: Builder, signature: Any, values: Any) -> Any:
            x, starts, taps, pairs, w, *rest = values
            xs = _row_pointers(b, x, starts, rows)
            offsets, weights = b.inttoptr(taps, I64.as_pointer()), b.inttoptr(w, PAIRS.as_pointer())
            sums = _biases(b, rows, 2, *rest, order=EIGHTS)
            with cgutils.for_range(b, pairs) as pair:
                even = b.mul(pair.index, I64(2))
                odd = b.add(even, I64(1))
                at = [b.load(b.gep(offsets, [index])) for index in (even, odd)]
                columns = [_load(b, weights, index, 64) for index in (even, odd)]
                for p, row in zip(xs, sums, strict=True):
                    taps_of_row = [_load(b, b.bitcast(b.gep(p, [o]), PAIRS.as_pointer()), I64(0), 2) for o in at]
                    for half, column, total in zip(_interleave(b, *taps_of_row), columns, row, strict=True):
                        _accumulate(b, total, half, column)
            ordered = [_in_order(b, *(b.load(v) for v in row)) for row in sums]
            _finish(b, ordered, *rest)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12), codegen

    return tile


def _row_pointers(b: Builder, x: Any, starts: Any, rows: int, element: Any = I16) -> list[Any]:
    base, table = b.inttoptr(x, element.as_pointer()), b.inttoptr(starts, I64.as_pointer())
    return [b.gep(base, [b.load(b.gep(table, [I64(r)]))]) for r in range(rows)]


def _biases(
    b: Builder, rows: int, vectors: int, constants: Any, width: Any, *rest: Any, order: Any = None
) -> list[list[Any]]:
    """Sums that begin with the biases, row 0 of the constants; LLVM keeps them in registers."""
    first = rest[-2]
    table = b.inttoptr(constants, I32.as_pointer())
    biases = [_load_sums(b, table, b.add(first, I64(LANES * v))) for v in range(vectors)]
    if order is not None:
        low, high = biases
        biases = [b.shuffle_vector(low, high, SUMS([int(i) for i in half])) for half in order.reshape(2, LANES)]
    return [[cgutils.alloca_once_value(b, bias) for bias in biases] for _ in range(rows)]


def _load_sums(b: Builder, table: Any, index: Any) -> Any:
    return _load(b, b.bitcast(b.gep(table, [index]), SUMS.as_pointer()), I64(0), 4)


def _load(b: Builder, pointer: Any, index: Any, align: int) -> Any:
    """What lies at element `index`, known to be aligned to `align` bytes."""
    loaded = b.load(b.gep(pointer, [index]))
    loaded.align = align
    return loaded


def _broadcast(b: Builder, scalar: Any) -> Any:
    undefined = SUMS(ir.Undefined)
    return b.shuffle_vector(b.insert_element(undefined, scalar, I32(0)), undefined, SUMS([0] * LANES))


def _accumulate(b: Builder, total: Any, x: Any, w: Any) -> None:
    """total[i] += x[2i] · w[2i] + x[2i+1] · w[2i+1]."""
    products = b.mul(b.sext(x, PRODUCTS), b.sext(w, PRODUCTS))
    undefined = PRODUCTS(ir.Undefined)
    even, odd = (b.shuffle_vector(products, undefined, SUMS(list(range(s, BLOCK, 2)))) for s in (0, 1))
    b.store(b.add(b.load(total), b.add(even, odd)), total)


def _accumulate_bytes(b: Builder, total: Any, x: Any, w: Any) -> None:
    """total[i] += x[4i] · w[4i] + … + x[4i+3] · w[4i+3]; x unsigned, w signed."""
    kind = ir.FunctionType(SUMS, [SUMS, SUMS, SUMS])
    add_products = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    b.store(b.call(add_products, [b.load(total), x, b.bitcast(w, SUMS)]), total)


def _interleave(b: Builder, even: Any, odd: Any) -> tuple[Any, Any]:
    """Pairs (even[c], odd[c]) of the channels `EIGHTS`, first and second half."""
    lanes = EIGHTS.reshape(2, LANES)
    masks = [PRODUCTS([int(i) for c in half for i in (c, c + BLOCK)]) for half in lanes]
    return b.shuffle_vector(even, odd, masks[0]), b.shuffle_vector(even, odd, masks[1])


def _in_order(b: Builder, low: Any, high: Any) -> list[Any]:
    """Sums of the channels `EIGHTS` in natural order."""
    place = np.argsort(EIGHTS).reshape(2, LANES)
    return [b.shuffle_vector(low, high, SUMS([int(i) for i in half])) for half in place]


def _finish(
    b: Builder,
    sums: list[list[Any]],
    constants: Any,
    width: Any,
    y: Any,
    wide: Any,
    places: Any,
    first: Any,
    channels: Any,
) -> None:
    """The formula of `requantize` after its bias and without its last clamp, and the stores."""
    table, offsets = b.inttoptr(constants, I32.as_pointer()), b.inttoptr(places, I64.as_pointer())
    for v in range(len(sums[0])):
        channel = b.add(first, I64(LANES * v))
        values = [_load_sums(b, table, b.add(b.mul(width, I64(i)), channel)) for i in range(1, 6)]
        results = [_formula(b, row[v], *values) for row in sums]
        at = [b.add(b.load(b.gep(offsets, [I64(r)])), channel) for r in range(len(sums))]
        with b.if_else(b.icmp_signed("!=", wide, I64(0))) as (as_int32, as_int16):
            with as_int32:
                _store(b, results, b.inttoptr(y, I32.as_pointer()), at, b.sub(channels, channel))
            with as_int16:
                short = [b.trunc(result, SHORTS) for result in results]
                _store(b, short, b.inttoptr(y, I16.as_pointer()), at, b.sub(channels, channel))


def _store(b: Builder, vectors: list[Any], y: Any, offsets: list[Any], count: Any) -> None:
    """Store the first `count` lanes of each vector, or all."""
    pointers = [b.bitcast(b.gep(y, [at]), vectors[0].type.as_pointer()) for at in offsets]
    with b.if_else(b.icmp_signed(">=", count, I64(LANES))) as (whole, part):
        with whole:
            for vector, pointer in zip(vectors, pointers, strict=True):
                b.store(vector, pointer).align = 2
        with part:
            mask = b.icmp_signed("<", SUMS(list(range(LANES))), _broadcast(b, b.trunc(count, I32)))
            for vector, pointer in zip(vectors, pointers, strict=True):
                _masked_store(b, vector, pointer, mask)


def _formula(b: Builder, a: Any, lo: Any, hi: Any, factor: Any, half: Any, shift: Any) -> Any:
    a = b.select(b.icmp_signed("<", a, lo), lo, a)
    a = b.select(b.icmp_signed(">", a, hi), hi, a)
    return b.ashr(b.add(b.mul(a, factor), half), shift)


def _masked_store(b: Builder, vector: Any, pointer: Any, mask: Any) -> None:
    name = f"llvm.masked.store.v{LANES}i{vector.type.element.width}.p0"
    kind = ir.FunctionType(ir.VoidType(), [vector.type, pointer.type, I32, mask.type])
    b.call(cgutils.get_or_insert_function(b.module, kind, name), [vector, pointer, I32(2), mask])


def _as_pointer(_, address):  # type: ignore[no-untyped-def]
    def codegen(context: Any, b: Builder, signature: Any, values: Any) -> Any:
        return b.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), codegen


pointer: Any = intrinsic(_as_pointer)
"""An address as the untyped pointer that `numba.carray` takes."""
