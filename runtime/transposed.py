"""A transposed convolution of stride s as s · s ordinary ones of stride 1, each for its own part of the result.

Along one axis, a transposed convolution adds `x[n] · w[i]` to result number `n · s + i - crop`.  All results that
leave the same remainder modulo s meet the same taps of the kernel, `w[r], w[r + s], …`, in reversed order: they are
one *phase*, an ordinary convolution with that part of the kernel.  Nothing is multiplied with an inserted zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cnn2snn_ir.dialects.geometry import Padding, transposed_count


@dataclass(frozen=True)
class Phase:
    """Along one axis, the results number `first`, `first + stride`, …"""

    first: int
    count: int
    taps: slice
    """The taps of the kernel that these results meet, last one first."""
    border: tuple[int, int]
    """Positions by which the windows reach beyond the input, before and after."""


def phases(size: int, kernel: int, stride: int, padding: Padding) -> Iterator[Phase]:
    """The phases along an axis of `size` inputs; the kernel is at least as long as the stride."""
    results = transposed_count(size, kernel, stride, padding)
    crop = 0 if padding is Padding.VALID else (kernel - stride + (padding is Padding.SAME_UPPER)) // 2
    for first in range(stride):
        newest, remainder = divmod(first + crop, stride)  # input that the first result meets with its first tap
        taps = len(range(remainder, kernel, stride))
        count = len(range(first, results, stride))
        before = taps - 1 - newest
        yield Phase(first, count, slice(remainder, None, stride), (before, newest + count - size))
