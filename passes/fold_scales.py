"""Scale folding: a product with a mantissa and the shift after it become one requantization; shifts merge.

    %1 = qnn.scale %0, #w<mantissa> : tensor<?x8x8x16xsi33>
    %2 = qnn.shift %1, #w<shift> {to = si8} : tensor<?x8x8x16xsi8>
▶
    %2 = qnn.requantize %0, #w<mantissa>, #w<shift> {to = si8} : tensor<?x8x8x16xsi8>

Preconditions: none; the product must have no other user.  Contract: exact, because a requantization is
defined as the two steps with the product's own saturation (its `buffer`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Tensor, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass


@rule(qnn.Shift, "shift(scale(x, m), s) = requantize(x, m, s)")
def scale_then_shift(op: qnn.Shift, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, qnn.Scale):
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the product has {len(op.x.uses)} users")
    rewriter.replace(op, qnn.Requantize(inner.x, inner.mantissa, op.shift, op.to, inner.to), inner)
    return True


@rule(qnn.Shift, "shift(shift(x, a), b) = shift(x, a + b), if a >= 0 and nothing saturates in between")
def merge_shifts(op: qnn.Shift, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, qnn.Shift) or not op.x.has_one_use or op.shift.is_opaque or inner.shift.is_opaque:
        return False
    if inner.shift.int64.min() < 0:
        return rewriter.why_not(op, "the first shift rounds")
    if not always_fits(inner):
        return rewriter.why_not(op, f"the first shift may saturate to {inner.to}")
    total = op.shift.int64 + inner.shift.int64
    rewriter.replace(op, qnn.Shift(inner.x, Tensor.of(total, si(8), op.shift.name), op.to), inner)
    return True


def always_fits(op: qnn.Shift) -> bool:
    """True if the left shift of any value of the operand's type lies in the result's type."""
    most = int(np.max(op.shift.int64))
    element = op.x.type.element
    return op.to.lo <= element.lo << most and element.hi << most <= op.to.hi


RULES = (scale_then_shift, merge_shifts)


class FoldScales(RewritePass):
    """Fold mantissas and shifts into requantizations."""

    name = "fold-scales"
    anchors = ("builtin.module", "qnn.block")

    def rules(self) -> Sequence[Rule]:
        return RULES
