"""Images per second of converted programs against the quantized models that they come from, under `tf.function`.

    python -m benchmarks.quantizeml --python PYTHON [--models FILE.h5 ...] [--batches 1 32 256] [--threads 2]

PYTHON is an interpreter of an environment of its own that has `quantizeml`.  Both sides are measured in turn.  Exits
with 1 if any ratio is below 3.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks.engine import measure
from benchmarks.machine import processor
from cnn2snn_ir.api import compile_model
from cnn2snn_ir.runtime.model import Model

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "tests" / "fixtures" / "quantizeml"
MODELS = [
    ROOT / "examples" / "mnist_v2_i8_w8_a8.h5",
    *(RECORDED / f"{name}_i8_w8_a8.h5" for name in ("kws", "mobile", "vgg", "resnet18", "unet")),
]

LIMIT = 3.0
"""How many times faster than QuantizeML's model a program must be."""


class Keras:
    """Models that another interpreter runs."""

    def __init__(self, python: str, threads: int) -> None:
        command = [python, "-I", str(Path(__file__).with_name("quantizeml_model.py")), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, **order: Any) -> dict[str, Any]:
        """The answer to an order."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("the interpreter with quantizeml has failed")
        return dict(json.loads(answer))

    def load(self, model: Path, samples: Path) -> dict[str, str]:
        """Load a model and what it is to run on; the versions."""
        return self._ask(model=str(model), samples=str(samples))

    def run(self) -> None:
        """One call; to ask for it takes some 0.05 ms, the call 1 ms or more."""
        self._ask()


def main() -> int:
    """Print the table; 1 if anything is below the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has quantizeml")
    parser.add_argument("--models", nargs="+", type=Path, default=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {options.threads} threads each; Python {platform.python_version()}")
    keras, found, told = Keras(options.python, options.threads), [], False
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.npy"
        for path in options.models:
            module, _ = compile_model(path, allow_float_tail=True)
            model = Model(module, threads=options.threads)
            for batch in options.batches:
                images = np.random.default_rng(0).integers(0, 256, (batch, *model.input_shape)).astype(np.uint8)
                np.save(samples, images)
                versions = keras.load(path.resolve(), samples)
                if not told:
                    told = True
                    print(f"numpy {np.__version__}, numba {numba.__version__}, against {versions}")
                    print("images/s at the median\nmodel                       batch   quantizeml         ours   ratio")
                times = measure({"ours": partial(model.predict, images), "theirs": keras.run}, options.repeats)
                middle = {name: statistics.median(seconds) for name, seconds in times.items()}
                found.append(middle["theirs"] / middle["ours"])
                speeds = "".join(f"{batch / middle[name]:13.0f}" for name in ("theirs", "ours"))
                print(f"{path.stem:26} {batch:6}{speeds}{found[-1]:8.1f}", flush=True)
    print(f"geometric mean {statistics.geometric_mean(found):.1f}, least {min(found):.1f}")
    return 1 if min(found) < LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
