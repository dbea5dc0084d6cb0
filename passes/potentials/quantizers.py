"""Quantized activations of any grid, and the functions that become tables."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.dialects.builtin import Input
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.ir import F32, F64, Op, Tensor, Value, si
from cnn2snn_ir.passes.potentials.folder import (
    Folder,
    Potentials,
    Rationals,
    UnfoldableError,
    floats,
    folds,
    rational,
)
from cnn2snn_ir.passes.quantization.groups import feeds_layer
from cnn2snn_ir.passes.quantization.schemes import INDEX
from cnn2snn_ir.reference.nn import activation as computed
from cnn2snn_ir.reference.nn import fake_quantize as quantized

WIDEST = 16
"""Bits of a quantized activation, at most."""

TABLE = si(14)
"""What a table holds; source: QuantizeML 1.2.5."""


@folds(nn.FakeQuantize)
def fake_quantize(folder: Folder, op: nn.FakeQuantize, source: Potentials | None = None) -> Potentials:
    if not feeds_layer(op.result):
        raise UnfoldableError("no layer reads what it quantizes")
    if op.to.bits > WIDEST:
        raise UnfoldableError(f"it quantizes to {op.to.bits} bits, and a layer reads {WIDEST} at most")
    unit = rational(op.scale)
    zero = np.zeros((), np.int64) if op.zero_point is None else op.zero_point.int64
    low, high = op.limits
    if source is None:
        value = folder.replace(op, input_quantizer(op))
    else:
        if source.low is not None and zero.ndim == 0:
            low = max(low, level_of(source.low, op))
        if source.high is not None and zero.ndim == 0:
            high = min(high, level_of(source.high, op))
        if source.rectified and (zero.ndim or unit.ndim):
            raise UnfoldableError("it quantizes each channel on a grid of its own behind a rectifier")
        step = np.asarray(source.scale * unit, object)
        name = op.result.name or "rescale"
        new = qnn.Rescale(
            source.value,
            Tensor.of(floats(source.zero), F64, f"{name}/zero"),
            Tensor.of(floats(step), F64, f"{name}/step"),
            op.to,
            op.zero_point,
            None if low == op.to.lo else low,
            None if high == op.to.hi else high,
            op.rounding,
        )
        value = folder.replace(op, new)
    told(value.owner, unit, zero)
    return Potentials(value, np.asarray(1 / unit, object), exact(zero), max(abs(low), abs(high)))


def input_quantizer(op: nn.FakeQuantize) -> Op:
    """The quantizer of a float input."""
    if not isinstance(op.x.owner, Input):
        raise UnfoldableError(f"{op.x.owner.op_name} in front of it is computed in floats")
    if op.narrow or op.rounding is not Rounding.HALF_EVEN or op.to.bits > 8:
        raise UnfoldableError("the input's quantizer rounds half to even, to 8 bits")
    return qnn.QuantizeLinear(op.x, op.scale, op.to, op.zero_point)


def level_of(real: Fraction, op: nn.FakeQuantize) -> int:
    """The integer that a real is quantized to, before the scale is any channel's own."""
    levels = quantized(op, np.full((1, 1), float(real))) / op.scale.array.astype(np.float64)
    return round(float(np.ravel(levels)[0])) + (0 if op.zero_point is None else int(np.ravel(op.zero_point.int64)[0]))


def exact(integers: npt.NDArray[np.int64]) -> Rationals:
    """Integers as fractions."""
    found = np.empty(integers.shape, object)
    for index in np.ndindex(integers.shape):
        found[index] = Fraction(int(integers[index]))
    return found


def told(op: Op, unit: Rationals, zero: npt.NDArray[np.int64]) -> None:
    """What the integers of an op stand for, where their 0 is the real 0."""
    if not zero.any():
        op.annotations["frac_bits"] = Tensor.of(np.asarray(0), si(16), "frac_bits")
        op.annotations["scale"] = Tensor.of(floats(unit), F32, "scale")


