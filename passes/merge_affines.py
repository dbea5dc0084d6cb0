"""Linear functions of channels that follow each other become one, and those of the input say what its integers mean.

    %bn = nn.batch_norm %add, #w<gamma>, #w<beta>, #w<mean>, #w<variance> {epsilon = 0.001}
    %y = nn.affine %bn, #w<scale>
▶
    %y = nn.affine %add, #w<y/scale, f64[32]> {offset = #w<y/offset, f64[32]>}

`(x - shift) / scale · a + b` is again an input scaling, by `scale / a` and `shift - b · scale / a`, if all channels
have one `a` above 0 and one `b`.

Preconditions: the first function has no other reader.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LINEAR, label, linear_of
from cnn2snn_ir.passes.base import REAL, RewritePass


@rule(LINEAR, "a2 · (a1 · x + b1) + b2 = (a1 · a2) · x + a2 · b1 + b2")
def merge_affines(op: Any, rewriter: Rewriter) -> bool:
    second, first = linear_of(op), linear_of(op.x.owner)
    if first is None or second is None:
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the function that it reads has {len(op.x.uses)} readers")
    rewriter.replace(op, second.after(first).op(op.x.owner.operands[0], label(op)), op.x.owner)
    return True


@rule(LINEAR, "a · (x - s) / c + b = (x - (s - b · c / a)) / (c / a), if a > 0")
def scale_input(op: Any, rewriter: Rewriter) -> bool:
    linear, inner = linear_of(op), op.x.owner
    if not isinstance(inner, nn.InputScaling) or linear is None:
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the input's scaling has {len(op.x.uses)} readers")
    if not (linear.is_uniform and linear.scale.flat[0] > 0):
        return rewriter.why_not(op, "its scale is not one number above 0, or its offset not one number")
    scale = inner.scale / float(linear.scale.flat[0])
    shift = inner.shift - float(linear.offset.flat[0]) * scale
    rewriter.replace(op, nn.InputScaling(inner.x, scale, shift), inner)
    return True


@rule(LINEAR, "1 · x + 0 = x")
def drop_identity(op: Any, rewriter: Rewriter) -> bool:
    linear = linear_of(op)
    if linear is None or (linear.scale != 1).any() or linear.offset.any():
        return False
    rewriter.replace_with(op, op.x)
    return True


class MergeAffines(RewritePass):
    """Merge linear functions of channels that follow each other."""

    name = "merge-affines"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return drop_identity, merge_affines, scale_input
