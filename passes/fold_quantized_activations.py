"""From reals to integers: layers sum integers, and a quantized activation becomes thresholds of these sums.

    %conv = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias>, weight_scale = #w<scale>}
    %pool = nn.max_pool %conv {size = [2, 2], strides = [2, 2]}
    %re_lu = nn.quantized_relu %pool {bits = 4, step = 0.4} : tensor<?x7x7x32xf32>
▶
    %conv = qnn.conv2d %q, #w<kernel, si4[3, 3, 32, 32]> {acc = si32}
    %pool = qnn.max_pool %conv {size = [2, 2], strides = [2, 2]}
    %re_lu = qnn.threshold %pool, #w<thresholds, si33[32, 15]> {to = ui4} : tensor<?x7x7x32xui4>

Every real is a *potential* P, an integer, seen from a zero in units: `real = (P - zero) / scale`.  With inputs
`(q - z) / s` and weights `w / s_w` a layer sums up `P = sum q · w`, so that `scale = s · s_w` and
`zero = z · sum w - bias · scale`.  A mean over n positions is a sum with n times the zero and the scale.  The
activation reaches level k where `real > (k - 1/2) · step`: at the smallest integer above
`zero + scale · (k - 1/2) · step`.  These thresholds are computed from the stored numbers in exact rational arithmetic.
A level out of reach gets a threshold above the accumulator's range.

Where reals are needed, at the model's end, the nearest integer to the zero is subtracted, and `qnn.dequantize` does
the rest.

Preconditions: the program reads integers (`apply-input-scaling`), and weights are quantized; batch normalization is
folded.  What does not meet them stays in `nn`, for the host.  Contract: levels are exact, potentials the nearest
integers: max-lsb(0.5), relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.dialects.builtin import Input, Module
from cnn2snn_ir.dialects.geometry import adds_border
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F32, ElementType, Op, Tensor, TensorType, Value, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Contract, Pass, PassContext
from cnn2snn_ir.passes.legality.legacy_predicates import WEIGHTED, behind
from cnn2snn_ir.passes.legality.rule import named

POTENTIAL = si(32)
"""The accumulator of Akida 1's layers; a layer that could leave it is refused."""

THRESHOLD = si(33)
"""What holds a threshold above every potential."""

Rationals = npt.NDArray[np.object_]
"""Fractions, one for all channels or one for each."""


@dataclass(frozen=True)
class Potentials:
    """Integers `value` that stand for the reals `(value - zero) / scale`; their magnitude is at most `bound`."""

    value: Value
    scale: Rationals
    zero: Rationals
    bound: int

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


Fold = Callable[["Folder", Any, Potentials], Potentials]
FOLDS: dict[type[Op], Fold] = {}
"""Op ▶ function that replaces it by integers and says what they stand for."""

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
        source = self.known.get(op.operands[0]) if len(op.operands) == 1 else None
        if source is not None and isinstance(found := self.fold(op, source), Potentials):
            self.known[found.value] = found
            self.changed = True
            return
        for index, value in enumerate(op.operands):
            if value in self.known:
                op.set_operand(index, self.as_reals(self.known[value], op))

    def fold(self, op: Op, source: Potentials) -> Potentials | None:
        """The integers that replace an op; None if there are none, with a reason if that is remarkable."""
        fold = FOLDS.get(type(op))
        try:
            return fold(self, op, source) if fold is not None else None
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

    def as_reals(self, source: Potentials, reader: Op) -> Value:
        """The reals of potentials, computed in front of their first reader."""
        if source.value not in self.reals:
            self.reals[source.value] = self.dequantize(source, reader)
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
            bias = Tensor.of(np.asarray(-zero, object).astype(np.int64), POTENTIAL, f"{stem}/bias")
            added = qnn.BiasAdd(value, bias, Tensor.of(np.asarray(0), ui(8), f"{stem}/bias_shift"), loc=origin.loc)
            value = self.rewriter.insert_before(reader, added).results[0]
        scale = Tensor.of(floats(1 / source.scale), F32, f"{stem}/scale")
        none = Tensor.of(np.asarray(0), si(16), "frac_bits")
        found = qnn.Dequantize(value, none, scale, loc=origin.loc)
        self.rewriter.insert_before(reader, found)
        if name is not None and "scale" not in origin.annotations and not isinstance(origin, Input):
            # the reals are what had the name
            source.value.name = None
            found.result.name = name
        return found.result


class FoldQuantizedActivations(Pass):
    """Turn layers of quantized weights and activations into integer sums and thresholds."""

    name = "fold-quantized-activations"
    contract = Contract(max_lsb=0.5, relative=1e-6)
    requires = Level.NN
    ensures = Level.QNN

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        folder = Folder(self.name, context)
        for inner in list(op.body):
            folder.visit(inner)
        return folder.changed


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


# ---- layers with weights --------------------------------------------------------------------------------------------


