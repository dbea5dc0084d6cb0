"""Threshold synthesis: two registers of a neuron that put its levels where a model wants them.

A neuron of Akida 1 with `b` bits reaches level k of n = 2^b - 1 at the potentials

    P >= h_k = threshold + floor((k - 1) · step) + 1            step = act_step · 2^(4 - b)

so the first level lies anywhere and the others on a straight line.  A model wants level k at P >= t_k, any integers
that do not decrease.  Of all potentials, only those between `lo` and `hi` can occur: a wanted boundary outside of them
asks only for one that is outside too.  If all weights of a neuron are multiples of some g, its grain, so are its
potentials; they are counted in grains here, and a boundary has g integers to lie at.  For a given threshold every level
then admits an interval of steps

    lo < t_k <= hi    (k - 1) · step in [g · (t_k - 1) - threshold, g · t_k - threshold)
    t_k > hi          (k - 1) · step >= g · hi - threshold
    t_k <= lo         (k - 1) · step <  g · lo - threshold

and a step in all of them is exact.  Where there is none, of all pairs near a line through two of the boundaries that
one is taken that moves the fewest potentials to another level, weighed by how far and by how often they occur.  All
bounds are multiples of 1 / lcm(1 … 15), hence exact integers here.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_LEVELS = 15
"""Levels above 0 of a 4-bit activation, the widest that Akida 1 has."""

NEAR = 3
"""How far from where a line begins the best threshold is looked for."""

SOME = 5
"""Levels whose boundaries lines are drawn through, where they lie on none."""

UNIT = math.lcm(*range(1, MOST_LEVELS + 1))
"""Every bound of a step is a multiple of 1 / UNIT."""

MANTISSA_BITS = 24
"""Bits of a float32 mantissa: what the register of a step holds."""


class Limits(NamedTuple):
    """The largest values of the two registers; the threshold has the same bound below."""

    threshold: int
    act_step: int


class Registers(NamedTuple):
    """What neurons of `bits` bits hold: integer thresholds and steps `numerator / 2^exponent`, one a channel."""

    threshold: Ints
    numerator: Ints
    exponent: Ints

    def act_step(self, bits: int) -> npt.NDArray[np.float32]:
        """The steps as they are stored: as if there were 4 bits."""
        return np.ldexp(self.numerator.astype(np.float32), (bits - 4 - self.exponent).astype(np.int32))


class Measure(Protocol):
    """How often the potentials of a channel occur."""

    def below(self, channel: int, bounds: Ints) -> Floats:
        """For each bound, the weight of all potentials below it."""
        ...


def level_errors(wanted: Ints, found: Ints, lo: Ints, hi: Ints) -> tuple[Ints, Ints]:
    """For each channel, how many potentials in [lo, hi] reach another level, and by how many levels at most."""
    edges, apart = _apart(wanted, found, lo[:, None], hi[:, None] + 1)
    return (np.diff(edges, axis=1) * (apart > 0)).sum(axis=1), apart.max(axis=1)


def moved_potentials(wanted: Ints, found: Ints, lo: int, hi: int) -> list[tuple[int, int]]:
    """The spans of potentials of one channel that reach another level, first and last included."""
    edges, apart = _apart(wanted[None], found[None], np.array([[lo]]), np.array([[hi + 1]]))
    spans: list[tuple[int, int]] = []
    for i in np.flatnonzero(apart[0]):
        start, end = int(edges[0, i]), int(edges[0, i + 1]) - 1
        if spans and spans[-1][1] == start - 1:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _apart(wanted: Ints, found: Ints, lows: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """All boundaries in order [channels, n], and by how many levels the potentials from one to the next are apart."""
    edges = np.sort(np.clip(np.concatenate([wanted, found, lows, ends], axis=1), lows, ends), axis=1)
    apart = np.empty((len(edges), edges.shape[1] - 1), np.int64)
    for row, starts, one, other in zip(apart, edges[:, :-1], wanted, found, strict=True):
        row[:] = np.searchsorted(one, starts, "right") - np.searchsorted(other, starts, "right")
    return edges, np.where(np.diff(edges, axis=1) > 0, np.abs(apart), 0)


class Wish(NamedTuple):
    """What a neuron should do: boundaries [levels], all potentials in [lo, hi], in grains of `grain` units."""

    boundaries: Ints
    lo: int
    hi: int
    grain: int


def synthesize(wanted: Ints, lo: Ints, hi: Ints, grain: Ints, limits: Limits, measure: Measure) -> Registers:
    """Registers for boundaries `wanted` [channels, levels] of potentials that lie in [lo, hi] [channels].

    Boundaries and potentials count grains of so many units [channels], which is what registers count.  Exact for every
    channel for which two registers within `limits` can be.
    """
    wishes = (
        Wish(np.clip(row, a, b + 1), int(a), int(b), int(g)) for row, a, b, g in zip(wanted, lo, hi, grain, strict=True)
    )
    found = [_neuron(wish, limits, measure, channel) for channel, wish in enumerate(wishes)]
    return Registers(*(np.array(column, np.int64) for column in zip(*found, strict=True)))


def in_grains(boundaries: Ints, grain: Ints) -> Ints:
    """The smallest potential, in grains, that reaches each boundary [channels, levels] in units."""
    found: Ints = -(-boundaries // grain[:, None])
    return found


def _neuron(wish: Wish, limits: Limits, measure: Measure, channel: int) -> tuple[int, int, int]:
    """Threshold, numerator and exponent of one channel."""
    thresholds = candidate_thresholds(wish, limits.threshold)
    lower, upper = admitted_steps(wish, thresholds)
    most = limits.act_step * UNIT
    for i in np.flatnonzero((lower.max(axis=1) < upper.min(axis=1)) & (lower.max(axis=1) <= most)):
        step = simplest(int(lower[i].max()), min(int(upper[i].min()), most + 1))
        if step is not None:
            return int(thresholds[i]), *step
    return _nearest(wish, thresholds, lower, upper, most, measure, channel)


def candidate_thresholds(wish: Wish, limit: int) -> Ints:
    """Thresholds worth trying, the likeliest first.

    The best line comes close to two of the boundaries at least, or to the ends of the range in their place.  Where they
    lie on a line to begin with, that one is good for a start.
    """
    wanted, lo, hi, grain = wish
    last = [int(t) - 1 for t in wanted]
    guesses = {last[0]} if wanted[0] > lo else set()
    if not is_straight(wanted, lo, hi):
        some = telling(wanted, lo, hi)
        guesses |= {last[i] - round(i * (last[j] - last[i]) / (j - i)) for i, j in combinations(some, 2)}
        if wanted[0] <= lo:  # the first level is always reached, so the others may lie anywhere on a steep line
            guesses |= {last[k] - k * steep for k in some for steep in (last[k] - lo + 1, hi - last[k])}
    near = sorted(range(-NEAR * grain, NEAR * grain + grain), key=abs)
    thresholds = (min(max(guess * grain + offset, -limit), limit) for offset in near for guess in sorted(guesses))
    return np.array(list(dict.fromkeys(thresholds)), np.int64)


def telling(wanted: Ints, lo: int, hi: int) -> list[int]:
    """A few levels that say where lines may run: the first and the last within reach, and some of all."""
    inside = np.flatnonzero((wanted > lo) & (wanted <= hi))
    spread = np.linspace(0, len(wanted) - 1, SOME).round().astype(int)
    return sorted({*map(int, spread), *map(int, inside[:1]), *map(int, inside[-1:])})


def is_straight(wanted: Ints, lo: int, hi: int) -> bool:
    """True if the boundaries are those of a line, rounded: from level 1 on, and on beyond what is in reach."""
    inside = int((wanted <= hi).sum())
    if inside < 2 or wanted[0] <= lo:
        return False
    slope = (wanted[inside - 1] - wanted[0]) / (inside - 1)
    line = wanted[0] + np.arange(len(wanted)) * slope
    return bool((np.abs(wanted - np.minimum(line, hi + 1)) < 2).all())


def admitted_steps(wish: Wish, thresholds: Ints) -> tuple[Ints, Ints]:
    """For each threshold and level the steps [lower, upper) that put the level where it is wanted, times UNIT.

    A first level that a threshold does not put there admits none.
    """
    wanted, lo, hi, grain = wish
    free = np.int64(2) ** 62
    distance = grain * (wanted - 1) - thresholds[:, None]
    never, always = wanted > hi, wanted <= lo
    k = np.arange(len(wanted))
    parts = UNIT // np.maximum(k, 1)
    lower = np.where(always, 0, np.where(never, grain * hi - thresholds[:, None], distance)) * parts
    upper = np.where(never, free, np.where(always, grain * lo - thresholds[:, None], distance + grain) * parts)
    there = (distance[:, 0] <= 0) & (distance[:, 0] > -grain)
    held = np.where(never[0], thresholds >= grain * hi, np.where(always[0], thresholds < grain * lo, there))
    lower[:, 0], upper[:, 0] = 1, np.where(held, free, 0)
    return np.maximum(lower, 1), upper


def _nearest(
    wish: Wish, thresholds: Ints, lower: Ints, upper: Ints, most: int, measure: Measure, channel: int
) -> tuple[int, int, int]:
    """The registers that move the least weight to other levels, times how far."""
    wanted = wish.boundaries
    edges = np.unique(np.clip(np.concatenate([lower, upper - 1], axis=1), 1, most), axis=1)
    k = np.arange(len(wanted))
    units = thresholds[:, None, None] + (k * edges[..., None]) // UNIT + 1
    found = -(-units // wish.grain)
    moved = np.abs(measure.below(channel, found) - measure.below(channel, wanted)).sum(axis=2)
    for index in np.argsort(moved, axis=None, kind="stable"):
        i, j = np.unravel_index(index, moved.shape)
        step = simplest(*same_boundaries(int(edges[i, j]), len(wanted), most))
        if step is not None:
            return int(thresholds[i]), *step
    raise AssertionError("a step of 1 can always be had")


def same_boundaries(step: int, levels: int, most: int) -> tuple[int, int]:
    """The steps [lower, upper), times UNIT, that give the same boundaries as `step`."""
    below = [(k, k * step // UNIT) for k in range(1, levels)]
    lower = max((floor * (UNIT // k) for k, floor in below), default=0)
    upper = min(((floor + 1) * (UNIT // k) for k, floor in below), default=most + 1)
    return max(lower, 1), min(upper, most + 1)


def simplest(lower: int, upper: int) -> tuple[int, int] | None:
    """The number in [lower, upper) / UNIT with the fewest fractional bits, as numerator and exponent.

    None if it needs more bits than a mantissa has.
    """
    for exponent in range(MANTISSA_BITS + 1):
        numerator = -((-lower << exponent) // UNIT)
        if numerator * UNIT < upper << exponent:
            return (numerator, exponent) if numerator.bit_length() <= MANTISSA_BITS else None
    return None
