"""Time of parsing, verifying, printing and every default pass, an op, for modules of 1k and 10k ops.

usage: python benchmarks/compiler.py [SIZE ...]

Prints microseconds an op and the ratio from the smallest to the largest module: 1.0 is linear.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable

import numpy as np

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Graph, Tensor, si
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.text import parse_module, print_module

REPEATS = 3


def chain(size: int) -> builtin.Module:
    """A chain of convolution blocks of five ops each, `size` ops in all."""
    x = builtin.Input((8, 8, 4), si(8), name="input")
    graph = Graph([x])
    value = x.result
    rng = np.random.default_rng(0)
    for index in range(size // 5):
        weights = Tensor.of(rng.integers(-100, 100, (3, 3, 4, 4)), si(8), f"conv_{index}/kernel")
        bias = Tensor.of(rng.integers(-100, 100, 4), si(8), f"conv_{index}/bias")
        shift = Tensor.of(np.asarray(-16), si(8), f"conv_{index}/shift")
        scale = Tensor.of(np.asarray(200), si(9), f"conv_{index}/scale")
        conv = graph.append(qnn.Conv2D(value, weights, name=f"conv_{index}"))
        biased = graph.append(qnn.BiasAdd(conv.results[0], bias, Tensor.of(np.asarray(0), si(8), "s")))
        relu = graph.append(qnn.ReLU(biased.results[0]))
        scaled = graph.append(qnn.Scale(relu.results[0], scale))
        value = graph.append(qnn.Shift(scaled.results[0], shift, si(8), name=f"relu_{index}")).results[0]
    graph.append(builtin.Return((value,)))
    return builtin.Module("chain", graph)


def best(work: Callable[[], object]) -> float:
    """The shortest of a few runs, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def pass_times(size: int) -> dict[str, float]:
    """Seconds of each pass of the default pipeline, one after the other on one module."""
    module = chain(size)
    times: dict[str, float] = {}
    for index, item in enumerate(parse_pipeline("akida2-default").items):
        pipeline = Pipeline("builtin.module", (item,))
        start = time.perf_counter()
        PassManager(pipeline, []).run(module)
        name = getattr(item, "name", None) or str(item)
        times[f"{index} {name}"] = time.perf_counter() - start
    return times


def measure(size: int) -> dict[str, float]:
    """Microseconds an op of everything."""
    module = chain(size)
    text = print_module(module)
    parse_module(text[: text.index("\n")] + "\n}")  # build the parser's tables
    seconds = {
        "parse": best(lambda: parse_module(text)),
        "verify": best(lambda: verify(module)),
        "print": best(lambda: print_module(module)),
        **pass_times(size),
    }
    return {what: value / len(module.body) * 1e6 for what, value in seconds.items()}


def main(sizes: list[int]) -> None:
    """Measure and print the table."""
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    results = [measure(size) for size in sizes]
    print(f"{'us/op':32s}" + "".join(f"{size:>10d}" for size in sizes) + f"{'ratio':>8s}")
    for what in results[0]:
        values = [result[what] for result in results]
        print(f"{what:32s}" + "".join(f"{v:10.1f}" for v in values) + f"{values[-1] / values[0]:8.2f}")


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [1000, 10000])
