"""What random weights make of an assumed input: mean and variance of potentials and levels, without running anything.

Elements of a map are taken as independent, with a mean and a variance a channel, and sums of them as normal.  From
that follow thresholds that let a given part of the neurons fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects.geometry import Padding, borders, window_count

Floats = npt.NDArray[np.float64]
NORMAL = NormalDist()

SPREAD = 3.0
"""From the first level to the last, in standard deviations of the potential."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance of each channel."""

    mean: Floats
    variance: Floats

    @classmethod
    def alike(cls, channels: int, mean: float, variance: float) -> Moments:
        """All channels alike."""
        return cls(np.full(channels, mean), np.full(channels, variance))

    @property
    def root_mean_square(self) -> Floats:
        """Of each channel."""
        found: Floats = np.sqrt(self.mean**2 + self.variance)
        return found

    def __mul__(self, factor: Floats | float) -> Moments:
        return Moments(self.mean * factor, self.variance * np.square(factor))


def byte_image(channels: int) -> Moments:
    """Independent bytes, all values equally likely."""
    return Moments.alike(channels, 255 / 2, (256**2 - 1) / 12)


def coverage(size: int, kernel: int, stride: int, padding: Padding) -> Floats:
    """For each tap of a kernel along one axis: at which part of its positions it lies on the map."""
    at = np.arange(window_count(size, kernel, stride, padding))[:, None] * stride + np.arange(kernel)
    at -= borders(size, kernel, stride, padding)[0]
    inside: Floats = ((at >= 0) & (at < size)).mean(axis=0)
    return inside


@dataclass(frozen=True)
class Taps:
    """Where the window of a layer reads; `positions` is more than 1 for a layer that sums its map up."""

    covered: Floats
    """Part of the positions at which each tap lies on the map [height, width]."""
    positions: int = 1

    @classmethod
    def of(cls, size: Sequence[int], kernel: int, stride: int, padding: Padding, summed: bool = False) -> Taps:
        """The window of a layer on a map of `size`, height and width."""
        rows, columns = (coverage(n, kernel, stride, padding) for n in size)
        positions = int(np.prod([window_count(n, kernel, stride, padding) for n in size])) if summed else 1
        return cls(np.outer(rows, columns), positions)

    def gains(self, weights: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
        """By how much the window multiplies means and variances: the kernel without its two first axes.

        A sum over the map reads each element once with every tap, so its weights add up before they are squared.
        """
        kernel = weights.astype(np.float64)
        mean = np.tensordot(self.covered, kernel, 2)
        square = mean**2 if self.positions > 1 else np.tensordot(self.covered, kernel**2, 2)
        return self.positions * mean, self.positions * square


def through_depthwise(x: Moments, weights: npt.NDArray[np.generic], taps: Taps) -> Moments:
    """Behind a kernel a channel [height, width, channels]."""
    mean, square = taps.gains(weights)
    return Moments(x.mean * mean, x.variance * square)


def through_conv(x: Moments, weights: npt.NDArray[np.generic], taps: Taps) -> Moments:
    """Behind a full kernel [height, width, in, out]."""
    mean, square = taps.gains(weights)
    return Moments(x.mean @ mean, x.variance @ square)


def through_dense(x: Moments, weights: npt.NDArray[np.generic], positions: int = 1) -> Moments:
    """Behind a matrix [positions · in, out], channels fastest."""
    kernel = weights.astype(np.float64)
    return Moments(np.tile(x.mean, positions) @ kernel, np.tile(x.variance, positions) @ kernel**2)


@dataclass(frozen=True)
class Firing:
    """Levels 1 to `count` at equal steps, in standard deviations of a normal potential from its mean."""

    threshold: float
    """Where the first level is reached."""
    step: float
    mean: float
    """Of the levels."""
    variance: float

    @classmethod
    def of(cls, density: float, count: int, pooled: int = 1) -> Firing:
        """The levels of which a part `density` is not 0, where the largest of `pooled` potentials counts."""
        return cls.at(NORMAL.inv_cdf((1 - density) ** (1 / pooled)), count, pooled)

    @classmethod
    def at(cls, threshold: float, count: int, pooled: int = 1) -> Firing:
        """The levels from a threshold on."""
        step = SPREAD / count
        reached = [1 - NORMAL.cdf(threshold + k * step) ** pooled for k in range(count)]
        mean = sum(reached)
        square = sum((2 * k + 1) * part for k, part in enumerate(reached))
        return cls(threshold, step, mean, square - mean**2)
