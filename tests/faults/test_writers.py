"""Every writer of the project goes through `atomic_write`, and what can go wrong with a file is a diagnostic."""

import ast
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from generators.recorded import EXAMPLES

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.files import atomic_write

ROOT = Path(__file__).parents[2]
MODEL = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
SAMPLES = EXAMPLES / "mnist_1000.npz"
FLOAT = EXAMPLES / "mnist_v2_float.h5"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "mnist.fbz"
    assert command("convert", "-m", MODEL, "-o", path).returncode == 0
    return path


def command(*words, tool="cnn2snn", **options):
    """A command in a process of its own."""
    line = [sys.executable, "-m", f"cnn2snn_ir.tools.{tool}", *map(str, words)]
    options = {"capture_output": True, "check": False, "cwd": ROOT, "timeout": 120} | options
    return subprocess.run(line, **options)


def outcome(done, code=1, word="FILE-"):
    """What a failed command says: one diagnostic, no traceback."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert word in text
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert "internal error" not in text
    return text


# ---- all writers are known ------------------------------------------------------------------------------------------

WRITING = {
    "write_text",
    "write_bytes",
    "savez",
    "savez_compressed",
    "tofile",
    "to_csv",
    "mkstemp",
    "NamedTemporaryFile",
}
ALLOWED = {
    ("cnn2snn_ir/files.py", "open"),
    ("tools/process.py", "open"),  # of /dev/null
    ("tools/keras_models.py", "save"),  # into a temporary folder, from where it is written whole
    ("cnn2snn_ir/api.py", "save"),  # a live model into a temporary folder; a program by the writer of programs
    ("tools/cnn2snn.py", "save"),  # of keras_models and of quantize_float
}
"""Where files are opened for writing, all but the first not under the name that the user gave."""


def written(tree):
    """The calls in a file that could write one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
        modes = [t for t in texts if (isinstance(t, str) and t.strip("bt+") in ("w", "x", "a")) or t == "r+"]
        if name in WRITING or name in ("save", "dump") or (name in ("open", "File", "ZipFile") and modes):
            yield name, node


def test_no_other_writer():
    found = set()
    for folder in ("cnn2snn_ir", "frontends", "passes", "backends", "runtime", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = written(ast.parse(path.read_text()))
            in_memory = ("sidecar", "buffer", "io.BytesIO()")
            strange = [name for name, node in calls if not (node.args and ast.unparse(node.args[0]) in in_memory)]
            found |= {(str(path.relative_to(ROOT)), name) for name in strange}
    assert found <= ALLOWED


def test_a_stray_writer_would_be_found():
    files = "open(p, 'wb')\nh5py.File(p, 'w')\nzipfile.ZipFile(p, 'w')\n"
    stray = f"{files}Path(x).write_text('y')\nnp.savez(p)\njson.dump(a, f)"
    assert len(list(written(ast.parse(stray)))) == 6
    assert not list(written(ast.parse("open(p)\nopen(p, 'rb')\nh5py.File(p, 'r')")))


# ---- what a name may stand for --------------------------------------------------------------------------------------


def test_a_link_is_kept(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real.name)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    real.unlink()
    atomic_write(link, b"again")  # a dangling one
    assert link.is_symlink()
    assert real.read_bytes() == b"again"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "link").symlink_to("none/file")
    with pytest.raises(CompileError, match="FILE-MISSING"):
        atomic_write(tmp_path / "link", b"new")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CompileError, match="FILE-ACCESS"):
        atomic_write(tmp_path / "loop", b"new")


def test_a_device_is_written_into(tmp_path):
    """One of our own where we may make it: as root, a writer that is broken would take /dev/null from everybody."""
    device = Path("/dev/null")
    if os.getuid() == 0:
        device = tmp_path / "null"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    atomic_write(device, b"x")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pipe_is_written_into(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    reader.start()
    atomic_write(fifo, b"through")
    reader.join()
    assert found == [b"through"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_full_device_is_a_diagnostic():
    with pytest.raises(CompileError, match=r"FILE-ACCESS.*\n.*No space left"):
        atomic_write("/dev/full", b"x")


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "漢" * 85, "🙂" * 63])
def test_the_longest_names(tmp_path, name):
    atomic_write(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    with pytest.raises(CompileError, match="File name too long"):
        atomic_write(tmp_path / (name + "xxxx"), b"x")


def writers(program):
    """Every command that writes a file, its name to come."""
    yield "cnn2snn", ("convert", "-m", MODEL, "-o"), "x.fbz"
    yield "cnn2snn", ("quantize-float", FLOAT, "-o"), "x.c2s"
    yield "cnn2snn", ("run", program, "-i", SAMPLES, "-o"), "x.npy"
    simulate = ("simulate", program, "-d", "Akida2FPGA", "--density", "0.5")
    for flag in ("report", "trace", "json", "csv"):
        yield "cnn2snn", (*simulate, f"--{flag}"), f"x.{flag}"
    yield "opt", (MODEL, "-o"), "x.c2s"
    yield "opt", (MODEL, "-p", "akida2-default", "-o"), "x.fbz"
    yield "opt", (MODEL, "--weights=sidecar", "--weights-file"), "x.c2sw"


CASES = range(10)


@pytest.mark.parametrize("case", CASES)
def test_no_room(case, program, tmp_path):
    """The system lets a process write files of so many bytes only; that says EFBIG where a full disk says ENOSPC."""
    tool, words, name = list(writers(program))[case]
    path = tmp_path / name
    path.write_bytes(b"old")
    done = command(*words, path, tool=tool, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)))
    assert "File too large" in outcome(done)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_no_writer_is_missing(program):
    assert len(list(writers(program))) == len(CASES)


