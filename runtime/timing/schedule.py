"""When each layer works on each frame: a pipeline of layers, frame after frame.

    start(i, f) = max over the layers that i reads of end(·, f), end(i, f-1),
                  and with single hand-off over the layers that read i of end(·, f-1)

With single hand-off a layer can only take the next frame when its consumers are through with the last one, so that
frames follow each other at the distance of the largest sum of two neighbours; with double hand-off, of the largest.
Layers of different passes take turns in the same NPs, so with more than one pass frames do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.runtime.storage import Array


@dataclass(frozen=True)
class Stage:
    """One layer in the pipeline."""

    clocks: Array
    """Work on each frame [frames], new weights and spilled activations included."""
    first_extra: float
    """What every frame but the first pays more: new weights of the first pass."""
    pass_index: int
    reads: tuple[int, ...]
    """Stages whose output it reads."""


def schedule(stages: Sequence[Stage], frames: int, single_handoff: bool) -> tuple[Array, Array]:
    """Start and end of every stage for every frame, both [frames, stages]; clocks of frame f are those of f modulo."""
    readers: list[list[int]] = [[] for _ in stages]
    for index, stage in enumerate(stages):
        for source in stage.reads:
            readers[source].append(index)
    turns = len({stage.pass_index for stage in stages}) > 1
    start, end = np.zeros((frames, len(stages))), np.zeros((frames, len(stages)))
    for f in range(frames):
        for i, stage in enumerate(stages):
            ready = max((end[f, r] for r in stage.reads), default=0.0)
            if f:
                ready = max(ready, end[f - 1, i])
                if single_handoff:
                    ready = max(ready, *(end[f - 1, r] for r in readers[i]), 0.0)
                if turns:
                    ready = max(ready, end[f - 1].max())
            if turns:  # a pass begins when the one before it is through
                before = [end[f, j] for j in range(i) if stages[j].pass_index < stage.pass_index]
                ready = max(ready, *before, 0.0)
            start[f, i] = ready
            extra = stage.first_extra if f else 0.0
            end[f, i] = ready + stage.clocks[f % len(stage.clocks)] + extra
    return start, end
