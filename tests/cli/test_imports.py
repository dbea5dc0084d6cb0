"""What every command may import: the packages of others, and modules of the standard library that take long.

Starting up is most of what a short command does, so an import that strays in is a fault like another.
"""

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from generators.recorded import EXAMPLES, FIXTURES
from typer.main import get_command

from cnn2snn_ir.tools.cnn2snn import app

MODEL = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
SAMPLES = EXAMPLES / "mnist_1000.npz"
FLOAT = EXAMPLES / "mnist_v2_float.h5"
PROGRAM = "{folder}/mnist.fbz"
TEXT = "{folder}/mnist.c2s"
HAS_KERAS = importlib.util.find_spec("keras") is not None

TYPER = {"typer", "annotated_doc", "shellingham", "click", "typing_extensions"}
RICH = {"rich", "markdown_it", "mdurl", "pygments"}
HELP_OF_OPT = TYPER | RICH
NUMPY = TYPER | {"numpy"}
PROGRAMS = NUMPY | {"flatbuffers"}
H5 = NUMPY | {"h5py"}
TEXTS = NUMPY | {"lark"}
NUMBA = {"numba", "llvmlite", "scipy"}
ONNX = {"onnx", "google", "ml_dtypes"}

LEGACY = [
    ("quantize", "-m", FLOAT, "-o", "{folder}/q.h5"),
    ("reshape", "-m", FLOAT, "-iw", 8, "-ih", 8, "-o", "{folder}/r.h5"),
    ("calibrate", "bc", "-m", FLOAT, "-sa", SAMPLES, "-o", "{folder}/c.h5"),
    ("calibrate", "adaround", "-m", FLOAT, "-sa", SAMPLES, "-o", "{folder}/c.h5"),
]

COMMANDS = {
    "nothing but options": (TYPER, [("--version",), ("convert", "--help"), ("calibrate", "bc", "--help"), ("--help",)]),
    "tables": (NUMPY, [("explain",), ("explain", "AK2-CONV-01"), ("devices",), ("devices", "AKD1500")]),
    "a Keras model": (H5, [("check", MODEL), ("check", MODEL, "--json"), ("explain", "--layer", "re_lu_3", MODEL)]),
    "convert a Keras model": (H5 | PROGRAMS, [("convert", "-m", MODEL, "-o", "{folder}/x.fbz")]),
    "convert a legacy model": (
        H5 | PROGRAMS,
        [("convert", "-m", EXAMPLES / "mnist_legacy_iq8_wq2_aq2.h5", "-o", "{folder}/x.fbz")],
    ),
    "convert an ONNX file": (
        PROGRAMS | ONNX,
        [("convert", "-m", FIXTURES / "onnx" / "cnn_u8.onnx", "-o", "{folder}/x.fbz")],
    ),
    "convert text": (PROGRAMS | TEXTS, [("convert", "-m", TEXT, "-o", "{folder}/x.fbz")]),
    "quantize": (H5, [("quantize-float", FLOAT, "-o", "{folder}/q.c2s")]),
    "a program": (PROGRAMS, [("summary", PROGRAM), ("diff", PROGRAM, PROGRAM), ("map", PROGRAM, "-d", "Akida2FPGA")]),
    "a guess": (
        PROGRAMS | RICH,
        [("simulate", PROGRAM, "-d", "Akida2FPGA", "--density", 0.5, "--csv", "{folder}/x.csv")],
    ),
    "run": (
        PROGRAMS | NUMBA | RICH,
        [
            ("run", PROGRAM, "-i", SAMPLES, "-o", "{folder}/y.npy"),
            (
                "simulate",
                PROGRAM,
                "-d",
                "Akida2FPGA",
                "-i",
                SAMPLES,
                "--report",
                "{folder}/x.html",
                "--trace",
                "{folder}/x.json",
            ),
        ],
    ),
    "compare": (H5 | PROGRAMS | TEXTS | NUMBA, [("compare", MODEL, PROGRAM, "-i", SAMPLES, "--count", 2)]),
}
"""What is asked for ▶ the packages that it may import, and commands that ask for it."""

