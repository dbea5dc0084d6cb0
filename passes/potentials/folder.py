"""Potentials: integers that stand for reals, and the walk that puts them in the place of `nn` values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.dialects.builtin import Input
from cnn2snn_ir.ir import F32, Op, Tensor, Value, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.legality.rule import named

POTENTIAL = si(32)
"""The accumulator of Akida 1's layers; a layer that could leave it is refused."""

THRESHOLD = si(33)
"""What holds a threshold above every potential."""

Rationals = npt.NDArray[np.object_]
"""Fractions, one for all channels or one for each."""


@dataclass(frozen=True)
class Potentials:
    """Integers `value` that stand for the reals `(value - zero) / scale`; their magnitude is at most `bound`.

    Sums may be rectified later, with what follows them: then the reals are those, at least `low` and at most `high`.
    """

    value: Value
    scale: Rationals
    zero: Rationals
    bound: int
    low: Fraction | None = None
    high: Fraction | None = None
    name: str | None = None
    """What the model calls the rectified sums."""

    @property
    def rectified(self) -> bool:
        """True if a rectifier is still to be applied."""
        return self.low is not None or self.high is not None

    @property
    def centred(self) -> bool:
        """True if the integer 0 is the real 0."""
        return not any(self.zero.reshape(-1))

    @property
    def uniform(self) -> bool:
        """True if all channels have one zero and one scale."""
        return self.scale.ndim == 0 and self.zero.ndim == 0


class UnfoldableError(Exception):
    """Why an op stays in `nn`."""


Fold = Callable[..., Potentials]
FOLDS: dict[type[Op], Fold] = {}
"""Op ▶ `f(folder, op, *operands)` that replaces it by integers and says what they stand for."""

_F = TypeVar("_F", bound=Fold)


def folds(op_class: type[Op]) -> Callable[[_F], _F]:
    """Enter the decorated function into `FOLDS`."""

    def register(function: _F) -> _F:
        FOLDS[op_class] = function
        return function

    return register


@dataclass
class Folder:
    """The walk over a module: which of its values are potentials by now, and which of those are needed as reals."""

    name: str
    context: PassContext
    rewriter: Rewriter = field(default_factory=Rewriter)
    known: dict[Value, Potentials] = field(default_factory=dict)
    reals: dict[Value, Value] = field(default_factory=dict)
    changed: bool = False

    def visit(self, op: Op) -> None:
        """Fold one op, or give it the reals that it reads."""
        if isinstance(op, nn.InputScaling):
            self.begin(op)
            return
        sources = [self.known[v] for v in op.operands if v in self.known]
        whole = bool(sources) and len(sources) == len(op.operands)
        found = self.fold(op, sources) if whole or isinstance(op, nn.FakeQuantize) else None
        if found is not None:
            self.known[found.value] = found
            self.changed = True
            return
        for index, value in enumerate(op.operands):
            if value in self.known:
                op.set_operand(index, self.as_reals(self.known[value], op))

    def fold(self, op: Op, sources: list[Potentials]) -> Potentials | None:
        """The integers that replace an op; None if there are none, with a reason if that is remarkable."""
        fold = FOLDS.get(type(op))
        try:
            return fold(self, op, *sources) if fold is not None else None
        except UnfoldableError as reason:
            self.context.why_not[f"{self.name} on {place(op)}"] = str(reason)
            return None

    def begin(self, op: nn.InputScaling) -> None:
        """The integers of the input."""
        element = op.x.type.element
        zero, scale = rational(op.shift), rational(op.scale)
        value = op.x
        self.rewriter.replace_with(op, value)
        self.known[value] = Potentials(value, scale, zero, max(element.hi, -element.lo))
        self.changed = True

    def replace(self, op: Op, new: Op) -> Value:
        """Put integers in the place of reals."""
        return self.rewriter.replace(op, new).results[0]

    def insert(self, anchor: Op, new: Op, name: str | None = None) -> Value:
        """Put an op in front of another one."""
        value = self.rewriter.insert_before(anchor, new).results[0]
        value.name = name
        return value

    def settled(self, source: Potentials, reader: Op) -> Potentials:
        """The same with its rectifier applied, in front of a reader: the nearest integers to zero and bound count."""
        if not source.rectified:
            return source
        stem, zero = source.value.name or "sums", nearest(source.zero)
        value = source.value
        if any(zero.reshape(-1)):
            check_range(value.owner, source.bound + max(map(abs, zero.reshape(-1).tolist())))
            value = self.insert(reader, bias_add(value, -zero, stem))
        limit = None
        if source.high is not None:
            limit = np.minimum(nearest(np.asarray(source.scale * source.high, object)), POTENTIAL.hi)
        if source.low != 0 or (limit is not None and limit.min() < 0):
            raise UnfoldableError("it is clipped to something that is no rectifier")
        top = None if limit is None else Tensor.of(limit.astype(np.int64), ui(31), f"{stem}/max_value")
        value = self.insert(reader, qnn.ReLU(value, top), source.name)
        bound = source.bound + int(np.abs(np.asarray(zero, np.float64)).max(initial=0))
        return Potentials(value, source.scale, rational(None), bound)

    def as_reals(self, source: Potentials, reader: Op) -> Value:
        """The reals of potentials, computed in front of their first reader."""
        if source.value not in self.reals:
            self.reals[source.value] = self.dequantize(self.settled(source, reader), reader)
        return self.reals[source.value]

    def dequantize(self, source: Potentials, reader: Op) -> Value:
        """The nearest integer to the zero is subtracted, the rest is a factor."""
        value, name = source.value, source.value.name
        origin = value.owner
        stem = name or "output"
        zero = nearest(source.zero)
        if not source.centred and isinstance(origin, Input):
            reason = self.context.why_not.get(f"{self.name} on {place(reader)}", "")
            raise shifted_input(origin, source, reason)
        if any(zero.reshape(-1)):
            check_range(origin, source.bound + max(map(abs, zero.reshape(-1).tolist())))
            value = self.insert(reader, bias_add(value, -zero, stem))
        scale = Tensor.of(floats(1 / source.scale), F32, f"{stem}/scale")
        none = Tensor.of(np.asarray(0), si(16), "frac_bits")
        found = qnn.Dequantize(value, none, scale, loc=origin.loc)
        self.rewriter.insert_before(reader, found)
        if name is not None and "scale" not in origin.annotations and not isinstance(origin, Input):
            # the reals are what had the name
            source.value.name = None
            found.result.name = name
        return found.result


