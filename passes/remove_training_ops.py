"""Training-only layers go: dropout and noise give what they read once a model is trained.

    %dropout = nn.dropout %re_lu : tensor<?x1024xf32>
    %dense = nn.dense %dropout, …
▶
    %dense = nn.dense %re_lu, …

Preconditions: none.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass


@rule(nn.Dropout, "dropout(x) = x")
def remove_training_ops(op: nn.Dropout, rewriter: Rewriter) -> bool:
    rewriter.replace_with(op, op.x)
    return True


class RemoveTrainingOps(RewritePass):
    """Remove the layers that act while training only."""

    name = "remove-training-ops"

    def rules(self) -> Sequence[Rule]:
        return (remove_training_ops,)
