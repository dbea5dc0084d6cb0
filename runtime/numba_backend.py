"""The numba backend: 16-bit integers in and out of every layer, 32-bit sums, one fused pass for all the rest.

A layer whose numbers do not provably fit is left to the NumPy backend's float products, or to the reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from cnn2snn_ir.analysis.interval import Range, constant_integers
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Pool
from cnn2snn_ir.ir import ElementType, Op
from cnn2snn_ir.runtime.backend import Program
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.numba_kernels import COMMAND, Kernel, execute
from cnn2snn_ir.runtime.numpy_backend import blas_step
from cnn2snn_ir.runtime.packing import pack, pack_depthwise, whole_blocks
from cnn2snn_ir.runtime.requantize import INT32, Epilogue, fold_add, inside
from cnn2snn_ir.runtime.step import Buffers, Call, Step
from cnn2snn_ir.runtime.storage import Array, Buffer, Layout
from cnn2snn_ir.runtime.vector_kernels import BLOCK

Fields: TypeAlias = dict[str, int | Array]
"""Fields of a command; an array stands for its address."""

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
        match op:
            case akida2.Add():
                return add_step(op, program)
            case akida2.Quantizer():
                return QuantizeStep(op) if inside(Range.full(op.to), INT16) else None
            case akida2.Dequantizer():
                return DequantizeStep(op) if inside(program.ranges[op.x], INT32) else None
        layer = program.layers.get(op)
        if layer is None:
            return None
        if fits(layer, program.ranges[layer.x]):
            return LayerStep(layer)
        return blas_step(layer)

    def link(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """Commands that follow each other become one call."""
        linked: list[Call] = []
        for native, group in groupby(calls, lambda call: isinstance(call, Commands)):
            members = list(group)
            linked += [Commands.joined(members)] if native else members  # type: ignore[arg-type]
        return tuple(linked)


def fits(layer: Layer, x: Range) -> bool:
    """True if the kernels compute this layer exactly.

    A sum of products may wrap on its way, as long as its end lies within 32 bits.  A maximum is taken last, which
    is right if all that precedes it is monotone.
    """
    weights, fill = (Range.of(values.min(), values.max()) for values in (layer.weights, layer.fill))
    narrow = all(inside(values, INT16) for values in (x, weights, fill))
    commutes = layer.pool is not Pool.MAX or layer.epilogue.rescale.monotone
    return narrow and commutes and layer.epilogue.fits_int32 and layer.epilogue.ends_in_range


class Commands:
    """Commands for the kernels, and the arrays whose addresses they hold."""

    def __init__(self, rows: Array, arrays: list[Array]) -> None:
        self.rows = rows
        self.arrays = arrays

    @classmethod
    def of(cls, kernel: Kernel, **fields: int | Array) -> Commands:
        """One command."""
        rows = np.zeros(1, COMMAND)
        rows["kernel"] = kernel
        arrays = []
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                arrays.append(value)
                rows[name] = value.ctypes.data
            else:
                rows[name] = value
        return cls(rows, arrays)

    @classmethod
    def joined(cls, parts: Iterable[Commands]) -> Commands:
        """One after the other."""
        parts = list(parts)
        return cls(np.concatenate([part.rows for part in parts]), [a for part in parts for a in part.arrays])

    def __call__(self, count: int) -> None:
        """Run them."""
        execute(count, self.rows)


def is_wide(buffer: Buffer) -> int:
    """1 for int32."""
    return int(buffer.layout.dtype == np.int32)


def reading(x: Buffer) -> Fields:
    """The fields that say where operand `x` lies."""
    return {"x": x.flat, "x_size": x.layout.sample_size, "x_wide": is_wide(x)}


def writing(y: Buffer) -> Fields:
    """The fields that say where result `y` lies."""
    places = y.layout.pixels()
    channels = y.layout.channels
    place: Fields = {"y": y.flat, "y_size": y.layout.sample_size, "y_wide": is_wide(y), "places": places}
    return {**place, "positions": len(places), "channels": channels}


@dataclass(frozen=True, eq=False)
class LayerStep:
    """One layer with weights."""

    layer: Layer

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`.  Pooling reads what the convolution wrote to a buffer of this step's own."""
        layer, x, y = self.layer, buffers[self.layer.x], buffers[self.layer.y]
        if layer.pool is Pool.NONE:
            return convolution(layer, x, y, layer.epilogue)
        maximum = layer.pool is Pool.MAX
        dtype = y.layout.dtype if maximum else np.dtype(np.int32)
        between = Layout((*layer.positions, layer.filters), dtype).allocate(samples)
        if maximum:
            return Commands.joined([convolution(layer, x, between, layer.epilogue), max_pool(layer, between, y)])
        before, after = layer.epilogue.before_sum(), layer.epilogue.after_sum()
        return Commands.joined([convolution(layer, x, between, before), average_pool(layer, between, y, after)])


