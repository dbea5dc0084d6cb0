"""Requantizer synthesis: what a model wants of its sums becomes the output variables of Akida 2's layers.

    %1 = qnn.conv2d %0, #w<…> {acc = si32}
    %y = qnn.rescale %1, #w<zero, f64[16], …>, #w<step, f64[16], …> {to = si8, low = 0}
▶
    %1 = qnn.conv2d %0, #w<…> {acc = si32}
    %2 = qnn.bias_add %1, #w<bias, si8[16], …> {shift = …}
    %3 = qnn.relu %2
    %y = qnn.requantize %3, #w<mantissa, ui8[16], …>, #w<shift, si8[16], …> {to = si8} meta {off_by = [0, 1, …]}

A layer has a bias of 8 bits and a power of two, a mantissa of 8 bits and a shift, and rounds half up.  For each channel
they are chosen such that, of all sums that can be reached, as many as possible become the integer that the model says.
`off_by` states for each channel by how much the others are off.  An addition has a shift only.  What reads the integers
of another layer gets an identity layer; integers that are only clipped are rectified.

In `exact` mode a layer that would be off is an error; in `bounded` mode a remark.

Preconditions: `fold-quantized-activations`.  Contract: as stated, by `off_by`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.ranges import result_range
from cnn2snn_ir.analysis.registers import level_errors
from cnn2snn_ir.analysis.requantizers import Fitted, Ints, Requantizer, as_bytes, fit, wanted_boundaries
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Op, Tensor, Value, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import OFF_BY, STATED, Pass, PassContext, option
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.legalize.identity import impassable, product_with_one
from cnn2snn_ir.passes.quantization.schemes import BYTE, INDEX
from cnn2snn_ir.passes.quantization.sums import (
    biased,
    by_channel,
    clips_only,
    drift,
    is_sum_of_two,
    main_of,
    pooled_positions,
    summed,
)
from cnn2snn_ir.reference.rounding import rescale

BUFFER = si(41)
"""Holds every sum of 32 bits times a mantissa of 8, so that nothing saturates before it is shifted."""


class Mode(StrEnum):
    """What to do about a layer that cannot compute exactly what the model says."""

    EXACT = "exact"
    BOUNDED = "bounded"


class CannotError(Exception):
    """Why no layer of Akida 2 computes a rescaling."""


@dataclass
class Fitter:
    """The walk over a module: ranges as far as it has come, and what there is to say."""

    mode: Mode
    rewriter: Rewriter = field(default_factory=Rewriter)
    ranges: dict[Value, Range] = field(default_factory=dict)
    found: Diagnostics = field(default_factory=Diagnostics)
    count: int = 0

    def walk(self, module: builtin.Module) -> None:
        """Replace every rescaling, in order, and round every bias."""
        for op in list(module.body):
            if isinstance(op, qnn.Rescale):
                self.replace(op)
            else:
                if isinstance(op, qnn.BiasAdd) and isinstance(op.x.owner, qnn.SumPool):
                    self.bias_before_sum(op, op.x.owner)
                    continue
                if isinstance(op, qnn.BiasAdd) and op.bias.type.element.bits > 8:
                    self.round_bias(op)
                if isinstance(op, qnn.ReLU) and op.max is not None and op.max.type.element.bits > 8:
                    self.round_bound(op, op.max)
                if isinstance(op, qnn.Dequantize):
                    annotate(op, drift(op.x))
                self.learn(op)

    def learn(self, op: Op) -> None:
        """Remember the ranges of an op's integers."""
        for result in op.results:
            if not result.type.element.is_float:
                self.ranges[result] = result_range(op, result, self.ranges)

    def insert(self, anchor: Op, new: Op) -> Value:
        """Put an op in front of another one, and learn its range."""
        value = self.rewriter.insert_before(anchor, new).results[0]
        self.learn(new)
        return value

    def replace(self, op: qnn.Rescale) -> None:
        """One rescaling, by the layer whose sums it reads."""
        try:
            new = self.output_of(op)
        except CannotError as reason:
            self.found.add(refused(op, str(reason)))
            self.learn(op)
            return
        self.rewriter.replace(op, new)
        self.learn(new)
        self.count += 1

    def output_of(self, op: qnn.Rescale) -> Op:
        """The op that takes the place of a rescaling."""
        check_grid(op)
        if is_sum_of_two(op.x):
            return self.shifted(op)
        if clips_only(op):
            return self.clipped(op, op.x)
        main = main_of(op.x)
        if main is None and pooled_positions(op.x) > 1 and not op.zero.array.any():
            return self.requantized(op, None)  # integers summed over a map need no bias
        if main is None:
            if reason := impassable(op.x):
                raise CannotError(reason)
            main = product_with_one(op.x, op, self.rewriter)
            self.learn(main)
            op.set_operand(0, main.results[0])
        return self.requantized(op, main)

    # ---- layers with weights --------------------------------------------------------------------------------------

    def requantized(self, op: qnn.Rescale, main: Op | None) -> Op:
        """Bias, rectifier and requantization of a layer."""
        pooled = pooled_positions(op.x)
        fitted = self.fit(op, 0 if main is None or biased(op.x) else pooled)
        if (moved := drift(op.x)).any():
            levels = np.ceil(moved / op.step.array.astype(np.float64)).astype(np.int64)
            fitted = fitted._replace(off_by=fitted.off_by + levels)
        self.state(op, fitted)
        found = fitted.found
        name = op.result.name or "output"
        if isinstance(op.x.owner, qnn.SumPool):
            self.sum_in_buffer(op.x.owner)
        if main is not None and found.bias.any():
            add_bias(main, op, found, self)
            forget_names(op.x)
        value = op.x
        low, _ = op.limits
        if low == 0 and pooled == 1:
            value = self.insert(op, qnn.ReLU(value, *upper_bound(op, found, name), loc=op.loc))
        mantissa, shift = (
            Tensor.of(found.mantissa, ui(8), f"{name}/scale"),
            Tensor.of(found.shift, si(8), f"{name}/shift"),
        )
        new = qnn.Requantize(value, mantissa, shift, op.to, BUFFER)
        annotate(new, fitted.off_by)
        hand_on(op.result, fitted.off_by)
        if low != 0 or pooled == 1:
            return new
        new.annotations.update(op.annotations)
        return qnn.ReLU(self.insert(op, new))

    def sum_in_buffer(self, op: qnn.SumPool) -> None:
        """A layer sums over its map in the buffer in which it scales."""
        self.learn(self.rewriter.replace(op, qnn.SumPool(op.x, op.keepdims, BUFFER)))

    def fit(self, op: qnn.Rescale, positions: int) -> Fitted:
        """The variables of the layer, and how far they are off; `positions` as in `fit`."""
        channels = op.x.type.channels
        low, high = op.limits
        rectified = low == 0
        levels = np.arange((0 if rectified else op.to.lo) + 1, (high if rectified else op.to.hi) + 1)
        lo, hi = by_channel(self.ranges[op.x], channels)
        wanted = wanted_boundaries(lambda p: rescale(op, p), levels, lo, hi)
        zero, step = (np.broadcast_to(t.array.astype(np.float64), channels) for t in (op.zero, op.step))
        return fit(wanted, levels, zero, step, lo, hi, positions)

    # ---- additions, and integers that another layer gave ----------------------------------------------------------

    def shifted(self, op: qnn.Rescale) -> Op:
        """The output of an addition, which has no scale."""
        step = op.step.array.astype(np.float64)
        exponent = np.rint(np.log2(step)).astype(np.int64)
        if op.zero.array.any() or not np.array_equal(np.exp2(exponent), step):
            raise CannotError("an addition has a shift only, and its result is on a grid that is no power of two apart")
        lo, hi = by_channel(self.ranges[op.x], op.x.type.channels)
        levels = np.arange(op.to.lo + 1, op.to.hi + 1)
        none = np.zeros_like(lo)
        found = Requantizer(none, none, none + 1, np.broadcast_to(-exponent, lo.shape))
        wanted = wanted_boundaries(lambda p: rescale(op, p), levels, lo, hi)
        low, _ = op.limits
        given = np.clip(found.boundaries(levels, 1), lo[:, None], hi[:, None] + 1)
        if low == 0:  # a rectifier of its own follows
            wanted[:, levels <= 0] = given[:, levels <= 0]
        fitted = Fitted(found, *level_errors(wanted, given, lo, hi))
        self.state(op, fitted)
        shift = Tensor.of(-exponent, si(8), f"{op.result.name or 'sum'}/shift")
        new = qnn.Shift(op.x, shift, op.to)
        annotate(new, fitted.off_by)
        if low < 0:
            return new
        new.annotations.update(op.annotations)
        return qnn.ReLU(self.insert(op, new))

    def clipped(self, op: qnn.Rescale, x: Value) -> Op:
        """Integers of the same grid, rectified, and in the type of the result."""
        low, high = op.limits
        if low == 0 and self.ranges[x].least < 0:
            top = Tensor.of(np.asarray(high), ui(8), "max_value") if high < self.ranges[x].greatest else None
            relu = qnn.ReLU(x, top, loc=op.loc)
            if x.type.element == op.to:
                return relu
            x = self.insert(op, relu)
        elif self.ranges[x].least < low or self.ranges[x].greatest > min(high, op.to.hi):
            raise CannotError(f"integers from {self.ranges[x].least} to {self.ranges[x].greatest} are clipped")
        return qnn.Shift(x, Tensor.of(np.asarray(0), si(8), "shift"), op.to)

    # ---- biases ---------------------------------------------------------------------------------------------------

    def round_bias(self, op: qnn.BiasAdd) -> None:
        """A bias of more than 8 bits becomes a signed byte times a power of two."""
        wanted = op.bias.int64 << op.shift.int64
        mantissa, shift = as_bytes(wanted.astype(np.float64))
        off_by = np.abs((mantissa << shift) - wanted)
        op.bias = Tensor.of(mantissa, si(8), op.bias.name)
        op.shift = Tensor.of(shift, ui(8), op.shift.name)
        self.rounded(op, "bias", off_by)

    def bias_before_sum(self, op: qnn.BiasAdd, pool: qnn.SumPool) -> None:
        """A layer adds its bias at every position, and then sums up."""
        wanted = (op.bias.int64 << op.shift.int64) / summed(pool)
        mantissa, shift = as_bytes(wanted)
        off_by = np.ceil(np.abs((mantissa << shift) - wanted)).astype(np.int64)
        stem = op.bias.name
        new = qnn.BiasAdd(
            pool.x, Tensor.of(mantissa, si(8), stem), Tensor.of(shift, ui(8), f"{stem}_shift"), loc=op.loc
        )
        total = self.insert(op, qnn.SumPool(self.insert(op, new), pool.keepdims, pool.acc, loc=pool.loc))
        self.rewriter.replace_with(op, total)
        self.rewriter.erase_if_unused(pool)
        self.rounded(new, "bias", off_by)

    def round_bound(self, op: qnn.ReLU, bound: Tensor) -> None:
        """The bound of a rectifier of more than 8 bits becomes an unsigned byte times a power of two."""
        wanted = bound.int64 << (0 if op.shift is None else op.shift.int64)
        shift = np.maximum(np.ceil(np.log2(np.maximum(wanted, 1) / 255.5)), 0).astype(np.int64)
        mantissa = np.minimum((wanted + ((1 << shift) >> 1)) >> shift, 255)
        op.max = Tensor.of(mantissa, ui(8), bound.name)
        op.shift = Tensor.of(shift, ui(8), f"{bound.name}_shift")
        self.rounded(op, "upper bound", np.abs((mantissa << shift) - wanted))

    def rounded(self, op: Op, what: str, off_by: Ints) -> None:
        """Note that an op was changed in place."""
        self.rewriter.changed(op)
        self.count += 1
        if off_by.any():
            annotate(op, off_by)
            self.found.add(inexact(op, what, off_by, f"of the {what}", self.mode))

    def state(self, op: qnn.Rescale, fitted: Fitted) -> None:
        """What the user of a layer should know."""
        if fitted.off_by.any():
            lo, hi = by_channel(self.ranges[op.x], op.x.type.channels)
            worst = int(np.argmax(fitted.differing / (hi - lo + 1)))
            detail = f"{int(fitted.differing.sum())} of {int((hi - lo + 1).sum())} sums, most in channel {worst}"
            self.found.add(inexact(op, "output", fitted.off_by, detail, self.mode))


