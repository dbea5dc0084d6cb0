"""Placing programs: every row and filter in one place, within the limits of an NP, and the meaning unchanged."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.backends.mapping import MapMode, map_program
from cnn2snn_ir.backends.mapping.division import DoesNotFitError, parts_of, smallest_division, spans
from cnn2snn_ir.backends.mapping.explain import advice, layer_advice
from cnn2snn_ir.backends.mapping.lower import lower
from cnn2snn_ir.backends.mapping.plan import PlacedLayer
from cnn2snn_ir.backends.mapping.work import Kind, Work, work_of
from cnn2snn_ir.device import Confidence, Constant, load_device
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.reference import interpreter
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.text import parse_module, print_module

DEVICES = {"v1": ("AKD1500", "AKD1000", "TwoNodesIPv1"), "v2": ("Akida2FPGA", "TwoNodesIPv2", "TwelveNodesIPv2")}


def changed(device, section, **values):
    """The device with other constants."""
    table = getattr(device, section)
    new = {name: Constant(value, "a test", Confidence.ASSUMED) for name, value in values.items()}
    return dataclasses.replace(device, **{section: dataclasses.replace(table, **new)})


@pytest.fixture(scope="module", params=["v1", "v2"])
def program(request, example_programs):
    return request.param, example_programs[request.param]


@pytest.fixture(scope="module")
def example_programs():
    from cnn2snn_ir import convert
    from cnn2snn_ir.versions import AkidaVersion, set_akida_version

    found = {}
    for version, file in (("v1", "examples/mnist_v1_i8_w4_a4_qat.h5"), ("v2", "examples/mnist_v2_i8_w8_a8.h5")):
        with set_akida_version(AkidaVersion(version)):
            found[version] = convert(file).module
    return found


def placed_everywhere(program, modes=tuple(MapMode)):
    version, module = program
    for name in DEVICES[version]:
        device = load_device(name)
        for mode in modes:
            if mode is not MapMode.HW_PR or device.chip.multi_pass.value:
                yield map_program(module, device, mode)


def test_every_layer_is_placed_once_within_the_limits(program):
    for mapping in placed_everywhere(program):
        layers = [op for op in mapping.module.body if work_of(op) is not None]
        assert [layer.work.op for layer in mapping.layers] == layers
        limits = mapping.device.limits
        for plan in mapping.passes:
            busy = [part.np for layer in plan.layers if layer.nps for part in layer.parts]
            assert sorted(busy) == list(range(plan.nps))
            assert plan.nps <= mapping.device.nps
            for layer in plan.layers:
                if layer.unit is Unit.CNP:
                    assert all(part.weight_bytes <= limits.np_weight_bytes.value for part in layer.parts)
                    assert all(part.input_bytes <= limits.np_input_bytes.value for part in layer.parts)
                    assert all(part.rows[1] - part.rows[0] <= limits.np_rows.value for part in layer.parts)


def test_a_placed_program_is_ir_that_verifies_prints_and_computes_the_same(program):
    _version, module = program
    images = np.load("examples/mnist_1000.npz")["x"][:3]
    expected = interpreter.run(module, images.astype(np.float32))
    for mapping in placed_everywhere(program):
        placed = lower(mapping)
        assert not list(verify(placed))
        text = print_module(placed, weights="inline")
        assert print_module(parse_module(text), weights="inline") == text
        for ours, theirs in zip(interpreter.run(placed, images.astype(np.float32)), expected, strict=True):
            assert np.array_equal(ours, theirs)


def test_the_same_map_every_time(program):
    version, module = program
    device = load_device(DEVICES[version][0])
    texts = {print_module(lower(map_program(module, device, mode))) for mode in (MapMode.ALL_NPS, "AllNps", "all_nps")}
    assert len(texts) == 1


def test_modes_use_more_nps_and_passes(program):
    version, module = program
    device = load_device(DEVICES[version][0])
    fewest, all_nps, more_passes = (map_program(module, device, mode) for mode in MapMode)
    assert fewest.nps < all_nps.nps <= device.nps
    assert len(all_nps.passes) == len(fewest.passes) == 1 < len(more_passes.passes)
    assert more_passes.nps > all_nps.nps


@pytest.mark.parametrize(("unit", "nps", "held"), [(Unit.CNP, 2, 12), (Unit.FNP2, 2, 0), (Unit.HRC, 0, 12)])
def test_weights_in_external_memory_are_in_no_np(unit, nps, held):
    layer = PlacedLayer(None, unit, tuple(SimpleNamespace(weight_bytes=n) for n in (5, 7)), ())
    assert (layer.nps, layer.held_bytes) == (nps, held)


def test_as_many_passes_as_are_asked_for(program):
    """The finest division of those; fewer than the network needs cannot be, more than it uses are of no use."""
    version, module = program
    device = load_device(DEVICES[version][0])
    mode = MapMode.HW_PR
    maps = {most: map_program(module, device, mode, passes=most) for most in (None, 1, 2, 3, 100)}
    counts = {most: len(found.passes) for most, found in maps.items()}
    assert counts[1] == 1
    assert counts[1] <= counts[2] <= counts[3] <= counts[100]
    assert counts[2] <= 2
    assert counts[3] <= 3
    assert counts[None] <= counts[100]
    nps = [maps[most].nps for most in (1, 2, 3, 100)]
    assert nps == sorted(nps)
    assert nps[0] == map_program(module, device, MapMode.ALL_NPS).nps


works = st.builds(
    Work,
    op=st.none(),
    kind=st.sampled_from([Kind.CONV, Kind.SEPARABLE, Kind.DEPTHWISE]),
    rows=st.integers(1, 300),
    columns=st.integers(1, 120),
    channels=st.integers(1, 300),
    filters=st.integers(1, 600),
    kernel=st.sampled_from([(1, 1), (3, 3), (5, 5)]),
    positions=st.just(1),
    weight_bits=st.sampled_from([1, 2, 4]),
    input_bits=st.just(4),
    filter_weights=st.integers(1, 6000),
    shared_weights=st.sampled_from([0, 900]),
)


@settings(max_examples=200, deadline=None)
@given(works)
def test_a_division_fits_and_one_part_fewer_does_not(work):
    device = load_device("AKD1500")
    rows, weights = device.limits.np_input_bytes.value, device.limits.np_weight_bytes.value
    block = device.limits.filter_block.value
    try:
        division = smallest_division(work, device)
    except DoesNotFitError:
        assert work.input_bytes(1, 4) > rows or work.weight_bytes(1, block) > weights
        return
    parts = parts_of(division, work, device, 0)
    assert len(parts) == division.nps
    cells = sum((p.rows[1] - p.rows[0]) * p.filter_count for p in parts)
    assert cells == work.rows * work.filters
    assert all(p.input_bytes <= rows and p.weight_bytes <= weights for p in parts)
    assert all(0 <= p.reach[0] < p.reach[1] <= work.rows for p in parts)
    if division.by_filters > 1:
        assert work.weight_bytes(-(-work.filters // (division.by_filters - 1)), block) > weights
    if division.by_rows > 1:
        larger = -(-work.rows // (division.by_rows - 1))
        assert larger > device.limits.np_rows.value or work.input_bytes(larger, 4) > rows


@given(st.integers(1, 500), st.integers(1, 40))
def test_spans_are_as_equal_as_possible(size, parts):
    found = spans(size, parts)
    lengths = [last - first for first, last in found]
    assert sum(lengths) == size
    assert found[0][0] == 0
    assert found[-1][1] == size
    assert max(lengths) - min(lengths) <= 1


def test_smaller_memories_ask_for_more_nps(program):
    version, module = program
    device = load_device(DEVICES[version][0])
    fewest = map_program(module, device, "minimal").nps
    small = changed(device, "limits", np_weight_bytes=2048, np_input_bytes=1600)
    assert map_program(module, small, "minimal").nps > fewest


def test_what_does_not_fit_goes_to_the_host_or_is_refused_with_every_reason(program):
    version, module = program
    device = changed(load_device(DEVICES[version][0]), "limits", np_input_bytes=100)
    mapping = map_program(module, device, "minimal")
    assert any(op.op_name.endswith(("convolutional", "conv2d")) for op in mapping.host_ops)
    assert any("an NP takes 100" in line for line in advice(mapping))
    with pytest.raises(CompileError) as refused:
        map_program(module, device, "minimal", hw_only=True)
    found = refused.value.diagnostics
    assert {d.code for d in found} == {"MAP-FIT"}
    assert len(found) >= 3
    assert all("bytes; an NP takes 100" in d.found for d in found)


def test_a_device_without_passes_keeps_what_fits(program):
    version, module = program
    device = changed(load_device(DEVICES[version][0]), "chip", nodes=1, multi_pass=False)
    device = changed(device, "limits", np_weight_bytes=4800, np_input_bytes=1600)
    mapping = map_program(module, device, "minimal")
    assert all(len(s.passes) <= 1 and sum(p.nps for p in s.passes) <= 4 for s in mapping.sequences)
    assert any(op.op_name.startswith("akida") and "quantizer" not in op.op_name for op in mapping.host_ops)
    with pytest.raises(CompileError, match="MAP-PASSES"):
        map_program(module, device, "minimal", hw_only=True)
    with pytest.raises(CompileError, match="MAP-MODE"):
        map_program(module, device, "hw-pr")


def placed(kernel, filters, *parts):
    """A layer on NPs: (rows, filters, halo) of each part."""
    work = SimpleNamespace(name="layer", kernel=kernel, rows=10, filters=filters)
    found = [SimpleNamespace(rows=r, filters=f, halo=h, filter_count=f[1] - f[0]) for r, f, h in parts]
    return SimpleNamespace(work=work, unit=Unit.CNP, parts=found)


@pytest.mark.parametrize(
    ("filters", "advised"),
    [(9, "layer: 9 filters an NP take the time of 16"), (17, "layer: 17 filters an NP take the time of 24"), (8, None)],
)
def test_advice_on_filters_that_leave_units_idle(filters, advised):
    parts = [((0, 10), (0, filters), (0, 0)), ((0, 10), (filters, 2 * filters), (0, 0))]
    assert list(layer_advice(placed((1, 1), 2 * filters, *parts), 8)) == ([advised] if advised else [])
    assert not list(layer_advice(placed((1, 1), filters, parts[0]), 8)), "one NP has them all"


def test_advice_on_rows_that_parts_share():
    halves = [((0, 5), (0, 8), (0, 1)), ((5, 10), (0, 8), (1, 0))]
    message = "layer: 2 parts by rows work on 20 % more rows than there are (halo)"
    assert list(layer_advice(placed((3, 3), 8, *halves), 8)) == [message]
    assert not list(layer_advice(placed((1, 1), 8, *halves), 8)), "a kernel of one row has no halo"
    assert not list(layer_advice(placed((3, 3), 8, halves[0], ((5, 10), (8, 16), (1, 0))), 8)), "10 % is not much"


def test_other_mistakes(program, example_programs):
    version, module = program
    other = load_device(DEVICES["v2" if version == "v1" else "v1"][0])
    with pytest.raises(CompileError, match=r"DEVICE-GENERATION(.|\n)*--target"):
        map_program(module, other, "minimal")
    with pytest.raises(CompileError, match="MAP-MODE"):
        Model(module).map(DEVICES[version][0], "fastest")
    with pytest.raises(CompileError, match=r"DEVICE(.|\n)*did you mean AKD1500"):
        Model(module).map("AKD150")


def test_as_a_pass(tmp_path):
    from cnn2snn_ir.tools.opt import main

    pipeline = "builtin.module(place-on-device{device=TwoNodesIPv2,mode=minimal})"
    assert (
        main(
            ["examples/mnist_v2_i8_w8_a8.h5", "-p", f"akida2-default,{pipeline[15:-1]}", "-o", str(tmp_path / "x.c2s")]
        )
        == 0
    )
