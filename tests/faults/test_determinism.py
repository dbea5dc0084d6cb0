"""One model is one program, byte for byte, and one input one output, whatever the process and the machine are like.

Every variant of the surroundings is one process that makes everything and prints digests.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES

ROOT = Path(__file__).parents[2]

MODELS = {
    "akida2": EXAMPLES / "mnist_v2_i8_w4_a4_qat.h5",
    "akida1": EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5",
    "legacy": EXAMPLES / "mnist_legacy_iq8_wq4_aq1.h5",
    "keras": FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5",
    "onnx": FIXTURES / "onnx" / "cnn_zp.onnx",
    "float": EXAMPLES / "mnist_v2_float.h5",
    "float.keras": FIXTURES / "float_layers" / "residual.keras",
}

SCRIPT = """
import contextlib, hashlib, io, json, sys
from pathlib import Path
import numpy as np
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.opt import main as opt

folder, samples, models = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
found = {}

def call(name, tool, *words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = tool([str(word) for word in words])
    assert code == 0 or "check" in name, (name, err.getvalue())
    text = f"{code} {out.getvalue()} {err.getvalue()}".replace(str(folder.parent), "FOLDER")
    text = text.replace('"how": "numpy engine"', '"how": "numba engine"')  # which one it was is said
    found["text " + name] = hashlib.sha256(text.encode()).hexdigest()

for name, path in models.items():
    program = folder / f"{name}.fbz"
    words = ["--samples", samples] if name == "legacy" else []
    if name.startswith("float"):
        words = ["-s", samples] if name == "float" else []
        call(f"{name} quantize", main, "quantize-float", path, "-o", folder / f"{name}.c2s", *words)
        path, words = folder / f"{name}.c2s", []
    words += ["--target", "v1"] if name == "akida1" else []
    call(f"{name} convert", main, "convert", "-m", path, "-o", program, "--dump-ir", folder / f"{name}.dump", *words)
    call(f"{name} check", main, "check", path, "--json")
    call(f"{name} print", opt, path, "--weights=sidecar", "-o", folder / f"{name}.text.c2s", "--print-loc")
program = folder / "akida2.fbz"
call("run", main, "run", program, "-i", samples, "-o", folder / "y.npy")
call("compare", main, "compare", models["akida2"], program, "-i", samples, "--count", 20, "--json")
call("explain", main, "explain", "--layer", "conv2d_2", models["akida2"])
call("passes", opt, "--list-passes")
files = [w for kind in ("report", "trace", "json", "csv") for w in (f"--{kind}", folder / f"x.{kind}")]
call("simulate", main, "simulate", program, "-d", "Akida2FPGA", "-i", samples, "--count", 30, *files)
call("map", main, "map", folder / "akida1.fbz", "--explain")
for path in sorted(folder.rglob("*")):
    if path.is_file():
        found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
print(json.dumps(found))
"""

SURROUNDINGS = {
    "hash 1": {"PYTHONHASHSEED": "1"},
    "hash 2, one thread": {"PYTHONHASHSEED": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "two threads of BLAS": {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "77"},
    "another locale and time": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Apia"},
    "a comma for a point": {"LC_NUMERIC": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Asia/Kathmandu"},
    "without numba": {"WITHOUT_NUMBA": "1"},
    "in a narrow window": {"COLUMNS": "20", "LINES": "5", "NO_COLOR": "1", "TERM": "dumb"},
}


def digests(folder, name, variables):
    """What a process of its own makes in a folder of its own, from copies of the models that are of another time."""
    here = folder / name.replace(" ", "_")
    (here / "in").mkdir(parents=True)
    (here / "out").mkdir()
    models = {}
    for number, (key, path) in enumerate(MODELS.items()):
        models[key] = str(shutil.copy(path, here / "in" / path.name))
        os.utime(models[key], (10**9 + 10**6 * number, 10**9 + len(name) * 10**5))
    samples = str(here / "in" / "samples.npz")
    with np.load(EXAMPLES / "mnist_1000.npz") as digits:
        np.savez(samples, x=digits["x"][:67], y=digits["y"][:67])
    script = SCRIPT
    if variables.get("WITHOUT_NUMBA"):
        script = "import sys; sys.modules['numba'] = None\n" + SCRIPT
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", script, str(here / "out"), samples, json.dumps(models)],
        capture_output=True, text=True, check=False, cwd=here / "in", env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return digests(folder, "plain", {"PYTHONHASHSEED": "0"})


def test_enough_is_compared(plain):
    names = " ".join(plain)
    for part in (*(f"{name}.fbz" for name in MODELS), "x.report", "x.trace", "x.json", "x.csv", "float.c2s", "y.npy"):
        assert part in names
    assert sum(".dump/" in name for name in plain) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_make_no_difference(name, plain, tmp_path):
    found = digests(tmp_path, name, SURROUNDINGS[name])
    assert {key for key in found.keys() | plain.keys() if found.get(key) != plain.get(key)} == set()


def test_another_process_makes_the_same(plain, tmp_path):
    """All that differs at once, for those who do not run the slow ones."""
    together = {key: value for one in list(SURROUNDINGS.values())[1:5] for key, value in one.items()}
    found = digests(tmp_path, "together", together | {"PYTHONHASHSEED": "31"})
    assert {key for key in found.keys() | plain.keys() if found.get(key) != plain.get(key)} == set()
