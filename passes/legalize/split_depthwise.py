"""Depthwise convolutions of 5x5 and 7x7 with stride 2 first take every step, and then every other.

    %1 = qnn.depthwise_conv2d %0, #w<dw/kernel, si8[5, 5, 8], …> {strides = [2, 2]} : tensor<?x4x4x8xsi28>
    %2 = qnn.relu %1
    %y = qnn.requantize %2, … {to = si8} : tensor<?x4x4x8xsi8>
▶
    %1 = qnn.depthwise_conv2d %0, #w<dw/kernel, si8[5, 5, 8], …> : tensor<?x8x8x8xsi28>
    %2 = qnn.relu %1
    %3 = qnn.requantize %2, … {to = si8} : tensor<?x8x8x8xsi8>
    %4 = qnn.depthwise_conv2d %3, #w<dw/every_other, si8[3, 3, 8], …> {strides = [2, 2]} : tensor<?x4x4x8xsi28>
    %y = qnn.shift %4, 0 {to = si8} : tensor<?x4x4x8xsi8>

Window `o` of the old layer lies where window `p = 2·o - before + before'` of the layer without stride does.  The 3x3
kernel of the second layer holds a single 1, at the tap that reads position `p` in its own window `o`; where that tap
is follows from the padding of all three, and it is the same for every window.  Bias, rectifier and output compute
each position on its own, so they may come before positions are dropped; the accumulators, too wide to pass between
layers, never leave theirs.

Preconditions: `fold-scales`, `pad-kernels`; `same` padding; an output of up to 8 bits; no pooling.  Contract: exact.
Source: QuantizeML 1.2.5 (Apache-2.0) splits the same layers for the hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Tensor, si
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.identity import ZERO
from cnn2snn_ir.passes.legalize.layers import following, layer_of, output_of
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, again, inserted, layer_name, legalization
from cnn2snn_ir.passes.legalize.windows import Axis, axes, kernel


@legalization(qnn.DepthwiseConv2D, "depthwise at stride 2 = every other position of depthwise at stride 1")
def split_stride(op: qnn.DepthwiseConv2D, rewriter: Legalizer) -> bool:
    if kernel(op) not in ((5, 5), (7, 7)) or op.strides != (2, 2) or op.dilation != (1, 1):
        return False
    if op.padding is not Padding.SAME or following(op, (qnn.MaxPool, qnn.SumPool)) is not None:
        return rewriter.why_not(op, "only a layer with same padding and no pooling is split")
    output = output_of(op)
    if output is None:
        return rewriter.why_not(op, "without an output of up to 8 bits nothing passes between layers")
    rewriter.tell(op, "split {} into a depthwise convolution of stride 1 and one that takes every other position")
    taps = [tap(axis) for axis in axes(op)]
    name = layer_name(op)
    ops = layer_of(op)
    behind = ops[ops.index(op) + 1 :]
    every = rewriter.insert_before(output, qnn.DepthwiseConv2D(op.x, op.weights, acc=op.acc, loc=op.loc)).results[0]
    for stage in behind:
        every = again(stage, every, output, rewriter)
    every.name = f"{output.results[0].name or name}_every"
    only = np.zeros((3, 3, op.x.type.channels), np.int64)
    only[taps[0], taps[1]] = 1
    weights = Tensor.of(only, si(8), f"{name}/every_other")
    loc = inserted(op, "every_other")
    other = rewriter.insert_before(output, qnn.DepthwiseConv2D(every, weights, strides=(2, 2), loc=loc))
    rewriter.replace(output, qnn.Shift(other.results[0], ZERO, output.to))
    for old in (*behind[-2::-1], op):
        rewriter.erase(old)
    return True


def tap(axis: Axis) -> int:
    """Where the 1 lies in the second kernel, along one axis."""
    wide, small = replace(axis, stride=1), replace(axis, kernel=3)
    found = small.before - axis.before + wide.before
    assert 0 <= found < small.kernel
    return found


class SplitDepthwise(Legalization):
    """Split large depthwise convolutions of stride 2."""

    name = "split-depthwise"

    def rules(self) -> Sequence[Rule]:
        return (split_stride,)
