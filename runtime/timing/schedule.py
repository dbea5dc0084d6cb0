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


def latencies(stages: Sequence[Stage]) -> Array:
    """The clocks of each frame alone [frames]."""
    end: list[Array] = []
    done: dict[int, Array] = {}
    for stage in stages:
        before = [end[r] for r in stage.reads]
        before += [through for turn, through in done.items() if turn < stage.pass_index]
        ready = np.max(before, axis=0) if before else np.zeros(len(stage.clocks))
        end.append(ready + stage.clocks)
        done[stage.pass_index] = np.maximum(done.get(stage.pass_index, 0.0), end[-1])
    return np.asarray(np.max(end, axis=0)) if end else np.zeros(1)


def schedule(stages: Sequence[Stage], frames: int, single_handoff: bool) -> tuple[Array, Array]:
    """Start and end of every stage for every frame, both [frames, stages]; clocks of frame f are those of f modulo."""
    count = len(stages)
    readers: list[list[int]] = [[] for _ in stages]
    for index, stage in enumerate(stages):
        for source in stage.reads:
            readers[source].append(index)
    turns = [stage.pass_index for stage in stages]
    many = len(set(turns)) > 1
    clocks = [stage.clocks.tolist() for stage in stages]  # Python's floats: most loops are short
    starts: list[list[float]] = []
    ends: list[list[float]] = []
    last = [0.0] * count
    for f in range(frames):
        start, end = [0.0] * count, [0.0] * count
        through = max(last, default=0.0) if many else 0.0
        turn, finished = turns[0] if turns else 0, 0.0
        for i, stage in enumerate(stages):
            ready = max(last[i], through)
            for r in stage.reads:
                ready = max(ready, end[r])
            if single_handoff:
                for r in readers[i]:
                    ready = max(ready, last[r])
            if turns[i] != turn:  # a pass begins when the one before it is through
                turn, finished = turns[i], max(end[:i])
            start[i] = ready = max(ready, finished)
            mine = clocks[i]
            end[i] = ready + mine[f % len(mine)] + (stage.first_extra if f else 0.0)
        starts.append(start)
        ends.append(end)
        last = end
    return np.array(starts).reshape(frames, count), np.array(ends).reshape(frames, count)
