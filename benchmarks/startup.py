"""Cold start: commands from process start to exit against what they may take, beside `import tensorflow`, in one run.

usage: python benchmarks/startup.py [--tensorflow PYTHON] [--repeat N]

PYTHON is an interpreter that has TensorFlow (by default this one, if it has); without one only our own times are
printed.  Measurements take turns, so that a busy machine slows all of them alike; the first round fills the disk's
cache and, in an editable install, the bytecode that pip writes for everything else, and is not counted.  The large
model is the small one with twelve times the channels.  Exit code 1 if a median is above its limit, which is meant
for an idle machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

MODEL = Path(__file__).resolve().parent.parent / "examples" / "mnist_v2_i8_w8_a8.h5"
WIDER = 12

LIMITS = {
    "cnn2snn --help": 0.3,
    "cnn2snn-opt --list-passes": 0.3,
    "cnn2snn convert, 25k weights": 0.6,
    "cnn2snn convert, 4M weights": 2.0,
}
"""Seconds."""


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of a process in `folder`, away from the checkout: what is installed is timed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would have us, alone, compiled at every start
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
    return time.perf_counter() - start


def widen(path: Path, times: int) -> int:
    """Write the model with `times` as many channels in every hidden layer; returns its number of weights."""
    shutil.copy(MODEL, path)
    rng = np.random.default_rng(0)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if "filters" in layer["config"]:
                layer["config"]["filters"] *= times
        file.attrs["model_config"] = json.dumps(config)
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        arrays = {name: widened(name, np.asarray(file[name]), times, rng) for name in names}
        for name, array in arrays.items():
            del file[name]
            file[name] = array
        return sum(array.size for name, array in arrays.items() if "kernel" in name)


def widened(name: str, array: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """One array with as many times the channels: all axes of channels but those of the image and of the classes."""
    axes = [1] * array.ndim
    layer, kind = name.split("/")[-2:]
    if "depthwise_kernel" in kind:
        axes[-2] = times
    elif "kernel" in kind:
        axes[-2:] = 1 if layer == "conv2d" else times, 1 if layer == "dense" else times
    elif array.size > 1 and layer != "dense":
        axes = [times]
    wide = np.tile(array, axes)
    if "kernel" in kind:  # sums keep their size, and no two channels are alike
        wide = wide * rng.uniform(0.5, 1.5, wide.shape) / (axes[-2] if "depthwise" not in kind else 1)
    return wide.astype(array.dtype)


def commands(tensorflow: str | None, folder: Path) -> dict[str, list[str]]:
    """What is timed."""
    scripts = Path(sys.executable).parent
    ours = [str(scripts / "cnn2snn")]
    large = folder / "large.h5"
    found = {
        "cnn2snn convert, 25k weights": [*ours, "convert", "-m", str(MODEL), "-o", str(folder / "mnist.fbz")],
        "cnn2snn convert, 4M weights": [*ours, "convert", "-m", str(large), "-o", str(folder / "large.fbz")],
        "cnn2snn --help": [*ours, "--help"],
        "cnn2snn-opt --list-passes": [str(scripts / "cnn2snn-opt"), "--list-passes"],
        "import numpy, h5py": [sys.executable, "-c", "import numpy, h5py"],
    }
    if tensorflow:
        found["import tensorflow"] = [tensorflow, "-c", "import tensorflow"]
    return found


def main() -> int:
    """Measure and print the table; returns 1 if something takes too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = sys.executable if importlib.util.find_spec("tensorflow") else None
    parser.add_argument("--tensorflow", default=own, help="an interpreter that has TensorFlow")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"the large model has {widen(folder / 'large.h5', WIDER):,} weights")
        todo = commands(arguments.tensorflow and os.path.abspath(arguments.tensorflow), folder)
        rounds = [
            {name: seconds(command, folder) for name, command in todo.items()} for _ in range(1 + arguments.repeat)
        ]
    times = {name: [one[name] for one in rounds[1:]] for name in todo}
    slow = [line for name, values in times.items() if (line := row(name, values)).endswith("SLOW")]
    if "import tensorflow" in times:
        ours, theirs = times["cnn2snn convert, 25k weights"], times["import tensorflow"]
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"convert / import tensorflow  {ratio:.3f} at the medians, {min(ours) / min(theirs):.3f} of the best")
    return 1 if slow else 0


def row(name: str, values: list[float]) -> str:
    """Print what a command took, with its limit if it has one; returns the line."""
    median, limit = statistics.median(values), LIMITS.get(name)
    verdict = "" if limit is None else f"   limit {limit:.1f} s  {'ok' if median <= limit else 'SLOW'}"
    line = f"{name:28s} median {median:6.2f} s   best {min(values):6.2f} s{verdict}"
    print(line)
    return line


if __name__ == "__main__":
    sys.exit(main())
