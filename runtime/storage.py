"""How values lie in memory: NHWC, with the border that the layers reading them need.

A border is written beforehand: a convolution reads its padding like any other pixel, and no layer ever copies its
input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Offsets = npt.NDArray[np.int64]
Border = tuple[tuple[int, int], tuple[int, int]]
"""Rows added above and below, columns added left and right."""

NO_BORDER: Border = ((0, 0), (0, 0))

ALIGNMENT = 64
"""Bytes of a cache line, and of the widest vector register."""

SLACK = 128
"""Elements that a kernel may read past the end: it multiplies them by zero weights."""


def widest(a: Border, b: Border) -> Border:
    """The border that serves readers of both."""
    ((at, ab), (al, ar)), ((bt, bb), (bl, br)) = a, b
    return (max(at, bt), max(ab, bb)), (max(al, bl), max(ar, br))


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of one value: `shape` of a sample, element type, border (feature maps only) and what it holds."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    border: Border = NO_BORDER
    fill: Array = field(default_factory=lambda: np.zeros((), np.int64))

    @property
    def channels(self) -> int:
        """Size of the last dimension."""
        return self.shape[-1] if self.shape else 1

    @property
    def padded(self) -> tuple[int, ...]:
        """Shape of a sample with its border."""
        if self.border == NO_BORDER:
            return self.shape
        rows, columns, channels = self.shape
        (top, bottom), (left, right) = self.border
        return rows + top + bottom, columns + left + right, channels

    @property
    def sample_size(self) -> int:
        """Elements from one sample to the next."""
        return math.prod(self.padded)

    @property
    def sample_bytes(self) -> int:
        """Bytes from one sample to the next."""
        return self.sample_size * self.dtype.itemsize

    def pixels(self) -> Offsets:
        """Element offsets, within a sample, of the channel vectors in row-major order."""
        index = np.arange(0, self.sample_size, self.channels).reshape(self.padded[:-1] or (1,))
        return np.ascontiguousarray(self.inside(index[None])).reshape(-1)

    def inside(self, padded: Array) -> Array:
        """The view without the border of an array [batch, *padded]."""
        if self.border == NO_BORDER:
            return padded
        (top, _), (left, _) = self.border
        return padded[:, top : top + self.shape[0], left : left + self.shape[1]]

    def around(self) -> Offsets:
        """Element offsets, within a sample, of the channel vectors of the border."""
        outside = np.ones((1, *self.padded[:-1]), bool)
        self.inside(outside)[...] = False
        return np.flatnonzero(outside) * self.channels

    def allocate(self, samples: int) -> Buffer:
        """Aligned memory for `samples` samples, border filled."""
        return self.on(memory_for(self.bytes_for(samples)), samples)

    def bytes_for(self, samples: int) -> int:
        """Bytes of so many samples, and of what may be read past them."""
        return (samples * self.sample_size + SLACK) * self.dtype.itemsize

    def on(self, memory: Array, samples: int) -> Buffer:
        """A buffer in aligned bytes of zeros, border filled."""
        flat = memory[: self.bytes_for(samples)].view(self.dtype)
        padded = flat[: samples * self.sample_size].reshape(samples, *self.padded)
        if self.border != NO_BORDER:
            padded[...] = self.fill
        return Buffer(self, flat, padded, self.inside(padded))


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of one value: `flat` with slack at its end, `padded` with the border, `inside` without."""

    layout: Layout
    flat: Array
    padded: Array
    inside: Array


def memory_for(size: int) -> Array:
    """Aligned bytes, all 0."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]
