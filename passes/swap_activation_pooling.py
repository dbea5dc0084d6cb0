"""Pooling comes before the activation, as Akida 1 computes them.

    %re_lu = nn.quantized_relu %conv {bits = 4, step = 0.4} : tensor<?x14x14x32xf32>
    %pool = nn.max_pool %re_lu {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>
▶
    %0 = nn.max_pool %conv {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>
    %pool = nn.quantized_relu %0 {bits = 4, step = 0.4} : tensor<?x7x7x32xf32>

A rectifier never decreases, so the largest of its results is its result for the largest.  An average has no such
property.

Preconditions: the activation has no other reader.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass


@rule((nn.MaxPool, nn.GlobalAveragePool), "max(relu(x)) = relu(max(x)); mean(relu(x)) is not relu(mean(x))")
def swap_activation_pooling(op: nn.MaxPool | nn.GlobalAveragePool, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, nn.QuantizedReLU | nn.ReLU):
        return False
    if isinstance(op, nn.GlobalAveragePool):
        return rewriter.why_not(op, "an average of levels is not a level of the average")
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the activation has {len(op.x.uses)} readers")
    pooled = rewriter.insert_before(op, nn.MaxPool(inner.x, op.size, op.strides, op.padding))
    activated = rewriter.insert_before(op, activation_of(inner, pooled.results[0]))
    rewriter.replace_with(op, activated.results[0])
    rewriter.erase(inner)
    return True


def activation_of(op: nn.QuantizedReLU | nn.ReLU, x: Value) -> Op:
    """The same activation of `x`."""
    if isinstance(op, nn.QuantizedReLU):
        return nn.QuantizedReLU(x, op.bits, op.step, loc=op.loc)
    return nn.ReLU(x, op.max_value, loc=op.loc)


class SwapActivationPooling(RewritePass):
    """Move max pooling in front of the activation that it reads."""

    name = "swap-activation-pooling"

    def rules(self) -> Sequence[Rule]:
        return (swap_activation_pooling,)
