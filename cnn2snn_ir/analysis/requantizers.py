"""Requantizer synthesis: an integer mantissa, a shift and a bias that put sums on the grid that a model wants.

A layer of Akida 2 gives `floor((P + bias) · mantissa · 2^shift + 1/2)`, saturated; with a mantissa of 8 bits and a bias
that is a signed byte times a power of two.  A model wants level k of each channel at potentials P >= t_k, which is any
step function that never decreases (`qnn.rescale`).  Of all potentials only those that can occur count, so whether a
layer is exact is a question of integers: it is if no potential lies between a wanted boundary and the layer's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.registers import level_errors

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MANTISSA_BITS = 8
"""Bits of an output scale and of a bias, sign included; source: QuantizeML 1.2.5, `scale_bits` and bias quantizers."""

LEAST_SHIFT, GREATEST_SHIFT = -32, 31
"""Left shifts of an output; source: cnn2snn 2.19.3, which stores them in 6 bits."""

FAR = 2**60
"""A boundary that nothing reaches."""


class Requantizer(NamedTuple):
    """The variables of a layer's output, one number a channel: `bias << bias_shift`, mantissa, left shift."""

    bias: Ints
    bias_shift: Ints
    mantissa: Ints
    shift: Ints

    def boundaries(self, levels: Ints, positions: int) -> Ints:
        """The smallest potential that reaches each level [channels, levels]; a bias is added at so many positions."""
        left = np.maximum(self.shift, 0)[:, None]
        right = np.maximum(-self.shift, 0)[:, None]
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
        needed = (levels[None, :] << right) - half
        by = self.mantissa[:, None] << left
        reached = -(-needed // np.maximum(by, 1))
        reached = np.where(by > 0, reached, np.where(needed <= 0, -FAR, FAR))
        return np.asarray(reached - (self.bias << self.bias_shift)[:, None] * positions, np.int64)


class Fitted(NamedTuple):
    """What was found for the channels of a layer, and how far it is from what was wanted."""

    found: Requantizer
    differing: Ints
    """Potentials of each channel that reach another level."""
    off_by: Ints
    """By how many levels at most."""


def wanted_boundaries(function: Callable[[Ints], Ints], levels: Ints, lo: Ints, hi: Ints) -> Ints:
    """The smallest potential in [lo, hi] that reaches each level, or `hi + 1` [channels, levels], by bisection.

    `function` maps potentials [n, channels] to levels and never decreases.
    """
    shape = (len(levels), len(lo))
    below, above = np.broadcast_to(lo - 1, shape).copy(), np.broadcast_to(hi + 1, shape).copy()
    while (open_ := above - below > 1).any():
        middle = (below + above) // 2
        reaches = function(middle) >= levels[:, None]
        above = np.where(open_ & reaches, middle, above)
        below = np.where(open_ & ~reaches, middle, below)
    return np.ascontiguousarray(above.T)


def as_bytes(values: Floats, nudge: int = 0) -> tuple[Ints, Ints]:
    """The nearest `mantissa << shift` of signed bytes, or a neighbour of it."""
    most = 2 ** (MANTISSA_BITS - 1) - 1
    exponent = np.ceil(np.log2(np.maximum(np.abs(values), 1) / (most + 0.5)))
    shift = np.maximum(exponent, 0).astype(np.int64)
    mantissa = np.rint(np.ldexp(values, -shift.astype(np.int32))).astype(np.int64)
    over = np.abs(mantissa) > most
    shift += over
    mantissa = np.where(over, np.rint(mantissa / 2).astype(np.int64), mantissa)
    return np.clip(mantissa + nudge, -most - 1, most), shift


def as_mantissa(slope: Floats, nudge: int = 0) -> tuple[Ints, Ints]:
    """The nearest `mantissa · 2^shift` of unsigned bytes with the highest bit set, or a neighbour of it."""
    shift = np.floor(np.log2(slope)).astype(np.int64) - (MANTISSA_BITS - 1)
    shift = np.clip(shift, LEAST_SHIFT, GREATEST_SHIFT)
    mantissa = np.rint(np.ldexp(slope, -shift.astype(np.int32))).astype(np.int64) + nudge
    over = (mantissa > 255) & (shift < GREATEST_SHIFT)
    return np.clip(np.where(over, mantissa // 2, mantissa), 0, 255), shift + over


def candidates(zero: Floats, step: Floats, positions: int) -> Iterator[Requantizer]:
    """The nearest variables to a line, then their neighbours; no bias where none can be added."""
    for more, nudge in product((0, 1, -1), (0, 1, -1) if positions else (0,)):
        bias = as_bytes(-zero / max(positions, 1), nudge)
        yield Requantizer(*bias, *as_mantissa(1 / step, more))


def fit(wanted: Ints, levels: Ints, zero: Floats, step: Floats, lo: Ints, hi: Ints, positions: int = 1) -> Fitted:
    """The variables with the fewest potentials of [lo, hi] on a wrong level, for each channel.

    `wanted` [channels, levels] are boundaries of the `levels`; the model's line is `(P - zero) / step`.  A bias counts
    `positions` times in each potential, 0 if there is none to choose.
    """
    best: Fitted | None = None
    for found in candidates(zero, step, positions):
        given = np.clip(found.boundaries(levels, positions), lo[:, None], hi[:, None] + 1)
        this = Fitted(found, *level_errors(wanted, given, lo, hi))
        best = this if best is None else better(this, best)
        if not best.differing.any():
            break
    assert best is not None
    return best


def better(new: Fitted, old: Fitted) -> Fitted:
    """Of each channel, the one with fewer potentials on a wrong level."""
    gain = new.differing < old.differing
    found = Requantizer(*(np.where(gain, a, b) for a, b in zip(new.found, old.found, strict=True)))
    return Fitted(found, *(np.where(gain, a, b) for a, b in zip(new[1:], old[1:], strict=True)))
