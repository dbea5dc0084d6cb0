"""The numba backend: 16-bit integers in and out of every layer, 32-bit sums, one fused pass for all the rest.

Where elements and weights are bytes, a convolution reads them as such, on processors that multiply them.

A layer whose numbers do not provably fit is left to the NumPy backend's float products, or to the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.interval import Range, constant_integers
from cnn2snn_ir.dialects import akida2, qnn
from cnn2snn_ir.ir import ElementType, Op, Value
from cnn2snn_ir.runtime import numba_events
from cnn2snn_ir.runtime.backend import Count, Program
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.commands import Commands, Fields, reading, runs, writing
from cnn2snn_ir.runtime.numba_kernels import Kernel
from cnn2snn_ir.runtime.numba_layer import fits
from cnn2snn_ir.runtime.numba_recurrence import RecurrenceStep, provable
from cnn2snn_ir.runtime.numba_window import PushStep, layer_step
from cnn2snn_ir.runtime.numpy_backend import blas_steps
from cnn2snn_ir.runtime.requantize import INT16, INT32, Formula, fold_add, inside
from cnn2snn_ir.runtime.step import Call, Step, border_call
from cnn2snn_ir.runtime.storage import Array, Buffer, Layout


class NumbaBackend:
    """Compiles its kernels on first use and caches them on disk."""

    name = "numba"
    chunk_bytes = 1 << 18
    """As fast as four times as much, measured on networks of 8 to 200 KiB a layer; fits any second-level cache."""

    def carrier(self, range: Range) -> np.dtype[Any]:
        """The narrowest of int16, int32 and int64: int16 feeds the kernels, the others leave the network."""
        if inside(range, INT16):
            return np.dtype(np.int16)
        return np.dtype(np.int32 if inside(range, INT32) else np.int64)

    def steps(self, op: Op, program: Program) -> tuple[Step, ...]:
        """See `Backend`."""
        layers = program.layers.get(op, ())
        if layers:
            operands = [program.ranges[v] for v in op.operands]
            kernels_do = all(fits(layer, operands) for layer in layers)
            if not kernels_do:
                return blas_steps(layers)
            return tuple(layer_step(layer, program.layouts, operands) for layer in layers)
        step = plain_step(op, program)
        return () if step is None else (step,)

    def border(self, buffer: Buffer) -> Call:
        """See `Backend`."""
        layout = buffer.layout
        if layout.dtype.itemsize > 4:
            return border_call(buffer)
        fill = np.ascontiguousarray(np.broadcast_to(layout.fill, (layout.channels,)), layout.dtype)
        return Commands.of(Kernel.FILL, **writing(buffer, layout.around()), x=fill)

    def link(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """Commands that follow each other become one call."""
        linked: list[Call] = []
        for native, group in groupby(calls, lambda call: isinstance(call, Commands)):
            members = list(group)
            linked += [Commands.joined(members)] if native else members  # type: ignore[arg-type]
        return tuple(linked)

    def counting(self, maps: Sequence[Buffer], heights: Sequence[int], channels: Sequence[int]) -> Count:
        """See `Backend`."""
        return numba_events.counting(maps, heights, channels)


def plain_step(op: Op, program: Program) -> Step | None:
    """The step of an op without weights, or None if its numbers do not fit the kernels."""
    match op:
        case akida2.Add():
            return add_step(op, program)
        case qnn.Threshold():
            return levels_step(op, program)
        case akida2.Quantizer() if inside(Range.full(op.to), INT16):
            return QuantizeStep(op)
        case akida2.Dequantizer() if inside(program.ranges[op.x], INT32):
            return DequantizeStep(op)
        case akida2.StatefulRecurrent() if provable(op):
            return RecurrenceStep(op)
        case akida2.FifoPush() if inside(program.ranges[op.result], INT32):
            return PushStep(op)
        case akida2.InputData() | akida2.Concatenate() if op.result in program.ranges:  # floats have none
            return CopyStep(op.operands, op.result) if inside(program.ranges[op.result], INT32) else None
        case _:
            return None


def levels_step(op: qnn.Threshold, program: Program) -> Step | None:
    """The step of boundaries, or None if potentials or levels do not fit."""
    potentials = program.ranges[op.x]
    levels = Range.of(0, op.thresholds.array.shape[1])
    fit = potentials.least > INT32.least and potentials.greatest < INT32.greatest and inside(levels, INT16)
    return LevelsStep(op) if fit and op.base == 0 and levels.within(op.to) else None


@dataclass(frozen=True, eq=False)
class LevelsStep:
    """Counts of boundaries reached; one beyond 32 bits is beyond every potential."""

    op: qnn.Threshold

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y = buffers[self.op.x], buffers[self.op.result]
        bounded = np.clip(self.op.thresholds.int64.T, INT32.least, INT32.greatest)
        boundaries = np.ascontiguousarray(np.broadcast_to(bounded, (len(bounded), y.layout.channels)), np.int32)
        fields: Fields = {"starts": x.layout.pixels(), "boundaries": boundaries, "levels": len(boundaries)}
        return Commands.of(Kernel.LEVELS, **reading(x), **writing(y), **fields)


@dataclass(frozen=True, eq=False)
class CopyStep:
    """Copies of the parts side by side.  Several commands: a part is a run of channels of every pixel."""

    parts: tuple[Value, ...]
    result: Value

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        y, first, commands = buffers[self.result], 0, []
        for x in (buffers[part] for part in self.parts):
            place = writing(y, y.layout.pixels() + first) | {"channels": x.layout.channels}
            commands.append(Commands.of(Kernel.COPY, **reading(x), **place, starts=x.layout.pixels()))
            first += x.layout.channels
        return Commands.joined(commands)


def add_step(op: akida2.Add, program: Program) -> Step | None:
    """The step of an addition, or None if an operand could saturate or does not fit."""
    a, b = program.ranges[op.a], program.ranges[op.b]
    formula = fold_add(op, a, b)
    if formula is None or not (formula.fits_int32 and formula.ends_in_range):
        return None
    if not (inside(a, INT16) and inside(b, INT16)):
        return None
    return AddStep(op, formula)


@dataclass(frozen=True, eq=False)
class AddStep:
    """An addition whose operands provably do not saturate."""

    op: akida2.Add
    formula: Formula

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        a, b, y = (buffers[v] for v in (self.op.a, self.op.b, self.op.result))
        shifts = (constant_integers(shift) for shift in (self.op.a_shift, self.op.b_shift))
        channels = y.layout.channels
        pixels, first = runs(y.layout.shape)
        factors = np.array([np.broadcast_to(2**shift, (channels,)) for shift in shifts], np.int32)
        return Commands.of(
            Kernel.ADD,
            **reading(a),
            **writing(y, y.layout.pixels()[first], pixels),
            starts=a.layout.pixels()[first],
            b=b.flat,
            b_size=b.layout.sample_size,
            b_starts=b.layout.pixels()[first],
            factors=np.tile(factors, pixels),
            constants=np.tile(self.formula.constants(channels), pixels),
            width=channels * pixels,
        )


@dataclass(frozen=True, eq=False)
class QuantizeStep:
    """Float inputs to integers.  Products of float32 values and scales are exact in float64."""

    op: akida2.Quantizer

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y, to = buffers[self.op.x], buffers[self.op.result], self.op.to
        pixels, first = runs(y.layout.shape)
        per_channel = (self.op.scales.array, np.float64), (constant_integers(self.op.zero_points), np.int64)
        scales, zero_points = (tiled(values, y.layout, pixels, dtype) for values, dtype in per_channel)
        return Commands.of(
            Kernel.QUANTIZE,
            **reading(x),
            **writing(y, y.layout.pixels()[first], pixels),
            starts=x.layout.pixels()[first],
            scales=scales,
            zero_points=zero_points,
            **limits(to),
        )


def tiled(values: Array, layout: Layout, pixels: int, dtype: npt.DTypeLike) -> Array:
    """Constants, one for all or one a channel, for a run of pixels."""
    return np.tile(np.broadcast_to(values, (layout.channels,)).astype(dtype), pixels)


def limits(element: ElementType) -> dict[str, int]:
    """The range of a type as fields of a command."""
    return {"lo": element.lo, "hi": element.hi}


@dataclass(frozen=True, eq=False)
class DequantizeStep:
    """Integers to floats: rounded to float32, then multiplied."""

    op: akida2.Dequantizer

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y = buffers[self.op.x], buffers[self.op.result]
        pixels, first = runs(y.layout.shape)
        return Commands.of(
            Kernel.DEQUANTIZE,
            **reading(x),
            **writing(y, y.layout.pixels()[first], pixels),
            starts=x.layout.pixels()[first],
            scales=tiled(self.op.scales.array, y.layout, pixels, np.float32),
        )
