"""Canonical form: what can be written in one way is written in that way.

    %1 = qnn.shift %0, 0 {to = si28}        (its input fits si28)
    %2 = qnn.reshape %1 {shape = [4, 4, 8]}
    %3 = qnn.reshape %2 {shape = [128]}
▶
    %3 = qnn.reshape %0 {shape = [128]}

Preconditions: none.  Contract: exact.  Ops whose results nobody uses disappear.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.ir import ElementType, Op, Tensor, Value
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass


def holds(wide: ElementType, narrow: ElementType) -> bool:
    """True if every value of `narrow` is one of `wide`."""
    return wide.lo <= narrow.lo and narrow.hi <= wide.hi


def uniform(tensor: Tensor) -> int | None:
    """The one value of an integer constant, if it has one and its bytes are here."""
    return None if tensor.is_opaque or not isinstance(tensor.splat, int) else tensor.splat


def as_scalar(tensor: Tensor | None) -> Tensor | None:
    """The constant without its dimension, if all channels share one value and it has one."""
    if tensor is None or tensor.type.shape == () or tensor.is_opaque or tensor.splat is None:
        return None
    return Tensor.of(np.asarray(tensor.array.flat[0]), tensor.type.element, tensor.name)


@rule(qnn.Shift, "shift(x, 0) = x, if the result type holds x")
def drop_zero_shift(op: qnn.Shift, rewriter: Rewriter) -> bool:
    if uniform(op.shift) != 0 or not holds(op.to, op.x.type.element):
        return False
    # The value must go on in the type that its users were given.
    if op.to != op.x.type.element and not all(map(takes_any_integer, op.result.users)):
        return False
    rewriter.replace_with(op, op.x)
    return True


def takes_any_integer(op: Op) -> bool:
    """True for ops whose result type does not follow from their operands' element types."""
    return isinstance(op, (qnn.Conv2D, qnn.DepthwiseConv2D, qnn.Dense, qnn.Add, qnn.Shift, qnn.Scale, qnn.Requantize))


@rule(qnn.Reshape, "reshape(reshape(x)) = reshape(x)")
def merge_reshapes(op: qnn.Reshape, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, qnn.Reshape):
        return False
    rewriter.replace(op, qnn.Reshape(inner.x, op.shape), inner)
    return True


@rule(qnn.Reshape, "reshape(x) = x, if the shape is the same")
def drop_same_reshape(op: qnn.Reshape, rewriter: Rewriter) -> bool:
    return drop_if_same_type(op, op.x, rewriter)


@rule(nn.Reshape, "reshape(x) = x, if the shape is the same")
def drop_same_float_reshape(op: nn.Reshape, rewriter: Rewriter) -> bool:
    return drop_if_same_type(op, op.x, rewriter)


@rule(nn.Reshape, "reshape(reshape(x)) = reshape(x)")
def merge_float_reshapes(op: nn.Reshape, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, nn.Reshape):
        return False
    rewriter.replace(op, nn.Reshape(inner.x, op.shape), inner)
    return True


@rule(nn.Activation, "linear(x) = x")
def drop_linear(op: nn.Activation, rewriter: Rewriter) -> bool:
    if op.function is not nn.Function.LINEAR:
        return False
    rewriter.replace_with(op, op.x)
    return True


def drop_if_same_type(op: Op, x: Value, rewriter: Rewriter) -> bool:
    """Replace an op that changes nothing by its operand."""
    if x.type != op.results[0].type:
        return False
    rewriter.replace_with(op, x)
    return True


@rule(qnn.ReLU, "relu(relu(x)) = relu(x), the bound of the one that has one")
def merge_relus(op: qnn.ReLU, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, qnn.ReLU) or (op.max is not None and inner.max is not None):
        return False
    bounded = op if op.max is not None else inner
    rewriter.replace(op, qnn.ReLU(inner.x, bounded.max, bounded.shift), inner)
    return True


@rule(qnn.Concat, "concat(x) = x")
def drop_single_concat(op: qnn.Concat, rewriter: Rewriter) -> bool:
    if len(op.parts) != 1:
        return False
    rewriter.replace_with(op, op.parts[0])
    return True


def scalar_rule(root: type[Op], *names: str) -> Rule:
    """One value for all channels is written once."""

    def write_once(op: Op, rewriter: Rewriter) -> bool:
        shorter = {n: as_scalar(getattr(op, n)) for n in names}
        for name, tensor in shorter.items():
            if tensor is not None:
                setattr(op, name, tensor)
        found = any(t is not None for t in shorter.values())
        if found:
            rewriter.changed(op)
        return found

    return Rule(f"write-once-{root.op_name}", (root,), "[v, v, …, v] = v", write_once)


RULES = (
    drop_zero_shift,
    merge_reshapes,
    drop_same_reshape,
    drop_same_float_reshape,
    merge_float_reshapes,
    drop_linear,
    merge_relus,
    drop_single_concat,
    scalar_rule(qnn.Shift, "shift"),
    scalar_rule(qnn.Scale, "mantissa"),
    scalar_rule(qnn.Requantize, "mantissa", "shift"),
    scalar_rule(qnn.ReLU, "max", "shift"),
    scalar_rule(qnn.BiasAdd, "shift"),
)


class Canonicalize(RewritePass):
    """Write everything in its one canonical way and erase what nobody uses."""

    name = "canonicalize"
    anchors = ("builtin.module", "qnn.block")

    def rules(self) -> Sequence[Rule]:
        return RULES
