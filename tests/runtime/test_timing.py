"""The timing and energy model: what must hold whatever its constants are."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.zoo import build
from cnn2snn_ir import convert
from cnn2snn_ir.backends.mapping import map_program
from cnn2snn_ir.device import Confidence, Constant, load_device
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.timing.activity import assumed
from cnn2snn_ir.runtime.timing.schedule import Stage, schedule
from cnn2snn_ir.runtime.timing.simulate import simulate

MODES = ("minimal", "all-nps", "hw-pr")


def changed(device, section, **values):
    """The device with other constants."""
    new = {name: Constant(value, "a test", Confidence.ASSUMED) for name, value in values.items()}
    return dataclasses.replace(device, **{section: dataclasses.replace(getattr(device, section), **new)})


@pytest.fixture(scope="module")
def networks():
    return {name: build(name) for name in ("kws_12", "arrhythmia", "akidanet_0.25_224", "uored")}


def run(module, density, mode="all-nps", device=None, **more):
    mapping = map_program(module, device or load_device("AKD1500"), mode)
    return simulate(mapping, assumed(mapping, density), **more)


def terms(layer):
    return dataclasses.astuple(layer.clocks)


@pytest.mark.parametrize("mode", MODES)
def test_parts_sum_to_the_total_and_nothing_is_negative(networks, mode):
    for module in networks.values():
        s = run(module, 0.4, mode)
        assert all(term >= 0 for layer in s.layers for term in terms(layer))
        assert s.latency_clocks == pytest.approx(sum(layer.clocks.total for layer in s.layers))
        assert s.latency_clocks == pytest.approx(sum(p.clocks for q in s.sequences for p in q.passes))
        for layer in s.layers:
            slowest = max(part.clocks for part in layer.parts)
            assert layer.clocks.total == pytest.approx(slowest + layer.clocks.reload + layer.clocks.spill)
            assert 0 < layer.utilization <= 1 + 1e-12
            assert max(terms(layer)) > 0
            assert layer.bound


@pytest.mark.parametrize("mode", MODES)
def test_energy_sums(networks, mode):
    for module in networks.values():
        s = run(module, 0.4, mode)
        assert s.dynamic_mj == pytest.approx(sum(layer.energy.dynamic for layer in s.layers) / 1e3)
        assert s.total_mj == pytest.approx(sum(layer.energy.total for layer in s.layers) / 1e3)
        assert all(v >= 0 for layer in s.layers for v in dataclasses.astuple(layer.energy))
        assert s.power_mw > load_device("AKD1500").energy.floor_mw.value


@settings(max_examples=30, deadline=None)
@given(low=st.floats(0, 1), high=st.floats(0, 1), mode=st.sampled_from(MODES))
def test_more_events_never_cost_less(networks, low, high, mode):
    low, high = sorted((low, high))
    for name in ("kws_12", "arrhythmia"):
        less, more = run(networks[name], low, mode), run(networks[name], high, mode)
        for a, b in zip(less.layers, more.layers, strict=True):
            assert a.clocks.total <= b.clocks.total
            assert a.energy.dynamic <= b.energy.dynamic
        assert less.latency_clocks <= more.latency_clocks


def test_more_nps_never_cost_more_time(networks):
    for module in networks.values():
        device = changed(load_device("AKD1500"), "traffic", hop=0)  # NPs of a larger mesh are farther away
        times = [run(module, 0.4, "all-nps", changed(device, "chip", nodes=n)).latency_clocks for n in (8, 12, 20, 40)]
        assert times == sorted(times, reverse=True)
        assert run(module, 0.4, "minimal", device).latency_clocks >= times[0]


def test_more_bytes_cost_more_time(networks):
    device = changed(load_device("AKD1500"), "timing", pass_switch=0)
    module = networks["uored"]
    dear = changed(device, "timing", reload=2 * device.timing.reload.value, spill=5)
    first, second = run(module, 0.4, "hw-pr", device), run(module, 0.4, "hw-pr", dear)
    for a, b in zip(first.layers, second.layers, strict=True):
        assert b.clocks.reload == pytest.approx(2 * a.clocks.reload)
        assert b.clocks.spill == pytest.approx(10 * a.clocks.spill)
    assert second.latency_clocks > first.latency_clocks
    free = changed(device, "timing", reload=0, spill=0)
    assert all(layer.clocks.reload == layer.clocks.spill == 0 for layer in run(module, 0.4, "hw-pr", free).layers)


def test_infinite_bandwidth_costs_nothing(networks):
    device = load_device("AKD1500")
    free = changed(device, "traffic", link_events=0, dma_bytes=0, hop=0)
    narrow = changed(device, "traffic", link_events=1e-4, dma_bytes=1e-3, hop=0)
    for module in networks.values():
        assert all(layer.clocks.noc == 0 for layer in run(module, 0.4, device=free).layers)
        crowded = run(module, 0.4, device=narrow)
        assert sum(layer.clocks.noc for layer in crowded.layers) > 0
        assert any(layer.bound == "network on chip" for layer in crowded.layers)


def test_an_idle_input_costs_only_the_search(networks):
    for layer in run(networks["kws_12"], 0.0).layers[1:]:
        assert layer.clocks.events == 0 < layer.clocks.scan


def test_the_input_engine_is_never_sparse(networks):
    for module in networks.values():
        first = [run(module, density).layers[0].clocks.events for density in (0.0, 0.3, 1.0)]
        assert first[0] == first[1] == first[2] > 0


def test_the_law_is_the_published_one(networks):
    """One NP, 3x3, no border: clocks = events x filters x c, and what looking for them costs."""
    device = load_device("AKD1500")
    s = run(networks["kws_12"], 0.25, "minimal")
    layer = s.layers[1]
    events, c = layer.events, device.timing.event_clocks["separable 3x3 4 bits"].value
    assert events == 0.25 * 25 * 5 * 64
    assert layer.clocks.events == pytest.approx(events * 64 * c)
    assert layer.clocks.scan == pytest.approx(25 * 5 * 64 * 64 * device.timing.scan.value)


def test_the_slowest_part_decides():
    module = build("arrhythmia")
    mapping = map_program(module, load_device("AKD1500"), "minimal")
    activity = dict(assumed(mapping, 0.3))
    layer = mapping.layers[1]
    assert len(layer.parts) == 2
    rows = np.zeros((1, 36))
    rows[0, 25:] = 100  # all events in the second half of the map
    s = simulate(mapping, {**activity, layer.work.op: rows})
    first, second = s.layers[1].parts
    assert first.events == 0
    assert second.events == 1100
    assert s.layers[1].clocks.total == pytest.approx(second.clocks)
    assert first.clocks < second.clocks


def test_frames_are_averaged_and_the_slowest_is_known(networks):
    module = networks["kws_12"]
    mapping = map_program(module, load_device("AKD1500"), "minimal")
    one, two = assumed(mapping, 0.1), assumed(mapping, 0.5)
    both = {x: np.concatenate([one[x], two[x]]) for x in one}
    times = [simulate(mapping, activity).latency_clocks for activity in (one, two)]
    s = simulate(mapping, both)
    assert s.frames == 2
    assert s.latency_clocks == pytest.approx(np.mean(times))
    assert s.slowest_frame_clocks == pytest.approx(max(times))


stages = st.lists(st.floats(0, 1e6), min_size=1, max_size=8)


@given(stages, st.integers(1, 12))
def test_the_pipeline_has_its_closed_form(clocks, frames):
    chain = [Stage(np.array([t]), 0.0, 0, (i - 1,) if i else ()) for i, t in enumerate(clocks)]
    pairs = max([a + b for a, b in itertools.pairwise(clocks)] or [clocks[0]])
    _, single = schedule(chain, frames, True)
    _, double = schedule(chain, frames, False)
    assert double.max() == pytest.approx(sum(clocks) + (frames - 1) * max(clocks))
    assert sum(clocks) + (frames - 1) * pairs == pytest.approx(single.max())
    assert single.max() >= double.max() - 1e-6


def test_passes_do_not_overlap(networks):
    alone = run(networks["uored"], 0.4, "hw-pr")
    batch = run(networks["uored"], 0.4, "hw-pr", batch=5)
    assert batch.batch_clocks > 5 * alone.latency_clocks  # the first pass needs its weights again
    assert run(networks["uored"], 0.4, batch=5).batch_clocks < 5 * run(networks["uored"], 0.4).latency_clocks


@pytest.mark.parametrize("mode", MODES)
def test_a_unit_does_one_thing_at_a_time(networks, mode):
    s = run(networks["akidanet_0.25_224"], 0.4, mode, batch=3)
    by_unit = {}
    for piece in s.timeline:
        assert piece.end >= piece.start
        by_unit.setdefault(piece.unit, []).append((piece.start, piece.end))
    for pieces in by_unit.values():
        pieces.sort()
        assert all(a[1] <= b[0] + 1e-6 for a, b in itertools.pairwise(pieces))
    assert max(piece.end for piece in s.timeline) == pytest.approx(s.batch_clocks)


def test_a_what_if_is_marked(networks):
    s = run(networks["kws_12"], 0.4, what_if=0.4)
    assert s.what_if_density == 0.4
    assert any("what-if" in note for note in s.notes)


def test_the_second_generation_says_that_it_is_not_sure():
    module = build("kws_12", generation=2)
    mapping = map_program(module, load_device("Akida2FPGA"), "minimal")
    s = simulate(mapping, assumed(mapping, 0.4))
    assert s.device.confidence == "low"
    assert any("low confidence" in note for note in s.notes)
    assert s.total_mj is None
    assert s.dynamic_mj is None
    assert all(layer.energy is None for layer in s.layers)
    assert any("no energy" in note for note in s.notes)


def test_a_merge_has_the_events_of_all_that_it_merges():
    model = Model(convert("examples/mnist_v2_i8_w8_a8.h5").module)
    model.map("Akida2FPGA", "minimal")
    images = np.load("examples/mnist_1000.npz")["x"][:40]
    maps = model.intermediates(images)
    layers = {layer.name: layer for layer in model.simulate(images).layers}
    merged = np.count_nonzero(maps["re_lu_3"]) + np.count_nonzero(maps["re_lu_5"])
    assert layers["add"].events == pytest.approx(merged / 40)
    assert layers["depthwise_conv2d_1"].events == pytest.approx(np.count_nonzero(maps["re_lu_3"]) / 40)
    assert layers["add"].sites == 2 * 7 * 7 * 32


def test_json_holds_everything(networks):
    s = run(networks["arrhythmia"], 0.4, "hw-pr", batch=2)
    data = json.loads(json.dumps(s.as_json(), allow_nan=False))
    assert data["latency_ms"] == s.latency_ms
    assert data["fps"] == s.fps
    assert data["passes"] == s.passes
    assert [layer["clocks"]["total"] for layer in data["layers"]] == [layer.clocks.total for layer in s.layers]
