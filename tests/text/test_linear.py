"""Parsing, verifying and printing take time in proportion to the size of the module."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))


@pytest.mark.slow
def test_ten_times_the_ops_take_ten_times_the_time():
    from compiler import best, chain

    from cnn2snn_ir.ir.verify import verify
    from cnn2snn_ir.text import parse_module, print_module

    def per_op(size):
        module = chain(size)
        text = print_module(module)
        times = (best(lambda: parse_module(text)), best(lambda: verify(module)), best(lambda: print_module(module)))
        return [t / size for t in times]

    small, large = per_op(1000), per_op(10000)
    assert all(b / a < 2.0 for a, b in zip(small, large, strict=True)), (small, large)
    assert large[0] < 800e-6  # twice what an idle machine needs to stay under 400 µs
