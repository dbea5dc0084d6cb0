"""The same as `benchmarks.engine` for single layers, each with its copies of inputs, results and FIFOs.

python -m benchmarks.kernels [--nets transposed over_time] [--batches 1 256] [--threads 2] [--repeats 15]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.engine import main
from benchmarks.nets import Net
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import si

LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Net], Net]]] = {
    "transposed": ((16, 16, 32), lambda net: net.transposed(32)),
    "depthwise_transposed": ((16, 16, 64), lambda net: net.depthwise_transposed()),
    "relu": ((16, 16, 32), lambda net: net.conv(32, 3)),
    "swish": ((16, 16, 32), lambda net: net.swish(32, 3)),
    "over_time": ((8, 8, 64), lambda net: net.over_time(64, 5)),
    "recurrence": ((1, 16, 64), lambda net: net.recurrence(64, 64)),
    "depthwise_over_time": ((8, 8, 64), lambda net: net.depthwise_over_time(5)),
}
"""The map that a layer reads, and the layer; a convolution with ReLU beside the one with a table."""


def module(name: str) -> builtin.Module:
    """One layer as a module."""
    shape, layer = LAYERS[name]
    return layer(Net(name, shape, si(8))).module()


if __name__ == "__main__":
    sys.exit(main({name: lambda name=name: module(name) for name in LAYERS}, __doc__, {}))