def check_grid(op: qnn.Rescale) -> None:
    """Raise CannotError for a grid that no layer has."""
    if op.offset is not None and op.offset.int64.any():
        raise CannotError(f"the real 0 is the integer {op.offset.int64.ravel()[0]}, and not 0")
    if op.to.hi > BYTE.hi and op.to != INDEX:
        raise CannotError(f"its result is {op.to}, and layers give up to 8 bits, signed")


# ---- what takes its place -------------------------------------------------------------------------------------------


def add_bias(main: Op, op: qnn.Rescale, found: Requantizer, fitter: Fitter) -> None:
    """Put the bias right behind the layer's sums, on the way to a rescaling; other readers of the sums keep them."""
    sums, reader = main.results[0], first_reader(main, op)
    name = op.result.name or "output"
    variables = Tensor.of(found.bias, si(8), f"{name}/bias"), Tensor.of(found.bias_shift, ui(8), f"{name}/bias_shift")
    added = fitter.insert(reader, qnn.BiasAdd(sums, *variables, loc=main.loc))
    reader.set_operand(0, added)


def first_reader(main: Op, op: Op) -> Op:
    """The op on the way to a rescaling that reads the sums; raises CannotError if others read what follows."""
    while op.operands[0].owner is not main:
        op = op.operands[0].owner
        if not op.results[0].has_one_use:
            raise CannotError("its pooled sums have other readers")
    return op