def test_places_that_cannot_be_written(program, tmp_path):
    """As root, too, nothing can be written below a file, into a folder, into /proc, or under a name too long."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    places = ["file/x.npy", "folder", "none/x.npy", "x" * 300 + ".npy", "/proc/x.npy"]
    for place in places:
        outcome(command("run", program, "-i", SAMPLES, "-o", tmp_path / place))
    for place in (*places[:1], *places[2:]):
        outcome(command("convert", "-m", MODEL, "-o", tmp_path / place))
        outcome(command(MODEL, "-o", tmp_path / place, tool="opt"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_folders_that_others_own(program, tmp_path):
    """Nobody's process may not write here."""
    path = str(tmp_path / "x")
    become_nobody = "os.setgid(65534); os.setuid(65534);" if os.getuid() == 0 else ""
    tmp_path.chmod(0o500)
    script = f"import os; from cnn2snn_ir.files import atomic_write; {become_nobody} atomic_write({path!r}, b'x')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    tmp_path.chmod(0o700)
    assert "FILE-ACCESS" in done.stderr
    assert "Permission denied" in done.stderr


# ---- killed while writing -------------------------------------------------------------------------------------------

WRITE_FOREVER = """
import sys
from cnn2snn_ir.files import atomic_write
path, n = sys.argv[1], 0
print("ready", flush=True)
while True:
    n += 1
    atomic_write(path, n.to_bytes(8, "little") * 100_000)
"""


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "program.fbz"
    path.write_bytes(bytes(800_000))
    for attempt in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            process.stdout.readline()
            time.sleep(0.003 * attempt + 0.011)
            process.kill()
        data = path.read_bytes()
        assert len(data) == 800_000
        assert data == data[:8] * 100_000
    strays = [p.name for p in tmp_path.iterdir() if p != path]
    assert all(name.startswith(".program.fbz.") and name.endswith(".tmp") for name in strays)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_kill_of_any_command_leaves_the_old_file_or_the_new_one(case, program, tmp_path):
    tool, words, name = list(writers(program))[case]
    path = tmp_path / name
    start = time.monotonic()
    assert command(*words, path, tool=tool).returncode == 0
    took, new = time.monotonic() - start, path.read_bytes()
    line = [sys.executable, "-m", f"cnn2snn_ir.tools.{tool}", *map(str, words), str(path)]
    for part in (0.3, 0.6, 0.8, 0.85, 0.9, 0.94, 0.97, 1.0):  # most of it at the end, where files are written
        path.write_bytes(b"old")
        with started(line) as process:
            time.sleep(part * took)
            process.kill()
        assert path.read_bytes() in (b"old", new)


def signals_as_in_a_terminal():
    """A shell has what it starts in the background ignore SIGINT, and this process may have been started so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(line):
    """A command that a signal can end, and that does not outlive the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, **pipes, cwd=ROOT, preexec_fn=signals_as_in_a_terminal) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_command_in_order(number, code, word, tmp_path):
    """A fifo as the input keeps the command waiting where we can find it."""
    os.mkfifo(tmp_path / "words.c2s")
    (tmp_path / "x.c2s").write_bytes(b"old")
    line = [sys.executable, "-m", "cnn2snn_ir.tools.opt", str(tmp_path / "words.c2s"), "-o", str(tmp_path / "x.c2s")]
    with started(line) as process, open(tmp_path / "words.c2s", "wb"):  # opens when the command does
        time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err.decode() == f"{word}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["words.c2s", "x.c2s"]
    assert (tmp_path / "x.c2s").read_bytes() == b"old"


def test_a_signal_amid_a_long_run(program, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((200_000, 28, 28, 1), np.uint8))
    line = [sys.executable, "-m", "cnn2snn_ir", "run", str(program), "-i", str(tmp_path / "x.npy"), "--batch", "1"]
    with started(line) as process:
        time.sleep(2.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.endswith(b"interrupted\n")


def test_who_starts_us_in_the_background_may_have_signals_ignored():
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv = ['cnn2snn', '--version'];"
    script += "from cnn2snn_ir.tools.cnn2snn import main; main(); print(signal.getsignal(signal.SIGINT))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.endswith("1\n")  # SIG_IGN
