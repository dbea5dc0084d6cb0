"""Images per second of the exact engine against onnxruntime's float32 on the same architecture, in one run.

    python -m benchmarks.engine [--nets ds_cnn mnist] [--batches 1 256] [--threads 2] [--repeats 15]

Both sides are measured in turn, repeat by repeat, so that a busy machine slows both.  Exits with 1 if a ratio is
below what is promised.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numba
import numpy as np
import onnxruntime

from benchmarks.float_onnx import float_model, memories
from benchmarks.machine import load, processor
from benchmarks.nets import NETS
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.runtime.engine import Engine

Run = Callable[[], object]
Limits = Mapping[int, tuple[float, float]]


def contenders(module: builtin.Module, batch: int, threads: int) -> dict[str, Run]:
    """One call of each side on one batch of random images; the same values for both, each in its own layout."""
    (source,) = module.inputs
    low, high = (0, 255) if source.element.is_float else (source.element.lo, source.element.hi)
    images = np.random.default_rng(0).integers(low, high + 1, (batch, *source.shape)).astype(source.element.dtype)
    engines = {name: Engine(module, name, threads) for name in ("numba", "numpy")}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        float_model(module).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    runs: dict[str, Run] = {name: stream(engine, images) for name, engine in engines.items()}
    feeds = {name: np.zeros((batch, *shape), np.float32) for name, shape in memories(module).items()}
    floats = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32))

    def run_floats() -> None:
        _, *stored = session.run(None, {"input": floats, **feeds})
        feeds.update(zip(feeds, stored, strict=True))

    return {**runs, "onnxruntime": run_floats}


def stream(engine: Engine, images: np.ndarray) -> Run:
    """One call, which goes on where the last one ended if the network remembers anything."""
    memory: dict[str, np.ndarray] = {}
    return lambda: engine.run_values(images, engine.module.outputs, memory=memory)


PAUSE = 0.3
"""Seconds between two measurements: the thread pools of onnxruntime and OpenBLAS spin for a while after a call.

After 0.03 s they still take a core of whoever runs next: at batch 32 its calls last a fifth longer.
"""


def measure(runs: dict[str, Run], repeats: int, seconds: float = 0.02) -> dict[str, list[float]]:
    """Seconds of one call of each, measured in turn; short calls are repeated until `seconds` have passed."""
    loops = {}
    for name, run in runs.items():
        run()
        start = time.perf_counter()
        run()
        loops[name] = max(1, int(seconds / (time.perf_counter() - start)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(PAUSE)
            run()
            start = time.perf_counter()
            for _ in range(loops[name]):
                run()
            samples[name].append((time.perf_counter() - start) / loops[name])
    return samples


def main(nets: Mapping[str, Callable[[], builtin.Module]], description: str | None, limits: Limits) -> int:
    """Print the table, the geometric means, and what is below the limits; 1 if anything is."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=nets, default=list(nets))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {options.threads} threads each; Python {platform.python_version()}")
    print(
        f"numpy {np.__version__}, numba {numba.__version__}, onnxruntime {onnxruntime.__version__} (float32); {load()}"
    )
    print("images/s at the median; ratios to onnxruntime at the median, and of the fastest repeats")
    print("net                  batch  onnxruntime      numba   ratio  fastest      numpy   ratio")
    ratios: dict[int, dict[str, float]] = {batch: {} for batch in options.batches}
    for net in options.nets:
        for batch in options.batches:
            runs = contenders(nets[net](), batch, options.threads)
            plain = {"numpy": runs.pop("numpy")}  # alone and last: OpenBLAS leaves threads behind that keep a core busy
            samples = measure(runs, options.repeats) | measure(plain, options.repeats // 3 + 1)
            ratios[batch][net] = line(net, batch, samples)
    below = []
    for batch, found in ratios.items():
        mean = statistics.geometric_mean(found.values())
        print(f"batch {batch:4}: geometric mean {mean:.2f}, least {min(found.values()):.2f}")
        least_mean, least = limits.get(batch, (0.0, 0.0))
        below += [f"batch {batch}: the geometric mean is below {least_mean}"] if mean < least_mean else []
        below += [f"batch {batch}: {net} is below {least}" for net, ratio in found.items() if ratio < least]
    print("\n".join(below) or "nothing is below its limit")
    return 1 if below else 0


def line(net: str, batch: int, samples: Mapping[str, Sequence[float]]) -> float:
    """Print the line of a network; how many times faster than onnxruntime it is at the median."""
    middle = {name: statistics.median(times) for name, times in samples.items()}
    ratio = {name: middle["onnxruntime"] / seconds for name, seconds in middle.items()}
    fastest = min(samples["onnxruntime"]) / min(samples["numba"])
    speed = {name: batch / seconds for name, seconds in middle.items()}
    print(
        f"{net:20} {batch:5} {speed['onnxruntime']:12.0f} {speed['numba']:10.0f} {ratio['numba']:7.2f} "
        f"{fastest:8.2f} {speed['numpy']:10.0f} {ratio['numpy']:7.2f}",
        flush=True,
    )
    return ratio["numba"]


LIMITS: Limits = {1: (0.7, 0.7), 32: (1.5, 1.0), 256: (1.5, 1.0)}
"""At each batch size, the least geometric mean and the least of any network that are good enough."""

if __name__ == "__main__":
    sys.exit(main(NETS, __doc__, LIMITS))
