"""Memory of a run, beside what it cannot do without: the weights, and the two largest maps of a batch.

    python -m benchmarks.memory [--nets ds_cnn mnist] [--batches 1 32 256]

The peak is what NumPy and Python allocate from the compiled module on: the engine with its packed weights, its
working memory, the results.  The module and the batch of inputs are the caller's.  Exits with 1 if a run needs more
than 1.25 times what it cannot do without and the fixed part of an engine, or a batch of 256 more than 1.25 times.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import tracemalloc

import numpy as np

from benchmarks.nets import NETS
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.runtime.engine import Engine, two_largest

LIMIT = 1.25
"""Of the weights and the two largest maps."""

LARGE = 256
"""The smallest batch that is held to it alone."""

FIXED = 3 << 18
"""Bytes of what does not grow with the batch: Python's objects, offsets, constants in whole vectors, and eight samples
in flight on either thread."""


def needed(module: builtin.Module, batch: int) -> tuple[int, int]:
    """Bytes of all constants, and of the two largest values of a batch and what it remembers, before and after."""
    constants = [a for op in module.body.walk() for a in op.attributes.values() if isinstance(a, Tensor)]
    states = sum(math.prod(op.shape) * op.element.dtype.itemsize for op in module.states)
    return sum(tensor.array.nbytes for tensor in constants), batch * (two_largest(module) + 2 * states)


def peak(module: builtin.Module, batch: int, threads: int) -> tuple[int, int]:
    """Bytes of the engine, and the most at any time of two runs."""
    (source,) = module.inputs
    low, high = (0, 255) if source.element.is_float else (source.element.lo, source.element.hi)
    images = np.random.default_rng(0).integers(low, high + 1, (batch, *source.shape)).astype(source.element.dtype)
    Engine(module, "numba", threads).run(images)  # whatever is made once for the whole process
    gc.collect()
    tracemalloc.start()
    engine = Engine(module, "numba", threads)
    gc.collect()
    (held, _) = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(2):
        engine.run(images)
    (_, most) = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, most


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"KiB, {options.threads} threads\nnet              batch   weights   two maps    engine      peak   ratio")
    kept = True
    for net in options.nets:
        module = NETS[net]()
        for batch in options.batches:
            weights, maps = needed(module, batch)
            held, most = peak(module, batch, options.threads)
            ratio = most / (weights + maps)
            kept &= most <= LIMIT * (weights + maps) + (0 if batch >= LARGE else FIXED)
            kib = "".join(f"{value / 1024:10.1f}" for value in (weights, maps, held, most))
            print(f"{net:16} {batch:5}{kib}{ratio:8.2f}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
