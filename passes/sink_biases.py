"""Bias sinking: a bias in front of a pooling goes behind it, where it can become part of a threshold.

    %1 = qnn.bias_add %0, #w<bias> {shift = #w<bias_shift>} : tensor<?x8x8x16xsi28>
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2], padding = same} : tensor<?x4x4x16xsi28>
▶
    %1 = qnn.max_pool %0 {size = [2, 2], strides = [2, 2], padding = same} : tensor<?x4x4x16xsi28>
    %2 = qnn.bias_add %1, #w<bias> {shift = #w<bias_shift>} : tensor<?x4x4x16xsi28>

Adding a constant never changes which of two numbers is larger, so it and a maximum commute, saturation included.
Behind a sum over the map the bias counts once for every position; that is exact only where nothing saturates.

Preconditions: the bias has no other user; for a sum, the proven ranges stay inside of their types.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Tensor, Value, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rewrite, rule
from cnn2snn_ir.passes.base import Pass, PassContext

BIAS = si(63)
"""Holds any bias times any number of positions."""


@rule(qnn.MaxPool, "max(x + b) = max(x) + b")
def bias_behind_max(op: qnn.MaxPool, rewriter: Rewriter) -> bool:
    bias = op.x.owner
    if not isinstance(bias, qnn.BiasAdd):
        return False
    if not op.x.has_one_use:
        return rewriter.why_not(op, "the sum with the bias has other users")
    pool = rewriter.insert_before(op, qnn.MaxPool(bias.x, op.size, op.strides, op.padding, loc=op.loc))
    rewriter.replace(op, qnn.BiasAdd(pool.results[0], bias.bias, bias.shift), bias)
    return True


def bias_behind_sum(ranges: Mapping[Value, Range]) -> Rule:
    """The rule for sums, for values of proven ranges."""

    def sink(op: qnn.SumPool, rewriter: Rewriter) -> bool:
        bias = op.x.owner
        if not isinstance(bias, qnn.BiasAdd):
            return False
        if not op.x.has_one_use:
            return rewriter.why_not(op, "the sum with the bias has other users")
        if any(may_saturate(value, ranges) for value in (bias.x, bias.result, op.result)):
            return rewriter.why_not(op, "the sum or the bias may saturate")
        _, rows, columns, _ = op.x.type.shape
        total = (bias.bias.int64 << bias.shift.int64) * (rows or 0) * (columns or 0)
        pool = rewriter.insert_before(op, qnn.SumPool(bias.x, op.keepdims, op.acc, loc=op.loc))
        sums, no_shift = Tensor.of(total, BIAS, bias.bias.name), Tensor.of(np.asarray(0), si(8), bias.shift.name)
        rewriter.replace(op, qnn.BiasAdd(pool.results[0], sums, no_shift), bias)
        return True

    return Rule("bias-behind-sum", (qnn.SumPool,), "sum(x + b) = sum(x) + n · b, if nothing saturates", sink)


def may_saturate(value: Value, ranges: Mapping[Value, Range]) -> bool:
    """True unless the range of a value is proven to lie inside of its type; of an unknown value, too."""
    proven, element = ranges.get(value), value.type.element
    return proven is None or proven.least <= element.lo or proven.greatest >= element.hi


class SinkBiases(Pass):
    """Move biases behind poolings."""

    name = "sink-biases"

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        rewriter = Rewriter()
        changed = rewrite(op.body, [bias_behind_max], rewriter)
        changed |= rewrite(op.body, [bias_behind_sum(value_ranges(op))], rewriter)
        context.absorb(self.name, rewriter)
        return changed