def bias_add(value: Value, bias: Any, stem: str) -> qnn.BiasAdd:
    """Integers added to potentials."""
    mantissa = Tensor.of(np.asarray(bias, object).astype(np.int64), POTENTIAL, f"{stem}/bias")
    return qnn.BiasAdd(value, mantissa, Tensor.of(np.asarray(0), ui(8), f"{stem}/bias_shift"), loc=value.owner.loc)


# ---- rationals ------------------------------------------------------------------------------------------------------


def rational(values: Tensor | float | None, default: int = 0) -> Rationals:
    """The exact values of floats."""
    if values is None:
        return np.asarray(Fraction(default), object)
    array = np.asarray(values.array if isinstance(values, Tensor) else values, np.float64)
    found = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        found[index] = Fraction(array[index].item())
    return found


def floats(values: Any) -> npt.NDArray[np.float64]:
    """The nearest floats."""
    return np.asarray(values, object).astype(np.float64)


def nearest(values: Rationals) -> npt.NDArray[np.object_]:
    """The nearest integers, of any size; ties to even."""
    return np.asarray(np.vectorize(round, otypes=[object])(values), object)


def smallest_above(zero: Fraction, half_step: Fraction, levels: int) -> list[int]:
    """For each level k from 1 on the smallest integer above `zero + (2k - 1) · half_step`."""
    base, slope = zero.numerator * half_step.denominator, half_step.numerator * zero.denominator
    common = zero.denominator * half_step.denominator
    return [(base + (2 * k - 1) * slope) // common + 1 for k in range(1, levels + 1)]


def shifted_input(op: Op, source: Potentials, reason: str) -> CompileError:
    """The error for an input that the host would have to read, although its 0 is no real 0."""
    return fail(
        "INPUT-SCALING",
        "the input has a shift, and what reads it does not become integers",
        where=named(op),
        found=f"shift {float(source.zero.item()):g}" + (f"; {reason}" if reason else ""),
        allowed="shift 0, or an integer where the first convolution pads",
        help="choose another offset, or padding='valid' in the first convolution",
    )


def check_range(op: Op, largest: int) -> None:
    """Raise `CompileError` if sums may leave the accumulator."""
    if largest > POTENTIAL.hi:
        raise fail(
            "LEG-RANGE",
            "the sums of the layer do not fit the accumulator",
            where=named(op),
            found=f"up to {largest}",
            allowed=f"{POTENTIAL}: up to {POTENTIAL.hi}",
            help="use fewer inputs, fewer bits, or a smaller bias",
        )
