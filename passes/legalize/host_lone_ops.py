"""Ops that continue no layer get an identity layer to continue.

    %sum = qnn.shift … {to = si8} : tensor<?x4x4x8xsi8>                 the output of an addition
    %relu = qnn.relu %sum : tensor<?x4x4x8xsi8>
▶
    %1 = qnn.conv2d %sum, #w<sum/identity, si8[1, 1, 8, 8], …> : tensor<?x4x4x8xsi28>
    %2 = qnn.relu %1 : tensor<?x4x4x8xsi28>
    %relu = qnn.shift %2, 0 {to = si8} : tensor<?x4x4x8xsi8>

A rectifier, a global sum and a requantization may stand alone after an addition or a concatenation, since these
have none of their own.  What follows them (`qnn.sum_pool`, `qnn.requantize`) joins the new layer, which then needs no
output of its own.  Left shifts are `materialize-alignment`'s.

Preconditions: `fold-scales`.  Contract: exact: the accumulator holds the value itself (`identity.py`), a rectifier
stays within the range of its input, and the other two compute from the value whatever its type.
Source: QuantizeML 1.2.5 (Apache-2.0) inserts the same layers after additions and concatenations.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.identity import WIDEST, ZERO, impassable, product_with_one
from cnn2snn_ir.passes.legalize.layers import main_of
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization


@legalization(qnn.ReLU, "relu(x) = relu(1 · x)")
def lone_relu(op: qnn.ReLU, rewriter: Legalizer) -> bool:
    product = host(op, rewriter)
    if product is None:
        return False
    relu = qnn.ReLU(product.results[0], op.max, op.shift)
    if ends_the_layer(op):
        rewriter.replace(op, relu)
    else:
        rewriter.insert_before(op, relu)
        rewriter.replace(op, qnn.Shift(relu.result, ZERO, op.x.type.element))
    return True


@legalization(qnn.SumPool, "sum(x) = sum(1 · x)")
def lone_sum(op: qnn.SumPool, rewriter: Legalizer) -> bool:
    return continue_layer(op, rewriter)


@legalization(qnn.Requantize, "requantize(x) = requantize(1 · x)")
def lone_requantize(op: qnn.Requantize, rewriter: Legalizer) -> bool:
    return continue_layer(op, rewriter)


@legalization(qnn.Shift, "shift(x, s) = shift(1 · x, s), if s < 0")
def lone_right_shift(op: qnn.Shift, rewriter: Legalizer) -> bool:
    if op.to.bits > WIDEST or op.shift.is_opaque or op.shift.int64.min() >= 0:
        return False
    return continue_layer(op, rewriter)


def continue_layer(op: Op, rewriter: Legalizer) -> bool:
    """Let `op` read an identity layer's accumulator."""
    product = host(op, rewriter)
    if product is None:
        return False
    op.set_operand(0, product.results[0])
    rewriter.changed(op)
    return True


def host(op: Op, rewriter: Legalizer) -> Op | None:
    """The main op of a new identity layer for `op`; None if it continues one, or none can be made."""
    if main_of(op) is not None:
        return None
    x = op.operands[0]
    if reason := impassable(x):
        rewriter.why_not(op, reason)
        return None
    rewriter.tell(op, f"put an identity layer before {{}}, a {op.op_name.partition('.')[2]} on its own")
    return product_with_one(x, op, rewriter)


def ends_the_layer(relu: qnn.ReLU) -> bool:
    """True if what follows a rectifier is the output of its layer."""
    if not relu.result.has_one_use:
        return False
    (user,) = relu.result.users
    narrow = isinstance(user, (qnn.Requantize, qnn.Shift)) and user.to.bits <= WIDEST
    return narrow or isinstance(user, qnn.SumPool)


class HostLoneOps(Legalization):
    """Put identity layers before ops that continue no layer."""

    name = "host-lone-ops"

    def rules(self) -> Sequence[Rule]:
        return (lone_relu, lone_sum, lone_requantize, lone_right_shift)
