"""Device files: those that come with the package are whole, and a user's mistakes are all listed."""

import pytest

from cnn2snn_ir.device import device_names, load_device
from cnn2snn_ir.device.tables import Confidence, unit_of
from cnn2snn_ir.diagnostics import CompileError


@pytest.mark.parametrize("name", device_names())
def test_every_constant_has_a_source(name):
    device = load_device(name)
    assert device.name == name
    assert device.nps == device.chip.nodes.value * 4
    rows, columns = device.chip.mesh.value
    assert rows * columns == device.chip.nodes.value
    for key, constant in device.constants().items():
        assert len(constant.source) > 5
        assert constant.confidence in Confidence
        assert isinstance(unit_of(key), str)


def test_only_one_chip_has_energy_data():
    assert [name for name in device_names() if load_device(name).energy is not None] == ["AKD1500"]


def test_the_second_generation_is_of_low_confidence():
    for name in device_names():
        device = load_device(name)
        assert (device.confidence is Confidence.LOW) == (device.generation == "v2")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nextends = "AKD1500"\n'
        '[chip]\nclock_mhz = { value = 200, source = "my board", confidence = "measured" }\n'
        '[timing.event_clocks]\n"conv 3x3 4 bits" = { value = 1.5, source = "my board", confidence = "measured" }\n'
    )
    device, base = load_device(path), load_device("akd1500")
    assert (device.clock_hz, base.clock_hz) == (200e6, 400e6)
    assert device.timing.event_clocks["conv 3x3 4 bits"].value == 1.5
    assert device.timing.event_clocks["conv 1x1 4 bits"] == base.timing.event_clocks["conv 1x1 4 bits"]
    without = tmp_path / "without.toml"
    without.write_text('name = "without"\nextends = "mine.toml"\nenergy = false\n')
    assert load_device(without).energy is None
    assert load_device(without).clock_hz == 200e6


def test_all_mistakes_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        'name = "bad"\nextends = "AKD1500"\ngeneration = "v3"\ncolour = "red"\n'
        "[chip]\nnodes = 4\nclock_mhz = { value = -1, source = 'x y z', confidence = 'measured' }\n"
        "clok = { value = 1, source = 'x', confidence = 'measured' }\n"
        "[timing]\nscan = { value = 1, source = '', confidence = 'hearsay' }\n"
    )
    with pytest.raises(CompileError) as refused:
        load_device(path)
    text = refused.value.render()
    for part in ("generation", "colour", "chip.nodes", "chip.clock_mhz", "chip.clok", "scan.source", "scan.confidence"):
        assert part in text
    assert "did you mean clock_mhz?" in text


@pytest.mark.parametrize(
    ("content", "code"),
    [("name = ", "DEVICE-TOML"), ('extends = "bad.toml"', "DEVICE-CIRCLE"), ("extends = 3", "DEVICE-VALUE")],
)
def test_files_that_are_no_device(tmp_path, content, code):
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(CompileError, match=code):
        load_device(path)


def test_a_table_that_is_missing(tmp_path):
    path = tmp_path / "bare.toml"
    path.write_text('name = "bare"\ngeneration = "v1"\nconfidence = "low"\ndescription = "nothing"\n')
    with pytest.raises(CompileError, match="DEVICE-MISSING") as refused:
        load_device(path)
    assert len(refused.value.diagnostics) == 4
