"""A layer with two inputs reads two tensors: where both are one, the second goes through an identity layer.

    %y = qnn.add %x, %x
▶
    %0 = qnn.conv2d %x, #w<x/identity, si8[1, 1, 8, 8], …> : tensor<?x4x4x8xsi28>
    %x_identity = qnn.shift %0, 0 {to = si8}
    %y = qnn.add %x, %x_identity

The tensors are compared before their alignment, since the layer itself aligns its inputs.

Preconditions: none.  Contract: exact; see `identity.py`.  Source: QuantizeML 1.2.5 (Apache-2.0) does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Value
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.identity import WIDEST, identity, impassable
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization


@legalization(qnn.Concat, "concat(x, x) = concat(x, identity(x))")
def concat_of_twins(op: qnn.Concat, rewriter: Legalizer) -> bool:
    return separate(op, rewriter)


@legalization(qnn.Add, "x + x = x + identity(x)")
def sum_of_twins(op: qnn.Add, rewriter: Legalizer) -> bool:
    return separate(op, rewriter)


def separate(op: qnn.Add | qnn.Concat, rewriter: Legalizer) -> bool:
    """Give the second operand of two equal ones a layer of its own."""
    if len(op.operands) != 2:
        return False
    first, second = op.operands
    x = unaligned(second)
    if unaligned(first) is not x:
        return False
    if reason := impassable(x):
        return rewriter.why_not(op, reason)
    rewriter.tell(op, "put an identity layer before the second input of {}, which is the first one too")
    copy = identity(x, op, rewriter)
    if isinstance(second.owner, qnn.Shift) and second is not x:
        copy = rewriter.insert_before(op, qnn.Shift(copy, second.owner.shift, second.owner.to)).results[0]
    op.set_operand(1, copy)
    rewriter.changed(op)
    rewriter.erase_if_unused(second.owner)
    return True


def unaligned(value: Value) -> Value:
    """The tensor that a layer reads, before it aligns it in its accumulator."""
    shift = value.owner
    return shift.x if isinstance(shift, qnn.Shift) and shift.to.bits > WIDEST else value


class SeparateTwins(Legalization):
    """Put an identity layer between a tensor and its second use in one addition or concatenation."""

    name = "separate-twins"

    def rules(self) -> Sequence[Rule]:
        return (concat_of_twins, sum_of_twins)