@folds(nn.Activation)
def activation(folder: Folder, op: nn.Activation, source: Potentials) -> Potentials:
    """Index and result are quantized: the table holds a result for every index."""
    if op.function is Function.LINEAR:
        folder.rewriter.replace_with(op, source.value)
        return source
    rescale = source.value.owner
    reader = op.result.users[0] if op.result.has_one_use else None
    if not isinstance(rescale, qnn.Rescale) or not source.uniform or rescale.to.bits > INDEX.bits:
        raise UnfoldableError(f"its input is not quantized to at most {INDEX.bits} bits")
    if not isinstance(reader, nn.FakeQuantize) or reader.to.bits > TABLE.bits or reader.zero_point is not None:
        raise UnfoldableError("its result is not quantized right behind it, with the zero point 0")
    index = as_index(folder, rescale, op)
    levels = np.clip(np.arange(INDEX.lo, INDEX.hi + 1), *rescale.limits)
    reals = (levels - float(source.zero.item())) / float(source.scale.item())
    unit = float(reader.scale.array.item())
    results = np.rint(quantized(reader, computed(op, reals)) / unit).astype(np.int64)
    table = Tensor.of(results, TABLE, f"{op.result.name or op.function}/table")
    looked_up = folder.insert(op, qnn.Lookup(index, table, loc=op.loc))
    none = Tensor.of(np.asarray(0), si(8), "shift")
    narrowed = folder.rewriter.insert_before(op, qnn.Shift(looked_up, none, reader.to, loc=op.loc)).results[0]
    folder.rewriter.replace_with(reader, narrowed)
    folder.rewriter.erase(op)
    told(narrowed.owner, rational(unit), np.zeros((), np.int64))
    return Potentials(narrowed, np.asarray(1 / rational(unit), object), rational(None), max(map(abs, reader.limits)))


def as_index(folder: Folder, rescale: qnn.Rescale, reader: Op) -> Value:
    """The quantized input as a table's index; the table repeats its ends where the model clips."""
    new = qnn.Rescale(rescale.x, rescale.zero, rescale.step, INDEX, rescale.offset, rounding=rescale.rounding)
    new.annotations.update(rescale.annotations)
    new.loc = rescale.loc
    return folder.insert(reader, new)


# ---- joins --------------------------------------------------------------------------------------------------------


@folds(nn.Add)
def add(folder: Folder, op: nn.Add, a: Potentials, b: Potentials) -> Potentials:
    """Integers of scales that are a power of two apart, the coarser ones shifted."""
    if not (a.uniform and b.uniform and a.centred and b.centred) or a.rectified or b.rectified:
        raise UnfoldableError("its operands are not quantized alike: each with one scale, and the zero point 0")
    finer = max(a.scale.item(), b.scale.item())
    operands = [aligned(folder, op, part, finer) for part in (a, b)]
    bound = sum(bound for _, bound in operands)
    value = folder.replace(op, qnn.Add(operands[0][0], operands[1][0], si(32)))
    return Potentials(value, np.asarray(finer, object), rational(None), bound)


def aligned(folder: Folder, op: Op, part: Potentials, scale: Fraction) -> tuple[Value, int]:
    """An operand shifted to a finer scale, and its bound."""
    ratio = scale / part.scale.item()
    if ratio.denominator != 1 or ratio.numerator & (ratio.numerator - 1):
        raise UnfoldableError(f"its operands have scales that are {float(ratio):g} apart, which is no power of two")
    shift = ratio.numerator.bit_length() - 1
    if shift == 0:
        return part.value, part.bound
    by = Tensor.of(np.asarray(shift), si(8), "shift")
    return folder.insert(op, qnn.Shift(part.value, by, si(32))), part.bound << shift


@folds(nn.Concat)
def concat(folder: Folder, op: nn.Concat, *parts: Potentials) -> Potentials:
    """Integers of one grid."""
    first = parts[0]
    alike = all(p.uniform and p.scale == first.scale and p.zero == first.zero and not p.rectified for p in parts)
    if not alike:
        raise UnfoldableError("its parts are not on one grid")
    value = folder.replace(op, qnn.Concat(tuple(p.value for p in parts), op.axis))
    return replace(first, value=value, bound=max(p.bound for p in parts))


@folds(nn.Transpose)
def transpose(folder: Folder, op: nn.Transpose, source: Potentials) -> Potentials:
    if not source.uniform:
        raise UnfoldableError("its channels have scales of their own")
    value = folder.replace(op, qnn.Transpose(source.value, op.order))
    return replace(source, value=value)