def convolution(layer: Layer, x: Buffer, y: Buffer, epilogue: Epilogue) -> Commands:
    """A layer without its pooling, from `x` to `y`."""
    if layer.depthwise:
        return depthwise_convolution(layer, x, y, epilogue)
    pitch = layer.row_pitch(x.layout)
    segments, pairs, w = pack(layer, pitch)
    constants = whole_blocks(epilogue.constants(layer.filters))
    return Commands.of(
        Kernel.CONVOLVE,
        **reading(x),
        **writing(y),
        starts=layer.window_starts(x.layout),
        segments=segments,
        pitch=pitch,
        pairs=pairs,
        w=w,
        constants=constants,
        width=constants.shape[1],
    )


def depthwise_convolution(layer: Layer, x: Buffer, y: Buffer, epilogue: Epilogue) -> Commands:
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
    grouped: Fields = {"starts": starts, "places": places, "positions": len(starts), "channels": layer.filters * group}
    return Commands.of(
        Kernel.DEPTHWISE,
        **reading(x),
        **{**writing(y), **grouped},
        taps=taps,
        pairs=len(taps) // 2,
        w=w,
        constants=constants,
        width=constants.shape[1],
    )


def max_pool(layer: Layer, x: Buffer, y: Buffer) -> Commands:
    """Max pooling from `x`, which has no border, to `y`."""
    assert isinstance(layer.op, akida2.ConvLayer)
    ((top, _), (left, _)) = layer.pool_border
    (height, width), (down, right) = layer.op.pool_size, layer.op.pool_stride
    return Commands.of(
        Kernel.MAX_POOL,
        **reading(x),
        **writing(y),
        rows=layer.positions[0],
        columns=layer.positions[1],
        pooled_columns=y.layout.shape[1],
        pool_height=height,
        pool_width=width,
        pool_down=down,
        pool_right=right,
        pool_top=top,
        pool_left=left,
    )


def average_pool(layer: Layer, x: Buffer, y: Buffer, epilogue: Epilogue) -> Commands:
    """Sum over all positions of `x`, which has no border, scaled to `y`."""
    rows, columns = layer.positions
    constants = epilogue.constants(layer.filters)
    size: Fields = {"rows": rows, "columns": columns, "constants": constants, "width": layer.filters}
    return Commands.of(Kernel.AVERAGE_POOL, **reading(x), **writing(y), **size)


def add_step(op: akida2.Add, program: Program) -> Step | None:
    """The step of an addition, or None if an operand could saturate or does not fit."""
    a, b = program.ranges[op.a], program.ranges[op.b]
    epilogue = fold_add(op, a, b)
    if epilogue is None or not (epilogue.fits_int32 and epilogue.ends_in_range):
        return None
    if not (inside(a, INT16) and inside(b, INT16)):
        return None
    return AddStep(op, epilogue)


@dataclass(frozen=True, eq=False)
class AddStep:
    """An addition whose operands provably do not saturate."""

    op: akida2.Add
    epilogue: Epilogue

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`."""
        a, b, y = (buffers[v] for v in (self.op.a, self.op.b, self.op.result))
        shifts = (constant_integers(shift) for shift in (self.op.a_shift, self.op.b_shift))
        channels = y.layout.channels
        return Commands.of(
            Kernel.ADD,
            **reading(a),
            **writing(y),
            starts=a.layout.pixels(),
            b=b.flat,
            b_size=b.layout.sample_size,
            b_starts=b.layout.pixels(),
            factors=np.array([np.broadcast_to(2**shift, (channels,)) for shift in shifts], np.int32),
            constants=self.epilogue.constants(channels),
            width=channels,
        )


@dataclass(frozen=True, eq=False)
class QuantizeStep:
    """Float inputs to integers.  Products of float32 values and scales are exact in float64."""

    op: akida2.Quantizer

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`."""
        x, y, to = buffers[self.op.x], buffers[self.op.result], self.op.to
        channels = y.layout.channels
        return Commands.of(
            Kernel.QUANTIZE,
            **reading(x),
            **writing(y),
            scales=np.broadcast_to(self.op.scales.array, (channels,)).astype(np.float64),
            zero_points=np.broadcast_to(constant_integers(self.op.zero_points), (channels,)).astype(np.int64),
            **limits(to),
        )


def limits(element: ElementType) -> dict[str, int]:
    """The range of a type as fields of a command."""
    return {"lo": element.lo, "hi": element.hi}


@dataclass(frozen=True, eq=False)
class DequantizeStep:
    """Integers to floats: rounded to float32, then multiplied."""

    op: akida2.Dequantizer

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`."""
        x, y = buffers[self.op.x], buffers[self.op.result]
        scales = np.broadcast_to(self.op.scales.array, (y.layout.channels,)).astype(np.float32)
        starts = x.layout.pixels()
        return Commands.of(Kernel.DEQUANTIZE, **reading(x), **writing(y), starts=starts, scales=scales)
