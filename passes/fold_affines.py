"""A linear function of channels becomes part of the layers that read it.

    %bn = nn.affine %add, #w<scale> {offset = #w<offset>}
    %y = nn.conv2d %bn, #w<kernel, f32[1, 1, 8, 16]> {bias = #w<bias>, padding = valid}
▶
    %y = nn.conv2d %add, #w<kernel, f64[1, 1, 8, 16]> {bias = #w<bias, f64[16]>, padding = valid}

The rows of the weights are multiplied by the scale, and the bias grows by what the weights make of the offset.  Where
a window reads a border, which holds zeros and no offset, that is right only without an offset.  On its way to a layer
the function moves behind what treats every position, or every channel, alike.

Preconditions: weights are floats; no offset where a border is read; to move, it has one reader and the way leads to a
layer, and behind max pooling no scale is below 0.  Contract: relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import adds_border
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LAYERS, Floats, Linear, applied, floats, label, linear_of, reweighted
from cnn2snn_ir.passes.base import REAL, RewritePass

DEPTHWISE = (nn.DepthwiseConv2D, nn.DepthwiseConv2DTranspose)
TRANSPOSED = (nn.Conv2DTranspose, nn.DepthwiseConv2DTranspose)


@rule(LAYERS, "(a · x + b) @ w = x @ (a · w) + b @ w")
def fold_affines(op: Any, rewriter: Rewriter) -> bool:
    linear = linear_of(op.x.owner)
    if linear is None:
        return False
    if op.weight_scale is not None:
        return rewriter.why_not(op, "its weights are integers")
    if linear.offset.any() and reads_border(op):
        return rewriter.why_not(op, "its border holds zeros, and no offset")
    weights = floats(op.weights)
    folded = weights * columns(op, linear.scale)
    bias = floats(op.bias) + constant_sums(op, weights * columns(op, linear.offset))
    rewriter.replace(op, reweighted(op, folded, bias, op.x.owner.operands[0]))
    return True


def reads_border(op: Any) -> bool:
    """True if not every result of a layer is a sum over its whole kernel."""
    if isinstance(op, nn.Dense):
        return False
    if isinstance(op, TRANSPOSED):
        return True
    return adds_border(op.x.type, op.weights.type.shape, op.strides, op.padding, op.dilation)


def columns(op: Any, values: Floats) -> Floats:
    """One value an input channel, in the shape in which it multiplies weights."""
    return values if isinstance(op, DEPTHWISE) else values[..., np.newaxis] if values.ndim else values


def constant_sums(op: Any, products: Floats) -> Floats:
    """What a layer makes of a constant input: its weighted values summed up, one result a filter."""
    sums: Floats = products.sum(axis=tuple(range(products.ndim - 1)))
    return sums


MOVES = (nn.Reshape, nn.MaxPool, nn.AveragePool, nn.GlobalAveragePool)
"""Ops that a linear function may stand behind as well as in front."""


@rule(MOVES, "mean(a · x + b) = a · mean(x) + b; the same of a maximum, if a >= 0, and of another shape")
def move_affines(op: Any, rewriter: Rewriter) -> bool:
    linear, inner = linear_of(op.x.owner), op.x.owner
    if linear is None or not (op.x.has_one_use and leads_to_layer(op)):
        return False
    if isinstance(op, nn.MaxPool) and (linear.scale < 0).any():
        return rewriter.why_not(op, "a scale below 0 turns its maximum into a minimum")
    moved = Linear(*(spread(op, values) for values in linear))
    if any(values is None for values in moved):
        return rewriter.why_not(op, "it mixes channels")
    copy = rewriter.insert_before(op, applied(op, inner.operands[0]))
    rewriter.replace(op, moved.op(copy.results[0], label(inner)), inner)
    return True


def leads_to_layer(op: Op) -> bool:
    """True if a layer reads the result, or what such ops make of it, and nothing else does."""
    users = op.results[0].users
    return len(users) == 1 and (
        isinstance(users[0], LAYERS) or (isinstance(users[0], MOVES) and leads_to_layer(users[0]))
    )


def spread(op: Any, values: Floats) -> Any:
    """Values of the channels of an operand as those of the result's; None if they are none."""
    if values.ndim == 0 or not isinstance(op, nn.Reshape):
        return values
    every = np.broadcast_to(values, op.x.type.per_sample).reshape(op.shape)
    by_channel = every.reshape(-1, op.shape[-1])
    return by_channel[0] if (by_channel == by_channel[0]).all() else None


class FoldAffines(RewritePass):
    """Fold linear functions of channels into the layers behind them."""

    name = "fold-affines"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return fold_affines, move_affines