def forget_names(value: Value) -> None:
    """What is pooled behind a bias is no longer what the model calls by this name."""
    while isinstance(value.owner, qnn.MaxPool | qnn.SumPool):
        value.name = None
        value = value.owner.x


def upper_bound(op: qnn.Rescale, found: Requantizer, name: str) -> tuple[Any, ...]:
    """Where the rectifier stops, if that is below the type's largest integer: an unsigned byte times a power of two."""
    _, high = op.limits
    if high == op.to.hi:
        return ()
    unbiased = found._replace(bias=np.zeros_like(found.bias))
    first, beyond = np.minimum(unbiased.boundaries(np.array([high, high + 1]), 1), op.x.type.element.hi).T
    shift = np.maximum(np.ceil(np.log2(np.maximum(beyond, 1) / 256)), 0).astype(np.int64)
    mantissa = np.minimum((beyond - 1) >> shift, 255)
    within = first < op.x.type.element.hi  # beyond it no bound is needed
    if ((mantissa << shift) < first)[within].any():
        raise CannotError(f"no bound of 8 bits and a power of two gives the integer {high}")
    return Tensor.of(mantissa, ui(8), f"{name}/max_value"), Tensor.of(shift, ui(8), f"{name}/max_value_shift")


def annotate(op: Op, off_by: Ints) -> None:
    """State how far the channels of a result may be off."""
    if off_by.any():
        op.annotations[OFF_BY] = tuple(int(n) for n in off_by)


