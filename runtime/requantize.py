"""What a layer does after its sums of products, folded into one formula with constants per channel.

    a = clamp(dot + bias, lo, hi)
    y = clamp((a · factor + half) >> shift, out_lo, out_hi)

Every step of the hardware (saturations, bias, ReLU with its bound, scale, rounding shift) is monotone in the
accumulator, and a clamp followed by a monotone step is that step followed by a clamp to its images.  So all
saturations merge into the two clamps, exactly.  The first clamp is then narrowed to the accumulators that can
still change the result, which keeps the product within 32 bits for nearly every real layer.

An activation by table and an average pooling part these steps into two such formulas, one before and one after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.interval import Integers, Range, constant_integers, greater, integers, lesser
from cnn2snn_ir.analysis.layer_ranges import LayerRanges
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.ir import ElementType, Tensor
from cnn2snn_ir.runtime.table import Table

INT8 = Range.of(-(2**7), 2**7 - 1)
UINT8 = Range.of(0, 2**8 - 1)
INT16 = Range.of(-(2**15), 2**15 - 1)
INT32 = Range.of(-(2**31), 2**31 - 1)
INT64 = Range.of(-(2**63), 2**63 - 1)


def inside(range: Range, outer: Range) -> bool:
    """True if `outer` holds every value of `range`."""
    return outer.least <= range.least and range.greatest <= outer.greatest


@dataclass(frozen=True)
class Clamp:
    """`clamp(x + bias, lo, hi)`, constants of shape () or (channels,)."""

    bias: Integers
    lo: Integers
    hi: Integers

    def then_add(self, constant: Integers) -> Clamp:
        """Followed by an addition."""
        return Clamp(*map(integers, (self.bias + constant, self.lo + constant, self.hi + constant)))

    def then_clamp(self, lo: Integers | int, hi: Integers | int) -> Clamp:
        """Followed by another clamp."""
        low, high = (lesser(greater(bound, lo), hi) for bound in (self.lo, self.hi))
        return Clamp(self.bias, low, high)

    def then_saturate(self, element: ElementType) -> Clamp:
        """Followed by saturation to `element`."""
        return self.then_clamp(element.lo, element.hi)

    def image(self, x: Range) -> Range:
        """The range of the result."""
        return x.offset(self.bias).clamp(self.lo, self.hi)


def saturation(element: ElementType) -> Clamp:
    """The clamp that saturates to `element`."""
    return Clamp(integers(0), integers(element.lo), integers(element.hi))


@dataclass(frozen=True)
class Rescale:
    """`clamp((a · factor + half) >> shift, lo, hi)`, constants of shape () or (channels,), `shift >= 0`."""

    factor: Integers
    half: Integers
    shift: Integers
    lo: Integers
    hi: Integers

    @classmethod
    def of(cls, scales: Tensor | None, output_shift: Tensor | None, buffer: ElementType, to: ElementType) -> Rescale:
        """`saturate_to(round(saturate_buffer(a · scales) · 2^output_shift))`."""
        shift = constant_integers(output_shift)
        right = greater(-shift, 0)
        limits = Range.full(buffer).shift_round(shift).saturate(to)
        factor = constant_integers(scales, 1) * 2 ** greater(shift, 0)
        half = integers(2**right) // 2
        return cls(integers(factor), integers(half), right, limits.lo, limits.hi)

    @classmethod
    def none(cls, lo: Integers | int, hi: Integers | int) -> Rescale:
        """Nothing but a clamp, which does nothing to values between `lo` and `hi`."""
        return cls(integers(1), integers(0), integers(0), integers(lo), integers(hi))

    @property
    def monotone(self) -> bool:
        """True if a larger input never gives a smaller result."""
        return bool(np.all(self.factor >= 0))

    def narrow(self, clamp: Clamp) -> Clamp:
        """The narrowest clamp before this step that leaves its results as they are.

        Above the least `a` that reaches `hi`, and below the greatest that stays at `lo`, nothing changes.  A channel
        whose factor is not positive keeps its clamp.
        """
        rising = self.factor > 0
        factor = integers(np.where(rising, self.factor, 1))
        unit = integers(2**self.shift)
        reaches = -((self.half - self.hi * unit) // factor)  # ceil((hi · unit - half) / factor)
        stays = -((self.half - (self.lo + 1) * unit) // factor) - 1
        hi = integers(np.where(rising, greater(lesser(clamp.hi, reaches), clamp.lo), clamp.hi))
        lo = integers(np.where(rising, lesser(greater(clamp.lo, stays), hi), clamp.lo))
        return Clamp(clamp.bias, lo, hi)

    def widest(self, a: Range) -> Range:
        """The range of the scaled value before the right shift, the largest number in the formula."""
        product = a.times(self.factor)
        return product.union(product.offset(self.half)).union(a)

    def image(self, a: Range) -> Range:
        """The range of the result."""
        return a.times(self.factor).shift_round(integers(-self.shift)).clamp(self.lo, self.hi)


@dataclass(frozen=True)
class Formula:
    """`clamp`, then `rescale`."""

    clamp: Clamp
    rescale: Rescale
    widest: Range
    """All integers that the formula forms, its operand and its constants among them.

    The bounds of the clamps are not: one beyond the type that holds all others is clipped to it and clamps nothing.
    """

    @classmethod
    def of(cls, x: Range, clamp: Clamp, rescale: Rescale) -> Formula:
        """The formula for operands in `x`, with the narrowest clamp that does the same."""
        clamp = rescale.narrow(clamp)
        formed = x.union(x.offset(clamp.bias)).union(rescale.widest(clamp.image(x)))
        for constant in (clamp.bias, rescale.half, rescale.factor):
            formed = formed.union(Range(constant, constant))
        return cls(clamp, rescale, formed.merged())

    @property
    def fits_int32(self) -> bool:
        """True if 32 bits are enough."""
        return inside(self.widest, INT32)

    @property
    def fits_int64(self) -> bool:
        """True if 64 bits are."""
        return inside(self.widest, INT64)

    @property
    def ends_in_range(self) -> bool:
        """True if the last clamp does nothing, because the one before the product was narrowed to what it lets pass.

        So it is wherever `factor` is at most 2^shift: the result then takes every value on its way to a limit.
        """
        clamped = Range(self.clamp.lo, self.clamp.hi)
        result = clamped.times(self.rescale.factor).shift_round(integers(-self.rescale.shift))
        return bool(np.all(result.lo >= self.rescale.lo) and np.all(result.hi <= self.rescale.hi))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The integer type to compute in."""
        return np.dtype(np.int32 if self.fits_int32 else np.int64)

    def constants(self, channels: int) -> npt.NDArray[Any]:
        """`clamp` and `rescale` as a table [8, channels] of `dtype`: bias, lo, hi; factor, half, shift, lo, hi."""
        limits = np.iinfo(self.dtype)
        table = np.empty((8, channels), self.dtype)
        for row, value in zip(table, (*vars(self.clamp).values(), *vars(self.rescale).values()), strict=True):
            row[:] = lesser(greater(value, int(limits.min)), int(limits.max))
        return table


