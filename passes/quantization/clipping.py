"""Which range of a tensor is worth keeping, by how often its numbers occur."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.passes.quantization.observed import Reals

BINS = 2048

FRACTIONS = np.linspace(0.02, 1.0, 99)
"""The ranges that are tried, as parts of the whole one."""


class Histogram(NamedTuple):
    """Counts of numbers in equal bins."""

    low: float
    high: float
    counts: npt.NDArray[np.int64]

    @classmethod
    def between(cls, low: float, high: float) -> Histogram:
        """An empty one."""
        return cls(low, high, np.zeros(BINS, np.int64))

    @property
    def centers(self) -> Reals:
        """The number that each bin stands for."""
        return self.low + (np.arange(BINS) + 0.5) * (self.high - self.low) / BINS

    def add(self, array: npt.NDArray[np.floating]) -> None:
        """Add numbers; all lie in the range."""
        width = max((self.high - self.low) / BINS, np.finfo(np.float64).tiny)
        bins = np.minimum((array.ravel() - self.low) / width, BINS - 1).astype(np.int64)
        self.counts[:] += np.bincount(bins, minlength=BINS)


def percentile(histogram: Histogram, percent: float) -> tuple[float, float]:
    """The range that leaves out `100 - percent` of the numbers, in percent, at either end."""
    below = np.cumsum(histogram.counts)
    edges = np.linspace(histogram.low, histogram.high, BINS + 1)
    outside = below[-1] * (1 - percent / 100)
    first = int(np.searchsorted(below, outside, side="right"))
    last = int(np.searchsorted(below, below[-1] - outside, side="left"))
    low, high = sorted((edges[min(first, BINS - 1)], edges[min(last + 1, BINS)]))
    return float(low), float(high)


def least_error(histogram: Histogram, bits: int) -> tuple[float, float]:
    """The range with the least squared error on the grid of so many bits that covers it.

    Unsigned integers hold what is never below 0, signed ones the rest; 0 is on the grid.
    """
    signed = histogram.low < 0
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    whole = max(histogram.high / high if high else 0.0, histogram.low / low if low else 0.0)
    if whole <= 0:
        return histogram.low, histogram.high
    centers = histogram.centers
    steps = (whole * FRACTIONS)[:, np.newaxis]
    grid = np.clip(np.rint(centers / steps), low, high) * steps
    errors = ((grid - centers) ** 2) @ histogram.counts.astype(np.float64)
    best = float(steps[int(errors.argmin()), 0])
    return max(histogram.low, low * best), min(histogram.high, high * best)
