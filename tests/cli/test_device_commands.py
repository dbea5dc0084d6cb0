"""`cnn2snn devices`, `map` and `simulate`: what a user sees, and what is written."""

import csv
import json

import numpy as np
import pytest

from cnn2snn_ir.device import device_names
from cnn2snn_ir.runtime.timing.tables import COLUMNS
from cnn2snn_ir.tools.cnn2snn import main

MODEL = "examples/mnist_v1_i8_w4_a4_qat.h5"
DIGITS = "examples/mnist_1000.npz"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    found = {}
    for version, model in (("v1", MODEL), ("v2", "examples/mnist_v2_i8_w8_a8.h5")):
        path = folder / f"{version}.fbz"
        assert main(["convert", "-m", model, "-o", str(path), "--target", version]) == 0
        found[version] = str(path)
    return found


def test_devices(capsys):
    assert main(["devices"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in device_names())
    assert main(["devices", "AKD1500"]) == 0
    described = capsys.readouterr().out
    assert "timing.scan" in described
    assert "BrainChip: each event is processed for 8 filters at once" in described
    assert main(["devices", "AKD1501"]) == 1
    assert "did you mean AKD1500?" in capsys.readouterr().err


def test_map_explains(programs, capsys):
    assert main(["map", programs["v1"], "--device", "AKD1500", "--mode", "minimal", "--explain"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("mnist_v1 on AKD1500, minimal: 4 NPs and the input engine, 1 pass, 3 sequences")
    assert "28 of 32 NPs are idle; --mode all-nps uses them" in text
    assert main(["map", programs["v2"], "-d", "TwoNodesIPv2", "--mode", "hw-pr", "--explain"]) == 0
    text = capsys.readouterr().out
    assert "passes: their weights are put into the NPs again for every frame" in text
    assert "low confidence" in text
    assert "1 skip DMAs: re_lu_3" in text


def test_map_of_a_model_is_the_map_of_its_program(programs, capsys):
    assert main(["map", MODEL, "--explain"]) == 0
    first = capsys.readouterr().out
    assert main(["map", programs["v1"], "--explain"]) == 0
    assert capsys.readouterr().out == first


def test_map_as_ir_can_be_read_again(programs, tmp_path, capsys):
    from cnn2snn_ir.tools.opt import main as opt

    assert main(["map", programs["v1"], "--ir"]) == 0
    path = tmp_path / "placed.c2s"
    path.write_text(capsys.readouterr().out)
    assert opt([str(path), "-p", "builtin.module()", "-o", str(path.with_suffix(".out.c2s"))]) == 0


def test_simulate_writes_what_it_shows(programs, tmp_path, capsys):
    paths = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv")}
    command = ["simulate", programs["v1"], "-i", DIGITS, "--count", "100", "-d", "AKD1500", "--batch", "10"]
    assert main([*command, "--json", str(paths["json"]), "--csv", str(paths["csv"])]) == 0
    shown = capsys.readouterr().out
    data = json.loads(paths["json"].read_text())
    assert data["format"] == 1  # readers of these files go by it
    assert (data["frames"], data["batch"], data["mode"]) == (100, 10, "all-nps")
    assert f"{data['latency_ms']:,.3f} ms" in shown
    assert f"{data['total_mj']:,.4f} mJ a frame" in shown
    assert f"error    clocks of a layer: {data['stated_errors'][0]['mean_percent']} % mean" in shown
    rows = list(csv.DictReader(paths["csv"].read_text().splitlines()))
    assert [row["layer"] for row in rows] == [layer["name"] for layer in data["layers"]]
    assert list(rows[0]) == [column.key for column in COLUMNS]
    for row, layer in zip(rows, data["layers"], strict=True):
        assert float(row["clocks"]) == layer["clocks"]["total"]
        assert float(row["events"]) == layer["events"]
        assert float(row["energy_uj"]) == layer["energy"]["total"]
        assert row["layer"] in shown
        assert (int(row["nps"]) == 0) is (row["unit"] in ("HRC", "DMA"))
        assert f"{layer['clocks']['total']:,.0f}" in shown


def test_events_are_those_of_the_run(programs, tmp_path):
    from cnn2snn_ir.runtime.model import Model

    path = tmp_path / "out.json"
    assert main(["simulate", programs["v1"], "-i", DIGITS, "--count", "50", "--json", str(path)]) == 0
    layers = json.loads(path.read_text())["layers"]
    model = Model(programs["v1"])
    maps = list(model.intermediates(np.load(DIGITS)["x"][:50]).values())
    for layer, array in zip(layers[1:], maps[1:-2], strict=False):  # behind the quantizer; the host's tail is not there
        assert layer["events"] == pytest.approx(np.count_nonzero(array) / 50)


def test_a_what_if_and_low_confidence_cannot_be_overlooked(programs, capsys):
    assert main(["simulate", programs["v2"], "--density", "0.3", "-d", "Akida2FPGA"]) == 0
    text = capsys.readouterr().out
    assert "WHAT-IF density 0.3" in text
    assert "LOW CONFIDENCE" in text
    assert "no data for Akida2FPGA" in text
    assert main(["simulate", programs["v1"], "--density", "1,0.5,0.5,0.2,0.3"]) == 0
    assert "WHAT-IF density 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give samples, or a density"),
        (["-i", DIGITS, "--density", "0.5"], "give samples, or a density"),
        (["--density", "0.5", "--handoff", "triple"], "single or double"),
        (["--density", "0.5", "-d", "Akida2FPGA"], "DEVICE-GENERATION"),
        (["--density", "0.5", "--mode", "fast"], "MAP-MODE"),
        (["-i", "none.npz"], "FILE-MISSING"),
        (["--density", "1.5"], "RUN-DENSITY"),
        (["--density", "0.5,0.5"], "one for each of 5 layers"),
        (["--density", "half"], "RUN-DENSITY"),
        (["--density", "1,0.5,0.5,0.2,1.5"], "RUN-DENSITY"),
        (["--density", "1,0.5,0.5,0.2,-0.1"], "RUN-DENSITY"),
    ],
)
def test_mistakes(programs, capsys, arguments, message):
    assert main(["simulate", programs["v1"], *arguments]) != 0
    assert message in capsys.readouterr().err


