"""Batch normalization becomes part of the layer that it reads.

    %conv = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias>, weight_scale = #w<scale>}
    %bn = nn.batch_norm %conv, #w<gamma>, #w<beta>, #w<mean>, #w<variance> {epsilon = 0.001}
▶
    %bn = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias, f64[32]>, weight_scale = #w<scale, f64[32]>}

With `a = gamma / sqrt(variance + epsilon)` the bias becomes `beta + (bias - mean) · a`.  Float weights are multiplied
by `a`.  Integers stay: they take the sign of `a`, and their scale is divided by `|a|`.

Preconditions: the layer has no other reader; no gamma is 0.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import F64, Tensor
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import REAL, RewritePass

Floats = npt.NDArray[np.float64]


@rule(nn.BatchNorm, "bn(x @ w + b) = x @ (a · w) + beta + (b - mean) · a")
def fold_batchnorm(op: nn.BatchNorm, rewriter: Rewriter) -> bool:
    inner = op.x.owner
    if not isinstance(inner, nn.Conv2D | nn.Dense):
        return rewriter.why_not(op, f"it reads {inner.op_name}, and not a convolution or a dense layer")
    if not op.x.has_one_use:
        return rewriter.why_not(op, f"the layer has {len(op.x.uses)} readers")
    slope = floats(op.gamma) / np.sqrt(floats(op.variance) + op.epsilon)
    if not slope.all():
        return rewriter.why_not(op, f"gamma is 0 in {int((slope == 0).sum())} of {op.x.type.channels} channels")
    turned = None if inner.weight_scale is None else inner.weights.int64 * np.sign(slope).astype(np.int64)
    if turned is not None and not inner.weights.type.element.contains(turned):
        return rewriter.why_not(op, f"{inner.weights.type.element} does not hold the weights with the other sign")
    copy = inner.clone()
    copy.result.name = None
    if turned is None:
        copy.weights = Tensor.of(floats(inner.weights) * slope, F64, inner.weights.name)
    else:
        assert inner.weight_scale is not None
        copy.weights = Tensor.of(turned, inner.weights.type.element, inner.weights.name)
        copy.weight_scale = Tensor.of(floats(inner.weight_scale) / np.abs(slope), F64, inner.weight_scale.name)
    copy.bias = Tensor.of(floats(op.beta) + (floats(inner.bias) - floats(op.mean)) * slope, F64, bias_name(inner))
    rewriter.replace(op, copy, inner)
    return True


def floats(tensor: Tensor | None) -> Floats:
    """A constant as float64; one that is not there is 0."""
    return np.zeros(()) if tensor is None else tensor.array.astype(np.float64)


def bias_name(op: Any) -> str:
    """What the bias of a layer is called, or would be."""
    if op.bias is not None:
        return str(op.bias.name)
    return f"{op.weights.name.rpartition('/')[0] or op.weights.name}/bias"


class FoldBatchnorm(RewritePass):
    """Fold batch normalization into convolutions and dense layers."""

    name = "fold-batchnorm"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (fold_batchnorm,)
