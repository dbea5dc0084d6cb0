"""How many events each layer gets: counted in a run, or assumed for a what-if.

An activity is, for the (first) input of each layer, the number of elements that are not zero by frame and by row.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn2snn_ir.backends.mapping import Mapping
from cnn2snn_ir.ir import Value
from cnn2snn_ir.runtime.storage import Array

if TYPE_CHECKING:
    from cnn2snn_ir.runtime.events import EventCounts

Activity = MappingOf[Value, Array]
"""Input of a layer ▶ [frames, rows]."""


def counted(mapping: Mapping, counts: EventCounts) -> Activity:
    """The activity of a run."""
    return {layer.work.x: counts.of(layer.work.x).rows for layer in mapping.layers}


def assumed(mapping: Mapping, density: float | Sequence[float]) -> Activity:
    """One frame in which the same part of each row of input is not zero; one number for all layers or one for each."""
    layers = mapping.layers
    parts = [density] * len(layers) if isinstance(density, float | int) else list(density)
    if len(parts) != len(layers):
        raise ValueError(f"needs a density for each of {len(layers)} layers, found {len(parts)}")
    found: dict[Value, Array] = {}
    for layer, part in zip(layers, parts, strict=True):
        work = layer.work
        found[work.x] = np.full((1, work.rows), part * work.columns * work.channels)
    return found
