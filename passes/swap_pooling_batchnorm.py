"""Batch normalization comes before the pooling, next to the layer that it folds into.

    %pool = nn.max_pool %conv {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>
    %bn = nn.batch_norm %pool, …
▶
    %0 = nn.batch_norm %conv, …
    %bn = nn.max_pool %0 {size = [2, 2], strides = [2, 2]} : tensor<?x7x7x32xf32>

An average of linear functions is the function of the average.  A maximum is so only where the function increases.

Preconditions: the pooling has no other reader; for max pooling, gamma above 0.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import REAL, RewritePass


@rule(nn.BatchNorm, "bn(max(x)) = max(bn(x)), if gamma > 0; bn(mean(x)) = mean(bn(x))")
def swap_pooling_batchnorm(op: nn.BatchNorm, rewriter: Rewriter) -> bool:
    pool = op.x.owner
    if not isinstance(pool, nn.MaxPool | nn.GlobalAveragePool):
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the pooling has {len(op.x.uses)} readers")
    if isinstance(pool, nn.MaxPool) and (count := not_increasing(op)):
        return rewriter.why_not(op, f"gamma is not above 0 in {count} of {op.x.type.channels} channels")
    normalized = nn.BatchNorm(pool.x, op.gamma, op.beta, op.mean, op.variance, op.epsilon, loc=op.loc)
    rewriter.insert_before(op, normalized)
    pooled = rewriter.insert_before(op, pool_of(pool, normalized.result))
    rewriter.replace_with(op, pooled.results[0])
    rewriter.erase(pool)
    return True


def not_increasing(op: nn.BatchNorm) -> int:
    """How many channels a batch normalization turns around or makes constant."""
    return int((op.gamma.array <= 0).sum())


def pool_of(pool: nn.MaxPool | nn.GlobalAveragePool, x: Value) -> Op:
    """The same pooling of `x`."""
    if isinstance(pool, nn.MaxPool):
        return nn.MaxPool(x, pool.size, pool.strides, pool.padding, loc=pool.loc)
    return nn.GlobalAveragePool(x, pool.keepdims, loc=pool.loc)


class SwapPoolingBatchnorm(RewritePass):
    """Move batch normalization in front of the pooling that it reads."""

    name = "swap-pooling-batchnorm"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (swap_pooling_batchnorm,)