OPT = {
    "help": (HELP_OF_OPT, [("--help",)]),
    "names": (TYPER, [("--list-passes",)]),
    "pipelines": (TEXTS, [("--list-pipelines",), ("--dump-pass-pipeline", "-p", "akida2-default")]),
    "a Keras model": (H5 | TEXTS, [(MODEL, "-p", "akida2-default", "--validate-each=1"), (MODEL, "-o", TEXT)]),
    "a program": (PROGRAMS | TEXTS, [(PROGRAM, "-o", "{folder}/x.fbz"), (TEXT, "--generic")]),
}

SLOW = {
    "asyncio", "cProfile", "curses", "doctest", "ensurepip", "http", "idlelib", "imaplib", "lib2to3", "mailbox",
    "multiprocessing", "pdb", "pydoc", "smtplib", "sqlite3", "ssl", "tkinter", "unittest", "xmlrpc",
}  # fmt: skip
"""Modules of the standard library that no command needs, but for those that run: numba brings some."""

SCRIPT = """
import json, os, sys
sys.modules['coverage'] = None  # numba imports it, where there is one
before = {m.partition('.')[0] for m in sys.modules}
from importlib import import_module
main = import_module(sys.argv[1]).main
calls = json.loads(sys.argv[2])
sys.argv[:] = ['cnn2snn']
sys.stdout = open(os.devnull, 'w')
codes = [main(arguments) for arguments in calls]
sys.stdout = sys.__stdout__
print(json.dumps([codes, sorted({m.partition('.')[0] for m in sys.modules} - before)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the program and the text are that commands read."""
    folder = tmp_path_factory.mktemp("imports")
    calls = [("cnn2snn", "convert", "-m", MODEL, "-o", PROGRAM), ("opt", MODEL, "--weights=sidecar", "-o", TEXT)]
    for tool, *call in calls:
        assert loaded(tool, [call], folder)[0] == [0]
    return folder


def loaded(tool, calls, folder):
    """The exit codes of calls in one new process, and what it loads beyond Python's own start."""
    texts = [[str(word).format(folder=folder) for word in call] for call in calls]
    script = [sys.executable, "-c", SCRIPT, f"cnn2snn_ir.tools.{tool}", json.dumps(texts)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes, names = json.loads(done.stdout)
    return codes, {name for name in names if "cython" not in name}  # what Cython leaves behind is h5py's


def others(names):
    return {name for name in names if name not in sys.stdlib_module_names} - {"cnn2snn_ir"}


@pytest.mark.parametrize("subject", COMMANDS)
def test_what_commands_import(subject, folder):
    allowed, calls = COMMANDS[subject]
    codes, names = loaded("cnn2snn", calls, folder)
    assert codes == [0] * len(calls)
    assert others(names) <= allowed
    assert names & SLOW <= (SLOW if "numba" in allowed else set())


@pytest.mark.parametrize("subject", OPT)
def test_what_cnn2snn_opt_imports(subject, folder):
    allowed, calls = OPT[subject]
    codes, names = loaded("opt", calls, folder)
    assert codes == [0] * len(calls)
    assert others(names) <= allowed
    assert not names & SLOW


@pytest.mark.skipif(HAS_KERAS, reason="with Keras, they import it")
def test_the_legacy_commands_import_little_to_say_that_keras_is_missing(folder):
    codes, names = loaded("cnn2snn", LEGACY, folder)
    assert codes == [1] * len(LEGACY)
    assert others(names) <= NUMPY


def test_importing_the_package_costs_nothing():
    script = "import sys; before = set(sys.modules); import cnn2snn_ir; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not others(name.partition(".")[0] for name in done.stdout.split())


def test_every_command_is_in_the_table():
    named = {call[0] for _, calls in COMMANDS.values() for call in calls} | {call[0] for call in LEGACY}
    assert named >= set(get_command(app).commands)
    ours = {p.name: p.value.partition(":")[0] for p in entry_points(group="console_scripts") if "cnn2snn_ir" in p.value}
    tools = "cnn2snn_ir.tools.cnn2snn", "cnn2snn_ir.tools.opt"
    assert ours == {"cnn2snn": tools[0], "cnn2snn-ir": tools[0], "cnn2snn-opt": tools[1]}
