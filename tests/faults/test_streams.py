"""Standard streams that are closed, full, or read no further; names and locales that are not UTF-8."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from generators.recorded import EXAMPLES

ROOT = Path(__file__).parents[2]
MODEL = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
TOOL = f"{sys.executable} -m cnn2snn_ir.tools"


def shell(line, **environment):
    """A line of bash; words of ours are `cnn2snn` and `opt`."""
    functions = f'cnn2snn() {{ {TOOL}.cnn2snn "$@"; }}; opt() {{ {TOOL}.opt "$@"; }}\n'
    variables = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", functions + line], capture_output=True, check=False, cwd=ROOT, env=variables, timeout=120
    )


def quiet(done):
    return done.stderr == b""


@pytest.mark.parametrize(
    "words",
    [
        f"opt {MODEL} --print-ir-after-all -p canonicalize 2>&1",
        "cnn2snn devices",
        "cnn2snn explain",
        "opt --list-passes",
        "cnn2snn --help",
    ],
)
def test_a_reader_that_has_seen_enough(words):
    done = shell(f"{words} | true; echo ${{PIPESTATUS[0]}}")
    assert quiet(done)
    assert done.stdout == b"141\n"  # 128 + SIGPIPE, as of other tools
    done = shell(f"{words} | head -1; echo ${{PIPESTATUS[0]}}")
    assert quiet(done)
    assert done.stdout.splitlines()[-1] in (b"141", b"0")  # 0: all fitted into the pipe


@pytest.mark.parametrize(
    "words", [f"opt {MODEL}", "cnn2snn devices", "cnn2snn --help", "opt --help", "cnn2snn explain"]
)
def test_a_full_disk_behind_standard_output(words):
    done = shell(f"{words} > /dev/full")
    assert done.returncode == 1
    assert (
        done.stderr.decode()
        == "error: FILE-ACCESS  standard output: cannot read or write\n    found: No space left on device\n"
    )


@pytest.mark.parametrize("words", [f"opt {MODEL}", "cnn2snn devices", "cnn2snn --help", f"cnn2snn check {MODEL}"])
def test_streams_that_are_closed(words):
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        done = shell(f"{words} {closed}")
        assert done.returncode == 0
        assert quiet(done)


def test_output_to_standard_output(tmp_path):
    """What is written there is the file alone; what there is to say goes to standard error."""
    done = shell(f"cnn2snn convert -m {MODEL} -o {tmp_path}/x.fbz")
    program = (tmp_path / "x.fbz").read_bytes()
    done = shell(f"cnn2snn convert -m {MODEL} -o /dev/stdout")
    assert done.stdout == program
    assert b"successfully converted" in done.stderr
    shell(f"cnn2snn convert -m {MODEL} -o /dev/stdout > {tmp_path}/y")
    assert (tmp_path / "y").read_bytes() == program
    shell(f"(echo first; cnn2snn convert -m {MODEL} -o /dev/stdout; echo last) > {tmp_path}/z")
    assert (tmp_path / "z").read_bytes() == b"first\n" + program + b"last\n"
    simulate = f"cnn2snn simulate {tmp_path}/x.fbz -d Akida2FPGA --density 0.5 --json /dev/stdout"
    done = shell(f"{simulate} | {sys.executable} -m json.tool > /dev/null; echo ${{PIPESTATUS[*]}}")
    assert done.stdout == b"0 0\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fbz", "y", "z"]


LOCALES = [
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8"},
    {"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1:strict"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_locales(locale, tmp_path):
    """One output, whatever the locale: IR is UTF-8, and so is all that we print."""
    for words in ("opt --list-passes", f"opt {MODEL} -p canonicalize", "cnn2snn devices AKD1500", "cnn2snn explain"):
        done = shell(words, **locale)
        assert done.returncode == 0
        assert done.stdout == shell(words).stdout
    text = shell(f"opt {MODEL} --weights=inline").stdout.decode()
    name = tmp_path / "größe→.c2s"
    name.write_text(text.replace("@mnist_v2", '@"größe→"'), encoding="utf-8")
    expected = shell(f"opt '{name}'")
    done = shell(f"opt '{name}'; opt < '{name}'", **locale)
    assert expected.returncode == 0, expected.stderr
    assert expected.stdout.startswith(rb'module @"gr\u00f6\u00dfe\u2192"')
    assert done.stdout == 2 * expected.stdout


NAMES = r"""
set -e; cd FOLDER/$'\xff\xfe'; f=$'m\xff' x=$'x\xff.npz'
cnn2snn convert -m $f.h5 --dump-ir $f.dump
cnn2snn run $f.fbz -i $x -o $f.npy
cnn2snn check $f.h5 --json
opt $f.h5 --print-loc --weights=sidecar -o $f.c2s
opt $f.c2s -o $f.x.fbz
cnn2snn compare $f.h5 $f.fbz -i $x --count 3
cnn2snn diff $f.fbz $f.fbz
cnn2snn simulate $f.fbz -d Akida2FPGA -i $x --report $f.html --json $f.json
"""


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_names_that_are_no_text(locale, tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    shutil.copy(MODEL, folder + b"/m\xff.h5")
    shutil.copy(EXAMPLES / "mnist_1000.npz", folder + b"/x\xff.npz")
    done = shell(NAMES.replace("FOLDER", str(tmp_path)), PYTHONPATH=str(ROOT), **locale)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    missing = shell(f"cnn2snn convert -m {tmp_path}/n$'\\xff'.h5", **locale)
    assert missing.returncode == 1
    assert b"FILE-MISSING" in missing.stderr