def test_statistics_of_a_mapped_model(programs):
    from cnn2snn_ir.diagnostics import CompileError
    from cnn2snn_ir.runtime.model import Model

    images = np.load(DIGITS)["x"][:20]
    model, plain = Model(programs["v1"]), Model(programs["v1"])
    with pytest.raises(CompileError, match="RUN-NOT-MAPPED"):
        _ = model.statistics
    mapping = model.map("AKD1500", mode="Minimal", hw_only=True)
    assert mapping is model.mapping
    with pytest.raises(CompileError, match="RUN-NO-SAMPLES"):
        _ = model.statistics
    with pytest.raises(CompileError, match="a simulation needs samples"):
        model.simulate()
    assert np.array_equal(model.predict(images), plain.predict(images))
    statistics = model.statistics
    assert statistics.inference_frames == 20
    assert statistics.fps == pytest.approx(400e6 / statistics.simulation.latency_clocks)
    assert statistics.energy == pytest.approx(statistics.powers["avg"] / statistics.fps)
    assert 0 < statistics.powers["dynamic"] < statistics.powers["avg"]
    s = statistics.simulation
    assert statistics.powers["dynamic"] * s.latency_ms == pytest.approx(1e3 * s.dynamic_mj)  # µJ, both
    assert statistics.inference_clk > statistics.program_clk > 0
    assert "frames/s" in str(statistics)
    model.map("AKD1000")
    model.forward(images)
    assert model.statistics.energy is None
    assert model.statistics.powers is None


def test_a_stream_is_simulated_step_by_step():
    from cnn2snn_ir import convert
    from cnn2snn_ir.runtime.model import Model

    model = Model(convert("tests/fixtures/quantizeml/spatiotemporal_i8_w8_a8.h5").module)
    model.map("SixNodesIPv2")
    shape = model.input_shape
    steps = np.random.default_rng(0).integers(0, 127, (5, 2, *shape)).astype(np.int8)
    simulation = model.simulate(steps)
    assert simulation.frames == 10
    temporal = [layer for layer in simulation.layers if "BufferTempConv" in layer.kind]
    assert temporal
    for layer in temporal:  # the frames that are remembered are worked on again
        assert layer.sites > np.prod(layer.input_shape)
        assert 0 < layer.events <= layer.sites
    assert model.simulate(steps).latency_clocks == simulation.latency_clocks
