"""Cold start: `cnn2snn convert` from process start to exit, beside `import tensorflow`, in one run.

usage: python benchmarks/startup.py [--tensorflow PYTHON] [--repeat N]

PYTHON is an interpreter that has TensorFlow (by default this one, if it has); without one only our own times are
printed.  Measurements take turns, so that a busy machine slows all of them alike; the first round fills the disk's
cache and, in an editable install, the bytecode that pip writes for everything else, and is not counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).resolve().parent.parent / "examples" / "mnist_v2_i8_w8_a8.h5"


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of a process in `folder`, away from the checkout: what is installed is timed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would have us, alone, compiled at every start
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
    return time.perf_counter() - start


def commands(tensorflow: str | None, folder: Path) -> dict[str, list[str]]:
    """What is timed."""
    scripts = Path(sys.executable).parent
    ours = [str(scripts / "cnn2snn")]
    found = {
        "cnn2snn convert": [*ours, "convert", "-m", str(MODEL), "-o", str(folder / "mnist.fbz")],
        "cnn2snn --help": [*ours, "--help"],
        "cnn2snn-opt --list-passes": [str(scripts / "cnn2snn-opt"), "--list-passes"],
        "import numpy, h5py": [sys.executable, "-c", "import numpy, h5py"],
    }
    if tensorflow:
        found["import tensorflow"] = [tensorflow, "-c", "import tensorflow"]
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = sys.executable if importlib.util.find_spec("tensorflow") else None
    parser.add_argument("--tensorflow", default=own, help="an interpreter that has TensorFlow")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        todo = commands(arguments.tensorflow and os.path.abspath(arguments.tensorflow), Path(folder))
        times: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(1 + arguments.repeat):
            for name, command in todo.items():
                times[name].append(seconds(command, Path(folder)))
    times = {name: values[1:] for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:28s} median {statistics.median(values):6.2f} s   best {min(values):6.2f} s")
    if "import tensorflow" in times:
        ours, theirs = times["cnn2snn convert"], times["import tensorflow"]
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"convert / import tensorflow  {ratio:.3f} at the medians, {min(ours) / min(theirs):.3f} of the best")


if __name__ == "__main__":
    main()
