"""What simulating costs: time of a run with its events, its timing and its energy, in relation to the run alone.

    python -m benchmarks.simulation [--frames 256]

Both are measured in turns; the ratio is that of the fastest quarters, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np

from benchmarks.zoo import build
from cnn2snn_ir import AkidaVersion, convert, set_akida_version
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.runtime.engine import available_cores
from cnn2snn_ir.runtime.model import Model

EXAMPLES = {
    "examples/mnist_v1_i8_w4_a4_qat.h5": ("v1", "AKD1500"),
    "examples/mnist_v2_i8_w8_a8.h5": ("v2", "Akida2FPGA"),
}
NETWORKS = ("kws_33", "arrhythmia", "vww", "akidanet_0.25_160")
REPEATS = 15


def quarter(times: list[float]) -> float:
    return sorted(times)[len(times) // 4]


def timed(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def measure(module: Module, device: str, frames: int) -> tuple[float, float]:
    """Seconds of a run, and of a run with its simulation."""
    generator = np.random.default_rng(0)
    shape = module.inputs[0].shape
    images = generator.integers(0, 256, (frames, *shape)).astype(np.uint8)
    plain, mapped = Model(module), Model(module)
    mapped.map(device)
    tasks = (lambda: plain.predict(images), lambda: mapped.simulate(images))
    for task in tasks:
        task()  # compiles
    times = [[timed(task) for task in tasks] for _ in range(REPEATS)]
    alone, both = (quarter([row[i] for row in times]) for i in range(2))
    return alone, both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=256)
    frames = parser.parse_args().frames
    print(f"{platform.processor() or platform.machine()}, {available_cores()} threads, {frames} frames")
    for path, (version, device) in EXAMPLES.items():
        with set_akida_version(AkidaVersion(version)):
            show(path, convert(path).module, device, frames)
    for name in NETWORKS:
        show(name, build(name), "AKD1500", frames)


def show(name: str, module: Module, device: str, frames: int) -> None:
    alone, both = measure(module, device, frames)
    print(f"{name:36} run {1e3 * alone:8.1f} ms   simulation adds {100 * (both / alone - 1):5.1f} %")


if __name__ == "__main__":
    main()
