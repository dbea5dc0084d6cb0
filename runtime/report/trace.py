"""A simulation as a Chrome trace, for ui.perfetto.dev and chrome://tracing.

The chip is the process; the input engine, external memory and every NP with work are threads.  A viewer shows nothing
but nested slices on a thread, so what runs in external memory at the same time has several.  A slice of
the timeline is one complete event; a flow leads from each layer to those that read it, frame by frame; a counter says
how many NPs compute.  Times are microseconds: clocks over the device's frequency.
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
TITLES = {INPUT_ENGINE: "input engine", EXTERNAL_MEMORY: "external memory"}
COLORS = {"reload": "thread_state_iowait", "spill": "thread_state_uninterruptible", "wait": "grey"}
"""Reserved color names of the format; layers get theirs from the viewer, by name."""

Event = dict[str, Any]
Thread = tuple[int, int]
"""A unit, and a number among its threads."""


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
    threads = _threads(slices)
    numbers = {thread: number for number, thread in enumerate(sorted(set(threads), key=_place), 1)}  # 0 is none
    placed = [(s, numbers[thread]) for s, thread in zip(slices, threads, strict=True)]
    return [
        *_names(simulation, numbers),
        *(_complete(s, tid, per_clock) for s, tid in placed),
        *_flows(simulation, placed, per_clock),
        *_busy_nps(slices, per_clock),
    ]


def _threads(slices: list[Slice]) -> list[Thread]:
    """A thread for each slice: the first of its unit that is free by then."""
    ends: dict[int, list[float]] = {}
    threads = []
    for s in slices:
        busy = ends.setdefault(s.unit, [])
        lane = next((i for i, end in enumerate(busy) if s.start >= end * (1 - 1e-12)), len(busy))
        busy[lane : lane + 1] = [s.end]
        threads.append((s.unit, lane))
    return threads


def _place(thread: Thread) -> tuple[bool, int, int]:
    """Order on the screen: input engine, external memory, NPs."""
    unit, lane = thread
    return unit >= 0, abs(unit), lane


def _names(simulation: Simulation, numbers: dict[Thread, int]) -> Iterator[Event]:
    """Metadata; what must not be overlooked is in the name of the process, which every viewer shows."""
    device = simulation.device
    name = f"{device.name} · {simulation.model} · timing: {device.confidence}"
    if simulation.what_if_density is not None:
        name += f" · WHAT-IF density {simulation.what_if_density:g}"
    yield _metadata("process_name", 0, {"name": name})
    for (unit, lane), tid in numbers.items():
        title = TITLES.get(unit, f"NP {unit}")
        yield _metadata("thread_name", tid, {"name": f"{title} ({lane + 1})" if lane else title})
        yield _metadata("thread_sort_index", tid, {"sort_index": tid})


def _metadata(name: str, tid: int, args: dict[str, Any]) -> Event:
    return {"ph": "M", "name": name, "pid": PID, "tid": tid, "args": args}


def _complete(s: Slice, tid: int, per_clock: float) -> Event:
    event: Event = {
        "ph": "X",
        "name": s.layer if s.kind == "compute" else f"{s.kind}: {s.layer}",
        "cat": s.kind,
        "ts": s.start * per_clock,
        "dur": (s.end - s.start) * per_clock,
        "pid": PID,
        "tid": tid,
        "args": {"layer": s.layer, "frame": s.frame, "pass": s.pass_index, "clocks": s.end - s.start},
    }
    if s.kind in COLORS:
        event["cname"] = COLORS[s.kind]
    return event


def _flows(simulation: Simulation, placed: list[tuple[Slice, int]], per_clock: float) -> Iterator[Event]:
    """From the last part of a layer to the first part of each layer that reads it; a viewer ties an end of an arrow to
    the slice that is open on its thread at that time, so both ends have the time at which their slice starts."""
    first: dict[tuple[str, int], tuple[Slice, int]] = {}
    last: dict[tuple[str, int], tuple[Slice, int]] = {}
    for one in placed:
        if one[0].kind == "compute":
            key = one[0].layer, one[0].frame
            first.setdefault(key, one)
            last[key] = max(last.get(key, one), one, key=lambda pair: pair[0].end)
    number, frames = 0, sorted({s.frame for s, _ in placed})
    for layer in simulation.layers:
        for source in layer.inputs:
            for frame in frames:
                begin, end = last.get((source, frame)), first.get((layer.name, frame))
                if begin is None or end is None or begin[0].start > end[0].start:
                    continue
                number += 1
                common = {"name": "events", "cat": "events", "id": number, "pid": PID}
                yield common | {"ph": "s", "ts": begin[0].start * per_clock, "tid": begin[1]}
                yield common | {"ph": "f", "bp": "e", "ts": end[0].start * per_clock, "tid": end[1]}


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
