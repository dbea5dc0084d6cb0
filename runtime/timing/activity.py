"""How many events each layer gets: counted in a run, or assumed for a what-if.

An activity is, for the (first) input of each layer, the number of elements that are not zero by frame and by row.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn2snn_ir.backends.mapping import Mapping
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.ir import Op
from cnn2snn_ir.runtime.storage import Array

if TYPE_CHECKING:
    from cnn2snn_ir.runtime.events import EventCounts

Activity = MappingOf[Op, Array]
"""Layer ▶ what is not zero in its input, in all maps that it works on together [frames, rows]."""


def counted(mapping: Mapping, counts: EventCounts) -> Activity:
    """The activity of a run."""
    found: dict[Op, Array] = {}
    for layer in mapping.layers:
        first, *others = (counts.of(value).rows for value in layer.work.inputs)
        found[layer.work.op] = sum(others, first)
    return found


Density = float | Sequence[float]
"""The part of an input that is not zero: one for all layers, or one for each on the chip."""


def assumed(mapping: Mapping, density: Density) -> Activity:
    """One frame in which the same part of each row of input is not zero; raises `CompileError` for none that can be."""
    layers = mapping.layers
    parts = [density] * len(layers) if isinstance(density, float | int) else list(density)
    if len(parts) != len(layers) or not all(0 <= part <= 1 for part in parts):
        raise fail(
            "RUN-DENSITY",
            "these densities cannot be",
            where=mapping.module.sym_name,
            found=f"{len(parts)} numbers, from {min(parts, default=0):g} to {max(parts, default=0):g}",
            allowed=f"one from 0 to 1, or one for each of {len(layers)} layers",
            help="in order: " + ", ".join(layer.work.name for layer in layers),
        )
    found: dict[Op, Array] = {}
    for layer, part in zip(layers, parts, strict=True):
        work = layer.work
        found[work.op] = np.full((1, work.rows), part * work.columns * work.channels)
    return found


def mean_of(density: Density) -> float:
    """One number for it."""
    return float(np.mean(density))
