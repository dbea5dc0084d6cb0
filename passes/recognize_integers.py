"""Real weights that are small multiples of one number are integers with a scale, exactly.

    %mean = nn.depthwise_conv2d %x, #w<mean/kernel, f32[2, 2, 8], 0.25> {strides = [2, 2], padding = valid}
▶
    %mean = nn.depthwise_conv2d %x, #w<mean/kernel, si8[2, 2, 8], 1> {weight_scale = #w<…, f64[], 4.0>, …}

Identities, averages and enlargements are such layers; in a quantized model they stand between quantized values.

Preconditions: none.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn2snn_ir.ir import F64, Tensor, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LAYERS
from cnn2snn_ir.passes.base import REAL, RewritePass

TOP = 127


@rule(LAYERS, "x @ w = x @ (w / u) · u, with w / u integers")
def recognize(op: Any, rewriter: Rewriter) -> bool:
    if op.weight_scale is not None:
        return False
    weights = op.weights.array.astype(np.float64)
    sizes = np.abs(weights[weights != 0])
    unit = float(sizes.min()) if sizes.size else 1.0
    multiples = np.rint(weights / unit) if sizes.max(initial=0) <= TOP * unit else weights * 0
    if not np.allclose(multiples * unit, weights, rtol=1e-7, atol=0):
        return rewriter.why_not(op, "its weights are no small multiples of the smallest")
    op.weights = Tensor.of(multiples.astype(np.int64), si(8), op.weights.name)
    op.weight_scale = Tensor.of(np.asarray(1 / unit), F64, f"{op.weights.name}_scale")
    rewriter.changed(op)
    return True


class RecognizeIntegers(RewritePass):
    """Take real weights that are integers times a number for what they are."""

    name = "recognize-integers"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (recognize,)
