"""The time axis of a batch: which unit works when, on which layer of which frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.storage import Array
from cnn2snn_ir.runtime.timing.result import Slice

if TYPE_CHECKING:
    from cnn2snn_ir.runtime.timing.simulate import Costed

INPUT_ENGINE, MEMORY = -1, -2

FRAMES, MOST = 8, 20_000
"""Frames and slices that are kept: enough for a picture, and small enough for a page."""


def timeline(layers: Sequence[Costed], start: Array, end: Array) -> Iterator[Slice]:
    """The slices of the first frames, in order of frame and layer."""
    left = MOST
    for frame in range(min(FRAMES, len(start))):
        slices = [
            piece
            for index, layer in enumerate(layers)
            for piece in _layer(layer, frame, float(start[frame, index]), float(end[frame, index]))
        ]
        left -= len(slices)
        if left < 0 and frame:
            return
        yield from slices


def _layer(c: Costed, frame: int, start: float, end: float) -> Iterator[Slice]:
    """Spilled activations come in, then weights, then the units work; a unit that is through waits for the slowest."""
    name, index = c.layer.work.name, c.plan.index
    if c.spill:
        yield Slice(MEMORY, name, frame, index, "spill", start, start + c.spill)
    begin = start + c.spill
    later = c.later if frame else 0.0
    units = [unit_number(c.layer.unit, part.np) for part in c.layer.parts]
    if reload := c.reload + c.switch + later:
        for unit in units:
            yield Slice(unit, name, frame, index, "reload", begin, begin + reload)
    begin += reload
    for unit, clocks in zip(units, c.cost.clocks[:, frame % len(c.rows)].tolist(), strict=True):
        through = min(end, begin + clocks)
        yield Slice(unit, name, frame, index, "compute", begin, through)
        if through < end:
            yield Slice(unit, name, frame, index, "wait", through, end)


def unit_number(unit: Unit, number: int) -> int:
    """How a record calls a unit: an NP by its number, the others by negative ones."""
    if unit is Unit.HRC:
        return INPUT_ENGINE
    return MEMORY if unit is Unit.DMA else number
