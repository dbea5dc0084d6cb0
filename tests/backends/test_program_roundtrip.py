"""What is written reads back the same: ops of every dialect, attributes of every kind, locations, annotations."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from generators.op_tables import modules, snapshot
from hypothesis import HealthCheck, given, settings

from cnn2snn_ir.backends.program import dumps, loads, read_manifest, read_program, write_program
from cnn2snn_ir.backends.program.decode import decode
from cnn2snn_ir.backends.program.encode import encode
from cnn2snn_ir.backends.program.fbs import print_schema
from cnn2snn_ir.backends.program.pack import pack
from cnn2snn_ir.backends.program.unpack import unpack
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.ir import (
    Tensor,
    TensorType,
    ui,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_any_module_survives(generated):
    payload = pack(encode(generated))
    read = decode(unpack(payload, "x.fbz"), "x.fbz")
    assert snapshot(read) == snapshot(generated)
    assert pack(encode(read)) == payload


def test_file_round_trip_and_manifest(module, tmp_path):
    path = tmp_path / "kws.fbz"
    write_program(module, path)
    assert snapshot(read_program(path)) == snapshot(module)
    assert dumps(read_program(path)) == path.read_bytes()
    manifest = read_manifest(path)
    assert manifest.tool.startswith("cnn2snn-ir")
    assert (manifest.source, manifest.pipeline, manifest.target) == ("kws.h5", "akida2-default", "akida2")
    assert manifest.source_sha256 == "ab" * 32


def test_manifest_may_be_silent(module, tmp_path):
    module.annotations.clear()
    write_program(module, tmp_path / "x.fbz")
    assert read_manifest(tmp_path / "x.fbz").source is None


def test_tensors_are_shared(module):
    conv, dense = list(module.body)[1:3]
    twin = Tensor.of([1, -2, 3, -4], conv.bias.type.element, "conv/bias")
    conv.annotations["again"] = twin
    assert len(encode(module).tensors) == 6
    loaded = list(loads(dumps(module)).body)[1]
    assert loaded.annotations["again"] is loaded.bias
    assert dense.weights.array.flags.writeable is False


def test_bytes_do_not_depend_on_the_hash_seed():
    script = (
        "import hashlib, runpy; m = runpy.run_path('conftest.py')['make_module']();"
        "from cnn2snn_ir.backends.program import dumps; print(hashlib.sha256(dumps(m)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(digests) == 1


def test_published_schema_is_current():
    published = Path(sys.modules["cnn2snn_ir.backends.program"].__file__).parent / "program.fbs"
    assert published.read_text() == print_schema()
    command = [sys.executable, "-m", "cnn2snn_ir.backends.program.fbs"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == print_schema()


def test_elided_weights_cannot_be_written(module):
    conv = list(module.body)[1]
    conv.attributes["weights"] = Tensor("conv/kernel", conv.weights.type, None, conv.weights.digest)
    with pytest.raises(CompileError, match="IR-WEIGHTS-ELIDED"):
        dumps(module)


def test_what_does_not_fit_is_refused(module):
    module.annotations["bound"] = 2**63
    with pytest.raises(CompileError, match="FBZ-RANGE"):
        dumps(module)
    module.annotations["bound"] = "\udc80"
    with pytest.raises(CompileError, match="FBZ-TEXT"):
        dumps(module)


def test_invalid_module_is_not_written(module, tmp_path):
    dense = list(module.body)[2]
    dense.results[0].type = TensorType((None, 3), ui(7))
    with pytest.raises(CompileError, match="IR-TYPE"):
        write_program(module, tmp_path / "x.fbz")
    assert list(tmp_path.iterdir()) == []
    assert isinstance(dense, akida2.Dense1D)


@pytest.mark.oracle
def test_flatc_reads_the_payload(module, tmp_path):
    import json
    import shutil

    flatc = shutil.which("flatc")
    if flatc is None:
        pytest.skip("flatc is not installed")
    (tmp_path / "program.fbs").write_text(print_schema())
    (tmp_path / "kws.bin").write_bytes(pack(encode(module)))
    subprocess.run([flatc, "--json", "--strict-json", "program.fbs", "--", "kws.bin"], cwd=tmp_path, check=True)
    decoded = json.loads((tmp_path / "kws.json").read_text())
    assert [op["name"] for op in decoded["module"]["regions"][0]["ops"]] == [op.op_name for op in module.body]
    assert bytes(decoded["tensors"][1]["data"]) == np.array([1, -2, 3, -4], np.int8).tobytes()
    assert decoded["module"]["attributes"][0] == {"name": "sym_name", "value": {"kind": "TEXT", "text": "kws"}}
