"""The trace is what the format asks for, and says what the timeline says."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from generators import simulations

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.runtime.report import trace_events, write_trace

BATCHES = {"kws of 4": lambda: simulations.kws(4), "branches of 6": lambda: simulations.branches(6)}


@pytest.fixture(scope="module", params=[*simulations.ALL, *BATCHES])
def simulation(request):
    return (simulations.ALL | BATCHES)[request.param]()


@pytest.fixture(scope="module")
def events(simulation):
    return trace_events(simulation)


def by_thread(events):
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
    return threads


def test_complete_events_are_the_timeline(simulation, events):
    per_clock = 1e6 / simulation.device.clock_hz
    complete = [e for e in events if e["ph"] == "X"]
    for event in complete:
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        assert isinstance(event["pid"], int)
        assert event["tid"] > 0
        assert {"layer", "frame", "pass"} <= event["args"].keys()
    theirs = Counter((e["args"]["layer"], e["args"]["frame"], e["cat"], e["ts"]) for e in complete)
    assert theirs == Counter((s.layer, s.frame, s.kind, s.start * per_clock) for s in simulation.timeline)
    end = max(e["ts"] + e["dur"] for e in complete)
    assert end == pytest.approx(1e3 * simulation.batch_ms)


def test_no_unit_does_two_things_at_once(events):
    for slices in by_thread(events).values():
        slices.sort(key=lambda e: e["ts"])
        for before, after in pairwise(slices):
            assert before["ts"] + before["dur"] <= after["ts"] * (1 + 1e-12) + 1e-9


def test_every_thread_has_one_name(simulation, events):
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(names) == len(set(names.values()))
    units = {name.partition(" (")[0] for name in names.values()}
    assert len(units) == len({s.unit for s in simulation.timeline})
    assert units == {name for name in names.values() if "(" not in name}
    assert {tid for _, tid in by_thread(events)} == names.keys()
    assert sum(e["name"] == "process_name" for e in events) == 1


def test_flows_start_and_end_in_slices(simulation, events):
    threads = by_thread(events)
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    edges = sum(len(layer.inputs) for layer in simulation.layers)
    assert len(starts) == edges * simulation.batch
    for event in (*starts.values(), *ends.values()):
        slices = threads[event["pid"], event["tid"]]
        assert any(s["ts"] <= event["ts"] < s["ts"] + s["dur"] for s in slices)
    assert all(starts[i]["ts"] <= ends[i]["ts"] for i in starts)


def test_busy_counter_integrates_to_the_work(simulation, events):
    per_clock = 1e6 / simulation.device.clock_hz
    counts = [(e["ts"], e["args"]["NPs"]) for e in events if e["ph"] == "C"]
    assert counts[-1][1] == 0
    assert 0 < max(n for _, n in counts) <= simulation.device.nodes * simulation.device.nps_per_node
    area = sum(n * (after - ts) for (ts, n), (after, _) in pairwise(counts))
    work = sum(s.end - s.start for s in simulation.timeline if s.unit >= 0 and s.kind == "compute")
    assert area == pytest.approx(work * per_clock)


def test_low_confidence_and_what_if_cannot_be_overlooked():
    low, what_if = (trace_events(s)[0]["args"]["name"] for s in (simulations.branches(), simulations.large()))
    assert "timing: low" in low
    assert "WHAT-IF density 0.5" in what_if


def test_file_is_json_and_written_twice_is_the_same(tmp_path, simulation, events):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        write_trace(simulation, path)
    document = json.loads(paths[0].read_bytes())
    assert document["traceEvents"] == events
    assert document["otherData"]["confidence"] == simulation.device.confidence
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_no_timeline_is_an_empty_trace(tmp_path):
    nothing = replace(simulations.kws(), timeline=())
    assert [e["ph"] for e in trace_events(nothing)] == ["M"]


def test_missing_directory_is_a_diagnostic(tmp_path):
    with pytest.raises(CompileError, match="cannot write the file"):
        write_trace(simulations.kws(), tmp_path / "nowhere" / "trace.json")
