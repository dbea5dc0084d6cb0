"""Batch normalization comes before the pooling, next to the layer that it folds into.

    %conv = nn.conv2d %x, …
    %pool = nn.max_pool %conv {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>
    %bn = nn.batch_norm %pool, …
▶
    %conv = nn.conv2d %x, …
    %0 = nn.batch_norm %conv, …
    %bn = nn.max_pool %0 {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>

An average of linear functions is the function of the average.  A maximum is so only where the function increases.

Preconditions: the pooling has no other reader; a layer with weights stands in front of it; for max pooling, no scale
is 0 or below.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LAYERS, LINEAR, applied, linear_of
from cnn2snn_ir.passes.base import REAL, RewritePass

POOLING = (nn.MaxPool, nn.AveragePool, nn.GlobalAveragePool)


@rule(LINEAR, "bn(max(x)) = max(bn(x)), if gamma > 0; bn(mean(x)) = mean(bn(x))")
def swap_pooling_batchnorm(op: Any, rewriter: Rewriter) -> bool:
    linear, pool = linear_of(op), op.x.owner
    if not isinstance(pool, POOLING) or linear is None:
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the pooling has {len(op.x.uses)} readers")
    if not layer_in_front(pool):
        return rewriter.why_not(op, "no layer in front of the pooling could take it")
    if isinstance(pool, nn.MaxPool) and (count := int((linear.scale <= 0).sum())):
        return rewriter.why_not(op, f"gamma is not above 0 in {count} of {op.x.type.channels} channels")
    normalized = rewriter.insert_before(op, applied(op, pool.x))
    pooled = rewriter.insert_before(op, applied(pool, normalized.results[0]))
    rewriter.replace_with(op, pooled.results[0])
    rewriter.erase(pool)
    return True


def layer_in_front(pool: Op) -> bool:
    """True if only what folds, too, and other poolings stand between this one and a layer with weights."""
    owner = pool.operands[0].owner
    return isinstance(owner, LAYERS) or (isinstance(owner, (*POOLING, *LINEAR)) and layer_in_front(owner))


class SwapPoolingBatchnorm(RewritePass):
    """Move batch normalization in front of the pooling that it reads."""

    name = "swap-pooling-batchnorm"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (swap_pooling_batchnorm,)