def summed(op: Any, source: Potentials, bias: Tensor | None) -> tuple[Rationals, Rationals, int]:
    """Scale, zero and bound of a layer's sums; the last axis of the weights is that of the results."""
    if op.weight_scale is None:
        raise UnfoldableError("its weights are floats")
    if source.scale.ndim:
        raise UnfoldableError("its input has a scale for each channel")
    weights = op.weights.int64
    taps = tuple(range(weights.ndim - 1))
    scale = np.asarray(source.scale * rational(op.weight_scale), object)
    zero = np.asarray(zeros_of(op, source, weights) - rational(bias) * scale, object)
    bound = source.bound * int(np.abs(weights).sum(axis=taps).max(initial=0))
    check_range(op, bound)
    return scale, zero, bound


def zeros_of(op: Op, source: Potentials, weights: npt.NDArray[np.int64]) -> Rationals:
    """What the zeros of the input add up to, `sum z · w`."""
    taps = tuple(range(weights.ndim - 1))
    if source.centred:
        return rational(None)
    if isinstance(op, nn.DepthwiseConv2D):
        return np.asarray(source.zero * weights.sum(axis=taps).astype(object), object)
    by_input = weights.sum(axis=taps[:-1]).astype(object)
    return np.asarray((by_input * np.broadcast_to(source.zero, len(by_input))[:, None]).sum(axis=0), object)


def integer_zero(op: Any, source: Potentials) -> Tensor | None:
    """What a window reads at padded positions; None for 0, and where it pads nothing."""
    pads = adds_border(op.x.type, op.weights.type.shape, op.strides, op.padding, op.dilation)
    if not pads or source.centred:
        return None
    if source.zero.ndim or source.zero.item().denominator != 1:
        raise UnfoldableError("it pads with a real 0 that is no integer of its input")
    return Tensor.of(np.asarray(int(source.zero.item())), si(16), f"{op.weights.name}_padding")


@folds(nn.Conv2D)
def conv2d(folder: Folder, op: nn.Conv2D, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    fill = integer_zero(op, source)
    new = qnn.Conv2D(source.value, op.weights, op.strides, op.padding, op.dilation, fill, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


@folds(nn.DepthwiseConv2D)
def depthwise_conv2d(folder: Folder, op: nn.DepthwiseConv2D, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    if integer_zero(op, source) is not None:
        raise UnfoldableError("a depthwise convolution pads with 0 only")
    new = qnn.DepthwiseConv2D(source.value, op.weights, op.strides, op.padding, op.dilation, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


@folds(nn.Dense)
def dense(folder: Folder, op: nn.Dense, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    new = qnn.Dense(source.value, op.weights, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


# ---- pooling, activation, shape -------------------------------------------------------------------------------------


@folds(nn.MaxPool)
def max_pool(folder: Folder, op: nn.MaxPool, source: Potentials) -> Potentials:
    new = qnn.MaxPool(source.value, op.size, op.strides, op.padding)
    return replace(source, value=folder.replace(op, new))


@folds(nn.GlobalAveragePool)
def global_average_pool(folder: Folder, op: nn.GlobalAveragePool, source: Potentials) -> Potentials:
    rows, columns, _ = op.x.type.per_sample
    count = rows * columns
    check_range(op, source.bound * count)
    value = folder.replace(op, qnn.SumPool(source.value, op.keepdims, POTENTIAL))
    scale, zero = np.asarray(source.scale * count, object), np.asarray(source.zero * count, object)
    return Potentials(value, scale, zero, source.bound * count)


@folds(nn.QuantizedReLU)
def quantized_relu(folder: Folder, op: nn.QuantizedReLU, source: Potentials) -> Potentials:
    thresholds = thresholds_of(op, source, op.x.type)
    element = ui(op.bits)
    name = f"{op.result.name or 'activation'}/thresholds"
    new = qnn.Threshold(source.value, Tensor.of(thresholds, THRESHOLD, name), element)
    new.annotations["frac_bits"] = Tensor.of(np.asarray(0), si(16), "frac_bits")
    new.annotations["scale"] = Tensor.of(np.asarray(op.step), F32, "scale")
    value = folder.replace(op, new)
    return Potentials(value, np.asarray(1 / rational(op.step), object), rational(None), element.hi)


def thresholds_of(op: nn.QuantizedReLU, source: Potentials, x: TensorType) -> npt.NDArray[np.int64]:
    """The smallest potential of each channel that reaches each level above 0: [channels, levels]."""
    half_steps = np.broadcast_to(np.asarray(source.scale * (rational(op.step) / 2), object), x.channels)
    zeros = np.broadcast_to(source.zero, x.channels)
    levels = ui(op.bits).hi
    exact = [smallest_above(z, h, levels) for z, h in zip(zeros, half_steps, strict=True)]
    return np.array([[within(t, source.value.type.element) for t in row] for row in exact], np.int64)


def within(threshold: int, element: ElementType) -> int:
    """The threshold, or the nearest one that says the same about every value of the type."""
    return min(max(threshold, element.lo), element.hi + 1)


@folds(nn.Reshape)
def reshape(folder: Folder, op: nn.Reshape, source: Potentials) -> Potentials:
    """The host reshapes what no integer layer reads any more."""
    if behind(op, *WEIGHTED, nn.QuantizedReLU) is None:
        raise UnfoldableError("no integer layer reads it")
    if not source.uniform and op.shape[-1] != op.x.type.channels:
        raise UnfoldableError("its channels have scales of their own")
    return replace(source, value=folder.replace(op, qnn.Reshape(source.value, op.shape)))