def hand_on(index: Value, off_by: Ints) -> None:
    """What a table gives for an index that may be off is off by what its entries differ, and so is what reads it."""
    for table in (user for user in index.users if isinstance(user, qnn.Lookup)):
        entries = table.table.int64
        apart = np.zeros(int(off_by.max()) + 1, np.int64)
        for distance in range(1, len(apart)):
            apart[distance] = max(apart[distance - 1], int(np.abs(entries[distance:] - entries[:-distance]).max()))
        for op in (table, *(user for user in table.result.users if isinstance(user, qnn.Shift))):
            annotate(op, apart[off_by])


# ---- diagnostics ----------------------------------------------------------------------------------------------------


def refused(op: Op, reason: str) -> Diagnostic:
    """What no layer can do."""
    return Diagnostic(
        "AK2-GRID-01",
        "no layer of Akida 2 puts its results on this grid",
        named(op),
        found=reason,
        allowed="symmetric integers of up to 8 bits; power-of-two steps behind an addition",
        help="quantize activations symmetrically, or let fit-grids choose the grids (--onnx-mode bounded)",
    )


def inexact(op: Op, what: str, off_by: Ints, detail: str, mode: Mode) -> Diagnostic:
    """A layer that is off."""
    return Diagnostic(
        "AK2-SCALE-01",
        f"its {what} is not exactly what the model says: a layer has 8 bits for its bias and 8 for its scale",
        named(op),
        found=f"off by up to {int(off_by.max())} in {int((off_by > 0).sum())} of {len(off_by)} channels; {detail}",
        allowed="no difference (mode exact)" if mode is Mode.EXACT else "",
        help="convert in the mode bounded" if mode is Mode.EXACT else "",
        severity=Severity.ERROR if mode is Mode.EXACT else Severity.REMARK,
    )


@dataclass(frozen=True)
class FitRequantizers(Pass):
    """Choose bias, scale and shift of every layer that rescales its sums."""

    name = "fit-requantizers"
    contract = STATED
    requires = Level.QNN
    ensures = Level.QNN

    mode: Mode = option(Mode.BOUNDED, "what to do about a layer that cannot be exact: refuse it, or state it")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        fitter = Fitter(self.mode)
        fitter.walk(op)
        context.diagnostics.extend(fitter.found)
        fitter.found.raise_errors(f"{op.sym_name}: cannot convert the model")
        context.statistics[f"{self.name}: layers"] += fitter.count
        return fitter.count > 0
