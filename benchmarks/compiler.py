"""Time and memory of parsing, verifying, printing and every default pass, an op, for modules of growing size.

    python -m benchmarks.compiler [SIZE ...] [--limit 60]

Two networks: a chain of plain blocks, which every pass finds as it should be, and a braid of everything that is to be
made legal: oblong and dilated kernels, lone poolings, depthwise filters apart, additions, concatenations, values that
many read.  Prints microseconds for each op of the module as it was given, the most memory of each pass for each op,
and the ratios from the smallest to the largest module: 1.0 is linear.  Exits with 1 if a pass takes more than the
limit for modules of at least 10k ops, or if anything takes twice as long an op as for the smallest.
"""

from __future__ import annotations

import argparse
import gc
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.machine import processor
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Graph, Op, Tensor, Value, si
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.text import parse_module, print_module

REPEATS = 3

ENOUGH = 5.0
"""Seconds after which nothing is repeated."""

Build = Callable[[int], builtin.Module]


class Growing:
    """A network of 8x8 maps of 4 channels, which grows op by op."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        source = builtin.Input((8, 8, 4), si(8), name="input")
        self.graph = Graph([source])
        self.x = source.result

    def add(self, op: Op) -> Value:
        """Append an op; its result."""
        return self.graph.append(op).results[0]

    def weights(self, *shape: int) -> Tensor:
        """Random weights of a layer."""
        return Tensor.of(self.rng.integers(-100, 100, shape), si(8), f"layer_{len(self.graph)}/kernel")

    def layer(self, main: Op, pool: bool = False) -> Value:
        """The layer of `main`, five ops, or six with a pooling."""
        name = f"layer_{len(self.graph)}"
        bias = Tensor.of(self.rng.integers(-100, 100, main.results[0].type.channels), si(8), f"{name}/bias")
        y = self.add(qnn.BiasAdd(self.add(main), bias, Tensor.of(0, si(8), "s")))
        if pool:
            y = self.add(qnn.MaxPool(y, (3, 3), (1, 1), Padding.SAME))
        y = self.add(qnn.Scale(self.add(qnn.ReLU(y)), Tensor.of(200, si(9), f"{name}/scale")))
        return self.add(qnn.Shift(y, Tensor.of(-16, si(8), f"{name}/shift"), si(8), name=name))

    def conv(self, x: Value, kernel: tuple[int, int] = (3, 3), filters: int = 4, **more: Any) -> Value:
        """The layer of a convolution."""
        pool = more.pop("pool", False)
        return self.layer(qnn.Conv2D(x, self.weights(*kernel, x.type.channels, filters), **more), pool)

    def finish(self, name: str) -> builtin.Module:
        """The module."""
        self.graph.append(builtin.Return((self.x,)))
        return builtin.Module(name, self.graph)


def chain(size: int) -> builtin.Module:
    """A chain of convolution blocks of five ops each, `size` ops in all."""
    net = Growing()
    while len(net.graph) < size:
        net.x = net.conv(net.x)
    return net.finish("chain")


def braid(size: int) -> builtin.Module:
    """Blocks of about 60 ops that most legalizations find something in, `size` ops in all; the next reads the last."""
    net = Growing()
    while len(net.graph) < size:
        start = net.x
        oblong = net.conv(start, (3, 5))
        dilated = net.conv(start, dilation=(2, 2))
        apart = net.layer(qnn.DepthwiseConv2D(oblong, net.weights(3, 3, 4)))
        pooled = net.conv(apart, (3, 3), pool=True)
        halves = [net.conv(dilated, (1, 1), filters=2) for _ in range(2)]
        joined = net.add(qnn.Concat(tuple(halves), 3))
        lone = net.add(qnn.MaxPool(joined, (2, 2), (1, 1), Padding.SAME))
        total = net.add(qnn.Add(pooled, net.conv(lone)))
        net.x = net.add(qnn.Shift(total, Tensor.of(-1, si(8), "half"), si(8), name=f"sum_{len(net.graph)}"))
        net.x = net.conv(net.x)
    return net.finish("braid")


def best(work: Callable[[], object]) -> float:
    """The shortest of a few runs, in seconds."""
    times = []
    while len(times) < REPEATS and sum(times) < ENOUGH:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


Figures = dict[str, tuple[float, float]]
"""Seconds and, where it was measured, the most bytes on the way, by what was done."""


def pass_figures(build: Build, size: int) -> Figures:
    """Each pass of the default pipeline, one after the other; once for the time, once for the memory, which is slow."""
    items = parse_pipeline("akida2-default").items
    seconds, memory = [], []
    for traced in (False, True):
        module = build(size)
        for item in items:
            manager = PassManager(Pipeline("builtin.module", (item,)), [])
            if traced:
                memory.append(most_memory(partial(manager.run, module)))
                continue
            gc.collect()
            start = time.perf_counter()
            manager.run(module)
            seconds.append(time.perf_counter() - start)
    names = [f"{index} {getattr(item, 'name', None) or item}" for index, item in enumerate(items)]
    return dict(zip(names, zip(seconds, memory, strict=True), strict=True))


def most_memory(work: Callable[[], object]) -> float:
    """Bytes that Python and NumPy hold at most while `work` runs, above what they held before."""
    tracemalloc.start()
    try:
        work()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def figures(build: Build, size: int) -> Figures:
    """Microseconds and bytes an op of everything."""
    module = build(size)
    text = print_module(module)
    parse_module(text[: text.index("\n")] + "\n}")  # build the parser's tables
    reading = {
        "parse": lambda: parse_module(text),
        "verify": lambda: verify(module),
        "print": lambda: print_module(module),
    }
    found: Figures = {what: (best(work), most_memory(work)) for what, work in reading.items()}
    found |= pass_figures(build, size)
    ops = len(module.body)
    return {what: (seconds / ops * 1e6, memory / ops) for what, (seconds, memory) in found.items()}


def measure(build: Build, sizes: list[int], limit: float) -> list[str]:
    """Print the table of one network; what is above the limits."""
    print(f"\n{build.__name__:26s}" + "".join(f"{size:>9d}" for size in sizes) + "   ratio" + "    bytes/op   ratio")
    results = [figures(build, size) for size in sizes]
    above = []
    for what in results[0]:
        times, memory = zip(*(result[what] for result in results), strict=True)
        row = f"{what:26s}" + "".join(f"{value:9.1f}" for value in times) + f"{times[-1] / times[0]:8.2f}"
        print(row + f"{memory[-1]:12.0f}{memory[-1] / max(memory[0], 1):8.2f}")
        large = max((t for t, size in zip(times, sizes, strict=True) if size >= 10_000), default=0)
        if large > limit and what[0].isdigit():
            above.append(f"{build.__name__}: {what} takes {large:.0f} us an op")
        if times[-1] > 2 * times[0] and times[-1] > limit / 4:  # below that it is the caches of the processor
            above.append(f"{build.__name__}: {what} is not linear: {times[-1] / times[0]:.1f}")
    return above


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[1000, 10_000])
    parser.add_argument("--limit", type=float, default=60.0, help="microseconds an op that a pass may take")
    options = parser.parse_args()
    print(f"{processor()}, Python {platform.python_version()}, NumPy {np.__version__}; microseconds an op")
    above = [line for build in (chain, braid) for line in measure(build, options.sizes, options.limit)]
    print("\n".join(above) or "all below the limits")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
