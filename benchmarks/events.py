"""What counting events adds to a run, in one process: the ratio of a run that counts to one that does not.

    python -m benchmarks.events [--nets mnist_v2_i8_w8_a8 mobilenet] [--batch 256] [--threads 2] [--repeats 15]

Both are measured in turn, repeat by repeat, so that a busy machine slows both; `added` is the median of the
repeats' ratios, `fastest` the ratio of the fastest of each.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from benchmarks.engine import measure
from benchmarks.machine import processor
from benchmarks.nets import NETS
from cnn2snn_ir.api import compile_model
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.events import count_events

ROOT = Path(__file__).parent.parent
EXAMPLES = ("mnist_v2_i8_w8_a8", "mnist_v2_i8_w4_a4_qat", "mnist_v1_i8_w4_a4_qat", "mnist_legacy_iq8_wq4_aq4")
KWS = "kws_i8_w8_a8"


def compiled(path: Path) -> builtin.Module:
    return compile_model(path, target="v1" if "v1" in path.name or "legacy" in path.name else "v2")[0]


MODULES: dict[str, Callable[[], builtin.Module]] = {
    **{name: lambda name=name: compiled(ROOT / "examples" / f"{name}.h5") for name in EXAMPLES},
    KWS: lambda: compiled(ROOT / "tests" / "fixtures" / "quantizeml" / f"{KWS}.h5"),
    **NETS,
}


def samples(module: builtin.Module, batch: int) -> np.ndarray:
    """Digits if the network takes them, uniform integers otherwise."""
    (source,) = module.inputs
    if source.shape == (28, 28, 1):
        with np.load(ROOT / "examples" / "mnist_1000.npz") as archive:
            return np.resize(archive["x"], (batch, *source.shape)).astype(source.element.dtype)
    low, high = (0, 255) if source.element.is_float else (source.element.lo, source.element.hi)
    return np.random.default_rng(0).integers(low, high + 1, (batch, *source.shape)).astype(source.element.dtype)


def contenders(engine: Engine, x: np.ndarray) -> dict[str, Callable[[], object]]:
    outputs = engine.source.outputs
    return {
        "plain": lambda: engine.run_values(x, outputs),
        "counting": lambda: count_events(engine, x),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--backends", nargs="+", choices=["numba", "numpy"], default=["numba", "numpy"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {options.threads} threads; Python {platform.python_version()}")
    print(f"numpy {np.__version__}, numba {numba.__version__}; {options.batch} samples a run; medians")
    print("net                        backend  samples/s  counting  added  fastest   events a sample, of maps")
    for backend in options.backends:
        for name in options.nets:
            module = MODULES[name]()
            engine, x = Engine(module, backend, options.threads), samples(module, options.batch)
            times = measure(contenders(engine, x), options.repeats)
            plain, counting = (statistics.median(times[key]) for key in ("plain", "counting"))
            ratio = statistics.median(c / p for c, p in zip(times["counting"], times["plain"], strict=True))
            fastest = min(times["counting"]) / min(times["plain"])
            _, found = count_events(engine, x)
            events, maps = sum(of_map.mean for of_map in found.values()), len(found)
            print(
                f"{name:26} {backend:7} {options.batch / plain:10.0f} {options.batch / counting:9.0f} "
                f"{ratio - 1:6.1%} {fastest - 1:8.1%} {events:17.0f} {maps:8}",
                flush=True,
            )


if __name__ == "__main__":
    main()
