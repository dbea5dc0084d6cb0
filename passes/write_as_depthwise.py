"""What is linear and keeps channels apart becomes a depthwise layer.

    %bn = nn.affine %add, #w<scale, f64[8]> {offset = #w<offset, f64[8]>} : tensor<?x6x6x8xf32>
    %mean = nn.average_pool %bn {size = [2, 2], strides = [2, 2]} : tensor<?x3x3x8xf32>
    %up = nn.upsample %mean {factors = [2, 2]} : tensor<?x6x6x8xf32>
▶
    %bn = nn.depthwise_conv2d %add, #w<bn/kernel, f64[1, 1, 8]> {bias = #w<bn/bias, f64[8]>, padding = valid}
    %mean = nn.depthwise_conv2d %bn, #w<mean/kernel, f64[2, 2, 8], 0.25> {strides = [2, 2], padding = valid}
    %up = nn.depthwise_conv2d_transpose %mean, #w<up/kernel, f64[3, 3, 8]> {strides = [2, 2]}

Hardware has one layer for all of them.  The kernel of an upsampling has ones in its first two rows and columns and is
3 wide: that is the size which hardware has.

Preconditions: the operand is a map; an average has no border; an upsampling is by 2 both ways.  Contract:
relative(1e-06).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding, adds_border
from cnn2snn_ir.ir import F64, Tensor
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import LINEAR, label, linear_of
from cnn2snn_ir.passes.base import REAL, RewritePass

UPSAMPLING = np.pad(np.ones((2, 2)), ((0, 1), (0, 1)))
"""The kernel that copies a position to the four of its block."""


@rule(LINEAR, "a · x + b, of channels, is a depthwise convolution by a kernel of one position")
def affine_as_depthwise(op: Any, rewriter: Rewriter) -> bool:
    linear, channels = linear_of(op), op.x.type.channels
    if op.x.type.rank != 4 or linear is None:
        return rewriter.why_not(op, f"it reads a value of {op.x.type.rank} dimensions")
    kernel = Tensor.of(np.broadcast_to(linear.scale, (1, 1, channels)), F64, f"{label(op)}/kernel")
    bias = Tensor.of(np.broadcast_to(linear.offset, (channels,)), F64, f"{label(op)}/bias")
    rewriter.replace(op, nn.DepthwiseConv2D(op.x, kernel, bias if linear.offset.any() else None))
    return True


@rule(nn.AveragePool, "the mean of n values is their sum, each divided by n")
def average_as_depthwise(op: nn.AveragePool, rewriter: Rewriter) -> bool:
    if adds_border(op.x.type, op.size, op.strides, op.padding):
        return rewriter.why_not(op, "windows at the border hold fewer values")
    values = np.full((*op.size, op.x.type.channels), 1 / (op.size[0] * op.size[1]))
    kernel = Tensor.of(values, F64, f"{label(op)}/kernel")
    rewriter.replace(op, nn.DepthwiseConv2D(op.x, kernel, strides=op.strides, padding=op.padding))
    return True


@rule(nn.Upsample, "every position adds itself to a block of 2 x 2")
def upsampling_as_depthwise(op: nn.Upsample, rewriter: Rewriter) -> bool:
    if op.factors != (2, 2):
        return rewriter.why_not(op, f"it repeats positions {op.factors[0]} and {op.factors[1]} times, and not twice")
    values = np.repeat(UPSAMPLING[..., np.newaxis], op.x.type.channels, axis=2)
    kernel = Tensor.of(values, F64, f"{label(op)}/kernel")
    rewriter.replace(op, nn.DepthwiseConv2DTranspose(op.x, kernel, strides=(2, 2), padding=Padding.SAME))
    return True


class WriteAsDepthwise(RewritePass):
    """Write what is linear and keeps channels apart as depthwise layers."""

    name = "write-as-depthwise"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return affine_as_depthwise, average_as_depthwise, upsampling_as_depthwise
