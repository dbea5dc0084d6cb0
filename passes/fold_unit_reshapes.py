"""A vector that becomes a map of one position again stays a map: the pooling in front of it keeps its dimensions.

    %mean = nn.global_average_pool %conv : tensor<?x64xf32>
    %re_lu = nn.quantized_relu %mean {bits = 4, step = 0.4} : tensor<?x64xf32>
    %map = nn.reshape %re_lu {shape = [1, 1, 64]} : tensor<?x1x1x64xf32>
▶
    %0 = nn.global_average_pool %conv {keepdims = true} : tensor<?x1x1x64xf32>
    %map = nn.quantized_relu %0 {bits = 4, step = 0.4} : tensor<?x1x1x64xf32>

Hardware layers read maps only, and the way from one to the next has no room for a reshape.

Preconditions: nothing else reads the vector; only activations stand in between.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass
from cnn2snn_ir.passes.swap_activation_pooling import activation_of


@rule(nn.Reshape, "reshape(relu(mean(x))) = relu(mean(x) with its dimensions)")
def fold_unit_reshapes(op: nn.Reshape, rewriter: Rewriter) -> bool:
    activations: list[nn.QuantizedReLU | nn.ReLU] = []
    value = op.x
    while isinstance(value.owner, nn.QuantizedReLU | nn.ReLU) and value.has_one_use:
        activations.append(value.owner)
        value = value.owner.x
    pool = value.owner
    if not isinstance(pool, nn.GlobalAveragePool) or op.shape != (1, 1, op.x.type.channels):
        return False
    if not value.has_one_use:
        return rewriter.why_not(op, f"the vector has {len(value.uses)} readers")
    last: Op = rewriter.insert_before(op, nn.GlobalAveragePool(pool.x, keepdims=True, loc=pool.loc))
    for activation in reversed(activations):
        last = rewriter.insert_before(op, activation_of(activation, last.results[0]))
    rewriter.replace_with(op, last.results[0])
    for dead in (*activations, pool):
        rewriter.erase_if_unused(dead)
    return True


class FoldUnitReshapes(RewritePass):
    """Keep the dimensions of pooled maps that become maps again."""

    name = "fold-unit-reshapes"

    def rules(self) -> Sequence[Rule]:
        return (fold_unit_reshapes,)