@dataclass(frozen=True)
class Epilogue:
    """Everything after the sums of products of one layer: `first`, `table`, the sum over all positions, `last`."""

    first: Formula
    table: Table | None = None
    sums: bool = False
    last: Formula | None = None

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """Those in use."""
        return (self.first,) if self.last is None else (self.first, self.last)

    @property
    def fits_int64(self) -> bool:
        """True if 64 bits are enough for everything."""
        return all(formula.fits_int64 for formula in self.formulas)


def fold(op: akida2.NeuralLayer, ranges: LayerRanges) -> Epilogue:
    """The epilogue of a layer whose stages lie in `ranges`."""
    clamp, sums = accumulator_clamp(op), ranges.pooled_sum is not None
    if op.lut_values is not None:
        index = Rescale.of(op.activation_scales, op.activation_shift, op.post_op, akida2.table_index(op))
        first = Formula.of(ranges.dot, clamp, index)
        table = None if sums else Table.with_output(op)
        if table is not None:
            return Epilogue(first, table)
        return Epilogue(first, Table.plain(op), sums, last_formula(op, ranges))
    unscaled = Rescale.none(clamp.lo, clamp.hi)
    if sums:
        return Epilogue(Formula.of(ranges.dot, clamp, unscaled), None, sums, last_formula(op, ranges))
    return Epilogue(Formula.of(ranges.dot, clamp, output_rescale(op) or unscaled))


def accumulator_clamp(op: akida2.NeuralLayer) -> Clamp:
    """Everything up to the activation, that by table excepted."""
    clamp = saturation(op.acc)
    if op.bias is not None:
        bias = constant_integers(op.bias) * 2 ** constant_integers(op.bias_shift)
        clamp = clamp.then_add(integers(bias)).then_saturate(op.acc)
    if op.activation is Activation.RELU:
        clamp = clamp.then_clamp(0, greater(clamp.hi, 0))
    if op.max_value is not None:
        bound = constant_integers(op.max_value) * 2 ** constant_integers(op.max_value_shift)
        clamp = clamp.then_clamp(lesser(clamp.lo, bound), integers(bound))
    return clamp


def output_rescale(op: akida2.NeuralLayer) -> Rescale | None:
    """The output scale, if there is one."""
    return None if op.to is None else Rescale.of(op.output_scales, op.output_shift, op.post_op, op.to)


def last_formula(op: akida2.NeuralLayer, ranges: LayerRanges) -> Formula:
    """What follows the sum over all positions, or a table."""
    rescale = output_rescale(op) or Rescale.none(op.post_op.lo, op.post_op.hi)
    if ranges.pooled_sum is not None:
        return Formula.of(ranges.pooled_sum, saturation(op.post_op), rescale)
    values = ranges.activated
    return Formula.of(values, Clamp(integers(0), values.lo, values.hi), rescale)


def fold_add(op: akida2.Add, a: Range, b: Range) -> Formula | None:
    """The formula after `a · 2^a_shift + b · 2^b_shift`; None if an operand can saturate before the sum."""
    parts = []
    for x, shift in ((a, op.a_shift), (b, op.b_shift)):
        part = x if shift is None else x.shift_left(constant_integers(shift))
        if shift is not None and not part.within(op.acc):
            return None
        parts.append(part)
    none = Rescale.none(op.acc.lo, op.acc.hi)
    rescale = none if op.to is None else Rescale.of(None, op.output_shift, op.acc, op.to)
    formula = Formula.of(parts[0].plus(parts[1]), saturation(op.acc), rescale)
    formed = formula.widest.union(parts[0]).union(parts[1])
    for shift in (op.a_shift, op.b_shift):
        factor = integers(2 ** constant_integers(shift))
        formed = formed.union(Range(factor, factor))
    return replace(formula, widest=formed.merged())
