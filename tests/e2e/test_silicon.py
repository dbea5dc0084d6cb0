"""The simulator against published measurements: what is said of it is what comes out.

The limits are those that are reached, a little above; a change of the model that makes it worse fails here.
"""

from statistics import fmean

import pytest

from benchmarks import silicon
from benchmarks.published import akida1_zoo, full_models
from benchmarks.silicon_fit import fitted
from cnn2snn_ir.backends.mapping import map_program
from cnn2snn_ir.device import load_device

GROUPS = {
    ("AKD1500", "clocks of a layer"): ("layers",),
    ("AKD1500", "clocks of a network in one pass"): ("totals in one pass", "totals, all-nps"),
    ("AKD1500", "clocks of a network in several passes"): ("totals in several passes",),
    ("AKD1500", "dynamic energy of a network"): ("dynamic energy",),
    ("AKD1000", "clocks of one frame, and of ten"): ("AKD1000, one frame", "AKD1000, ten frames"),
}
"""What a device states ▶ the groups of validation rows behind it."""


@pytest.fixture(scope="module")
def rows():
    return silicon.validation()


def errors(rows, *groups):
    return [abs(row.error) for row in rows if row.group in groups]


@pytest.mark.parametrize("name", ["AKD1500", "AKD1000"])
def test_devices_state_their_errors(rows, name):
    stated = load_device(name).stated_errors
    assert [(name, error.what) for error in stated] == [key for key in GROUPS if key[0] == name]
    for error in stated:
        found = errors(rows, *GROUPS[name, error.what])
        assert (error.rows, error.mean_percent, error.max_percent) == (
            len(found),
            pytest.approx(fmean(found), abs=0.06),
            pytest.approx(max(found), abs=0.06),
        )


def test_constants_are_those_of_the_fit():
    for fit in fitted(silicon.simulated, silicon.TIMED, silicon.RELOADED, silicon.CHARGED):
        assert fit.agrees, fit


def test_no_row_calibrates_and_validates(rows):
    calibration = {row.what for row in (*silicon.layer_rows(calibration=True), *silicon.energies(calibration=True))}
    assert calibration
    assert not calibration & {row.what for row in rows}


def test_what_is_reached_stays_reached(rows):
    assert fmean(errors(rows, "layers")) < 4.2
    assert max(errors(rows, "totals in several passes")) < 10
    assert max(errors(rows, "AKD1000, ten frames")) < 1
    without_large_kernels = [row for row in rows if "rrhythmia" not in row.what]
    assert fmean(errors(without_large_kernels, "layers")) < 3.3
    assert max(errors(without_large_kernels, "totals in one pass")) < 2
    assert max(errors(without_large_kernels, "totals, all-nps")) < 3
    assert fmean(errors(rows, "dynamic energy")) < 5


@pytest.mark.parametrize(
    ("network", "nps"),
    [
        ("akidanet_0.5_160", [0, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1]),
        ("akidanet_0.25_224", [0, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("arrhythmia", [0, 2, 1, 1, 1, 1]),
    ],
)
def test_published_nps_by_layer(network, nps):
    mapping = map_program(silicon.program(network), load_device("AKD1500"), "minimal")
    assert [layer.nps for layer in mapping.layers] == nps


@pytest.mark.slow
def test_published_np_counts():
    """23 of the 24 networks of the zoo, of which every other row fitted two sizes of memory."""
    device = load_device("AKD1500")
    differ = {}
    for row in akida1_zoo():
        if row.network != "face_id_edge":  # large, and no other shape than face_id and akidanet_edge
            mapping = map_program(silicon.program(row.network), device, "minimal")
            if mapping.nps != row.nps:
                differ[row.network] = row.nps, mapping.nps
    assert differ == {"pointnet": (12, 11)}


@pytest.mark.slow
@pytest.mark.parametrize("generation", [1, 2])
def test_published_maps(generation):
    differ = {}
    for run in full_models():
        if run.generation == generation and run.nps and "naive" not in run.model and "batch" not in run.model:
            module = silicon.program(run.network, generation, 4 if "4-bit" in run.model else 8)
            device = load_device("Akida2FPGA" if generation == 2 else run.device)
            mapping = map_program(module, device, run.mode)
            engine = run.device != "AKD1000"  # the tables of the others count the input engine
            if (mapping.nps + engine, len(mapping.passes)) != (run.nps, run.passes):
                differ[run.network, run.mode] = run.nps - engine, mapping.nps
    assert differ == ({("uored", "HwPr"): (63, 65)} if generation == 1 else {})
