"""Batch normalization, and any other linear function of channels, becomes part of the layer that it reads.

    %conv = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias>, weight_scale = #w<scale>}
    %bn = nn.batch_norm %conv, #w<gamma>, #w<beta>, #w<mean>, #w<variance> {epsilon = 0.001}
▶
    %bn = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias, f64[32]>, weight_scale = #w<scale, f64[32]>}

With `a = gamma / sqrt(variance + epsilon)` the bias becomes `beta + (bias - mean) · a`.  Float weights are multiplied
by `a`.  Integers stay: they take the sign of `a`, and their scale is divided by `|a|`.

Preconditions: the layer has no other reader; where weights are integers, no gamma is 0.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn2snn_ir.ir import F64, Tensor
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LAYERS, LINEAR, bias_name, floats, linear_of, reweighted
from cnn2snn_ir.passes.base import REAL, RewritePass


@rule(LINEAR, "a · (x @ w + b) + c = x @ (a · w) + a · b + c")
def fold_batchnorm(op: Any, rewriter: Rewriter) -> bool:
    linear, inner = linear_of(op), op.x.owner
    assert linear is not None
    if not isinstance(inner, LAYERS):
        return rewriter.why_not(op, f"it reads {inner.op_name}, and not a layer with weights")
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the layer has {len(op.x.uses)} readers")
    bias = floats(inner.bias) * linear.scale + linear.offset
    if inner.weight_scale is None:
        rewriter.replace(op, reweighted(inner, floats(inner.weights) * linear.scale, bias), inner)
        return True
    if not linear.scale.all():
        return rewriter.why_not(op, f"gamma is 0 in {int((linear.scale == 0).sum())} of {op.x.type.channels} channels")
    element = inner.weights.type.element
    turned = inner.weights.int64 * np.sign(linear.scale).astype(np.int64)
    if not element.contains(turned):
        return rewriter.why_not(op, f"{element} does not hold the weights with the other sign")
    copy = inner.clone()
    copy.result.name = None
    copy.weights = Tensor.of(turned, element, inner.weights.name)
    copy.weight_scale = Tensor.of(floats(inner.weight_scale) / np.abs(linear.scale), F64, inner.weight_scale.name)
    copy.bias = Tensor.of(bias, F64, bias_name(inner))
    rewriter.replace(op, copy, inner)
    return True


class FoldBatchnorm(RewritePass):
    """Fold batch normalization and other linear functions of channels into the layers in front of them."""

    name = "fold-batchnorm"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (fold_batchnorm,)
