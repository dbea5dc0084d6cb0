"""Exact interval arithmetic on integers, one interval for all channels or one for each.

Bounds are Python integers in object arrays, so no bound can overflow, whatever the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.ir import ElementType, Tensor

Integers = npt.NDArray[Any]
"""Python integers in an object array of shape () or (channels,)."""


def integers(array: npt.ArrayLike) -> Integers:
    """Any integer array as Python integers."""
    if type(array) is np.ndarray and array.dtype == object:  # nearly always, and asked for every bound
        return array
    return np.asarray(array).astype(object, copy=False)


def constant_integers(tensor: Tensor | None, default: int = 0) -> Integers:
    """A constant of an op as Python integers; `default` if there is none."""
    return integers(default if tensor is None else tensor.array)


def lesser(a: npt.ArrayLike, b: npt.ArrayLike) -> Integers:
    """The smaller of two bounds, channel by channel."""
    return integers(np.minimum(integers(a), integers(b)))


def greater(a: npt.ArrayLike, b: npt.ArrayLike) -> Integers:
    """The larger of two bounds, channel by channel."""
    return integers(np.maximum(integers(a), integers(b)))


def shift_round(x: Integers, shift: Integers) -> Integers:
    """`floor(x · 2^shift + 1/2)` of any size: rounded half up where the shift is to the right."""
    left, right = greater(shift, 0), greater(-shift, 0)
    scaled: Integers = (integers(x * 2 * 2**left) + integers(2**right)) // integers(2 ** (right + 1))
    return scaled


@dataclass(frozen=True, eq=False)
class Range:
    """All integers from `lo` to `hi`, both included; shape () for all channels alike, or (channels,)."""

    lo: Integers
    hi: Integers

    @classmethod
    def of(cls, lo: npt.ArrayLike, hi: npt.ArrayLike) -> Range:
        """Build from any integers."""
        return cls(integers(lo), integers(hi))

    @classmethod
    @cache
    def full(cls, element: ElementType) -> Range:
        """Every value of an integer type."""
        return cls.of(element.lo, element.hi)

    @property
    def least(self) -> int:
        """The smallest value of any channel."""
        return int(np.min(self.lo))

    @property
    def greatest(self) -> int:
        """The largest value of any channel."""
        return int(np.max(self.hi))

    @property
    def magnitude(self) -> int:
        """The largest absolute value of any channel."""
        return max(abs(self.least), abs(self.greatest))

    @property
    def bits(self) -> int:
        """Bits of the narrowest signed type that holds every value, sign included."""
        return max(self.greatest.bit_length(), (-self.least - 1).bit_length() if self.least < 0 else 0) + 1

    def within(self, element: ElementType) -> bool:
        """True if every value is one of `element`: saturation to it can do nothing."""
        return element.lo <= self.least and self.greatest <= element.hi

    def contains(self, array: npt.NDArray[Any]) -> bool:
        """True if every element of an integer array, channels last, lies inside."""
        return bool(((array >= self.lo) & (array <= self.hi)).all())

    # ---- arithmetic; every method is the image of the interval under a monotone function --------------------

    def clamp(self, lo: npt.ArrayLike, hi: npt.ArrayLike) -> Range:
        """After `min(max(x, lo), hi)`."""
        return self.above(lo).below(hi)

    def below(self, bound: npt.ArrayLike) -> Range:
        """After `min(x, bound)`."""
        return Range(lesser(self.lo, bound), lesser(self.hi, bound))

    def above(self, bound: npt.ArrayLike) -> Range:
        """After `max(x, bound)`."""
        return Range(greater(self.lo, bound), greater(self.hi, bound))

    def saturate(self, element: ElementType) -> Range:
        """After saturation to `element`."""
        return self.clamp(element.lo, element.hi)

    def plus(self, other: Range) -> Range:
        """After adding a value of `other`."""
        return Range.of(self.lo + other.lo, self.hi + other.hi)

    def offset(self, constants: Integers) -> Range:
        """After adding a constant per channel."""
        return Range.of(self.lo + constants, self.hi + constants)

    def times(self, factors: Integers) -> Range:
        """After multiplication by a constant per channel, of either sign."""
        a, b = self.lo * factors, self.hi * factors
        return Range(lesser(a, b), greater(a, b))

    def shift_left(self, shift: Integers) -> Range:
        """After `x << shift`."""
        return self.times(integers(2 ** np.asarray(shift)))

    def shift_round(self, shift: Integers) -> Range:
        """After a rounding shift, negative to the right."""
        return Range.of(shift_round(self.lo, shift), shift_round(self.hi, shift))

    def union(self, other: Range) -> Range:
        """The smallest interval that holds both."""
        return Range(lesser(self.lo, other.lo), greater(self.hi, other.hi))

    # ---- channels --------------------------------------------------------------------------------------------

    def spread(self, channels: int) -> Range:
        """One interval for each of `channels` channels."""
        shape = (channels,)
        return Range.of(np.broadcast_to(self.lo, shape), np.broadcast_to(self.hi, shape))

    def merged(self) -> Range:
        """One interval for all channels."""
        return Range.of(self.least, self.greatest)

    def tiled(self, old: int, new: int) -> Range:
        """Of a tensor with `old` channels, after a row-major reshape to `new` channels."""
        if self.lo.ndim == 0 or old == new:
            return self
        if new % old:
            return self.merged()
        return Range.of(np.tile(self.lo, new // old), np.tile(self.hi, new // old))

    def __repr__(self) -> str:
        return f"Range({self.least}..{self.greatest}, {self.bits} bits)"


def joined(parts: Sequence[tuple[Range, int]]) -> Range:
    """Concatenation of (range, channels) along the channels."""
    spread = [r.spread(channels) for r, channels in parts]
    return Range.of(np.concatenate([r.lo for r in spread]), np.concatenate([r.hi for r in spread]))


def dot(x: Range, weights: npt.NDArray[Any]) -> Range:
    """Sums of products: `weights` is [taps, in, out], `x` has one interval for all `in` or one for each."""
    positive, negative = _split(weights, x.magnitude)
    inputs = x.spread(weights.shape[1])
    lo, hi = inputs.lo.astype(positive.dtype), inputs.hi.astype(positive.dtype)
    return Range.of(lo @ positive - hi @ negative, hi @ positive - lo @ negative)


def dot_depthwise(x: Range, weights: npt.NDArray[Any]) -> Range:
    """Sums of products within each channel: `weights` is [taps, channels]."""
    positive, negative = (integers(part[0]) for part in _split(weights[:, None, :], x.magnitude))
    return Range.of(x.lo * positive - x.hi * negative, x.hi * positive - x.lo * negative)


def magnitude(x: Range, weights: npt.NDArray[Any]) -> int:
    """Upper bound of every partial sum of the products, in any order: max over outputs of sum |w| · max |x|."""
    positive, negative = _split(weights, x.magnitude)
    largest = greater(abs(x.lo), abs(x.hi))
    inputs = np.broadcast_to(largest, (weights.shape[1],)).astype(positive.dtype)
    sums = inputs @ (positive + negative)
    return int(sums.max()) if sums.size else 0


def magnitude_depthwise(x: Range, weights: npt.NDArray[Any]) -> int:
    """The same for [taps, channels]."""
    sums = greater(abs(x.lo), abs(x.hi)) * integers(np.abs(weights.astype(np.int64)).sum(axis=0))
    return int(sums.max())


def _split(weights: npt.NDArray[Any], factor: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Sums over taps of the positive parts and of the absolute negative parts, [in, out].

    In int64 when no product with `factor` summed over everything can leave it; in Python integers otherwise.
    """
    wide = weights.astype(np.int64)
    largest = max(int(wide.max(initial=0)), -int(wide.min(initial=0)))
    if largest * factor * math.prod(wide.shape[:2]) >= 2**62:
        wide = wide.astype(object)
    return np.maximum(wide, 0).sum(axis=0), np.maximum(-wide, 0).sum(axis=0)
