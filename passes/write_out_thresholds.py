"""A rescaling to few levels becomes a table of the potentials at which each level begins.

    %y = qnn.rescale %x, #w<zero, f64[16], …>, #w<step, f64[16], …> {to = ui4}
▶
    %y = qnn.threshold %x, #w<y/thresholds, si33[16, 15]> {to = ui4}

What Akida 1's neurons are made from.  A level that no potential reaches begins above all of them.

Preconditions: `fold-quantized-activations`.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.analysis.requantizers import wanted_boundaries
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Tensor, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass
from cnn2snn_ir.reference.rounding import rescale

MOST_BITS = 8
"""Levels of a table: a row of 255 thresholds a channel."""


@rule(qnn.Rescale, "rescale(x) = low + number of thresholds t with x >= t")
def write_out(op: qnn.Rescale, rewriter: Rewriter) -> bool:
    if op.to.bits > MOST_BITS:
        return rewriter.why_not(op, f"it has {op.to.bits} bits, and thresholds are written out for up to {MOST_BITS}")
    low, high = op.limits
    channels, element = op.x.type.channels, op.x.type.element
    lo, hi = (np.full(channels, bound, np.int64) for bound in (element.lo, element.hi))
    thresholds = wanted_boundaries(lambda p: rescale(op, p), np.arange(low + 1, high + 1), lo, hi)
    name = f"{op.result.name or 'activation'}/thresholds"
    table = Tensor.of(thresholds, si(element.bits + 1), name)
    rewriter.replace(op, qnn.Threshold(op.x, table, op.to, low))
    return True


class WriteOutThresholds(RewritePass):
    """Turn rescalings into thresholds."""

    name = "write-out-thresholds"
    requires = Level.QNN
    ensures = Level.QNN

    def rules(self) -> Sequence[Rule]:
        return (write_out,)
