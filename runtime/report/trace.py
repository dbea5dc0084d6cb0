"""A simulation as a Chrome trace, for ui.perfetto.dev and chrome://tracing.

The chip is the process; the input engine, external memory and every NP with work are threads.  A slice of the timeline
is one complete event; a flow leads from each layer to those that read it, frame by frame; a counter says how many NPs
compute.  Times are microseconds: clocks over the device's frequency.
Format: "Trace Event Format", Google, public document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.runtime.timing.result import Simulation, Slice

PID = 1
INPUT_ENGINE, EXTERNAL_MEMORY = -1, -2
FIRST_NP = 3
"""Threads: 1 is the input engine, 2 external memory (viewers treat 0 as none), then the NPs."""

UNITS = {INPUT_ENGINE: (1, "input engine"), EXTERNAL_MEMORY: (2, "external memory")}
COLORS = {"reload": "thread_state_iowait", "spill": "thread_state_uninterruptible", "wait": "grey"}
"""Reserved color names of the format; layers get theirs from the viewer, by name."""

Event = dict[str, Any]


def write_trace(simulation: Simulation, path: str | os.PathLike[str]) -> None:
    """Write the trace of a simulation; raises `CompileError` if the file cannot be written."""
    document = {
        "traceEvents": trace_events(simulation),
        "displayTimeUnit": "ms",
        "otherData": {
            "model": simulation.model,
            "source": simulation.source,
            "device": simulation.device.name,
            "confidence": simulation.device.confidence,
            "clock_hz": simulation.device.clock_hz,
            "what_if_density": simulation.what_if_density,
            "notes": list(simulation.notes),
        },
    }
    atomic_write(path, json.dumps(document, separators=(",", ":"), allow_nan=False).encode())


def trace_events(simulation: Simulation) -> list[Event]:
    """The events of the trace: names of process and threads, slices by time, flows, and the number of busy NPs."""
    per_clock = 1e6 / simulation.device.clock_hz
    slices = sorted(simulation.timeline, key=lambda s: (s.start, s.unit))
    return [
        *_names(simulation),
        *(_complete(s, per_clock) for s in slices),
        *_flows(simulation, slices, per_clock),
        *_busy_nps(slices, per_clock),
    ]


def _thread(unit: int) -> tuple[int, str]:
    return UNITS.get(unit) or (FIRST_NP + unit, f"NP {unit}")


def _names(simulation: Simulation) -> Iterator[Event]:
    """Metadata; what must not be overlooked is in the name of the process, which every viewer shows."""
    device = simulation.device
    name = f"{device.name} · {simulation.model} · timing: {device.confidence}"
    if simulation.what_if_density is not None:
        name += f" · WHAT-IF density {simulation.what_if_density:g}"
    yield _metadata("process_name", 0, {"name": name})
    for unit in sorted({s.unit for s in simulation.timeline}):
        tid, title = _thread(unit)
        yield _metadata("thread_name", tid, {"name": title})
        yield _metadata("thread_sort_index", tid, {"sort_index": tid})


def _metadata(name: str, tid: int, args: dict[str, Any]) -> Event:
    return {"ph": "M", "name": name, "pid": PID, "tid": tid, "args": args}


def _complete(s: Slice, per_clock: float) -> Event:
    event: Event = {
        "ph": "X",
        "name": s.layer if s.kind == "compute" else f"{s.kind}: {s.layer}",
        "cat": s.kind,
        "ts": s.start * per_clock,
        "dur": (s.end - s.start) * per_clock,
        "pid": PID,
        "tid": _thread(s.unit)[0],
        "args": {"layer": s.layer, "frame": s.frame, "pass": s.pass_index, "clocks": s.end - s.start},
    }
    if s.kind in COLORS:
        event["cname"] = COLORS[s.kind]
    return event


def _flows(simulation: Simulation, slices: list[Slice], per_clock: float) -> Iterator[Event]:
    """From the last part of a layer to the first part of each layer that reads it; a viewer ties an end of an arrow to
    the slice that is open on its thread at that time, so both ends have the time at which their slice starts."""
    first: dict[tuple[str, int], Slice] = {}
    last: dict[tuple[str, int], Slice] = {}
    for s in slices:
        if s.kind == "compute":
            key = s.layer, s.frame
            first.setdefault(key, s)
            last[key] = max(last.get(key, s), s, key=lambda one: one.end)
    number = 0
    for layer in simulation.layers:
        for source in layer.inputs:
            for frame in range(simulation.batch):
                begin, end = last.get((source, frame)), first.get((layer.name, frame))
                if begin is None or end is None or begin.start > end.start:
                    continue
                number += 1
                common = {"name": "events", "cat": "events", "id": number, "pid": PID}
                yield common | {"ph": "s", "ts": begin.start * per_clock, "tid": _thread(begin.unit)[0]}
                yield common | {"ph": "f", "bp": "e", "ts": end.start * per_clock, "tid": _thread(end.unit)[0]}


def _busy_nps(slices: list[Slice], per_clock: float) -> Iterator[Event]:
    """A counter with a value wherever the number of computing NPs changes."""
    changes: dict[float, int] = {}
    for s in slices:
        if s.unit >= 0 and s.kind == "compute":
            changes[s.start] = changes.get(s.start, 0) + 1
            changes[s.end] = changes.get(s.end, 0) - 1
    busy = 0
    for clock, change in sorted(changes.items()):
        if change:
            busy += change
            yield {"ph": "C", "name": "busy NPs", "ts": clock * per_clock, "pid": PID, "tid": 0, "args": {"NPs": busy}}
