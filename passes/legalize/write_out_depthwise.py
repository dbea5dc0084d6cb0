"""Depthwise convolutions in front of a global average are written out, with zeros between channels.

    %1 = qnn.depthwise_conv2d %0, #w<dw/kernel, si8[3, 3, 8], …> : tensor<?x8x8x8xsi28>
    %2 = qnn.relu %1
    %3 = qnn.sum_pool %2 {keepdims = true}
▶
    %1 = qnn.conv2d %0, #w<dw/kernel, si8[3, 3, 8, 8], …> : tensor<?x8x8x8xsi28>
    %2 = qnn.relu %1
    %3 = qnn.sum_pool %2 {keepdims = true}

The chip averages behind an ordinary convolution only.  A depthwise one is an ordinary one whose weights between
different channels are zero.

Preconditions: `fold-scales`; weights of 4 or 8 bits.  Contract: exact: products with zeros add nothing to a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legality.akida2_predicates import reads_frames
from cnn2snn_ir.passes.legalize.layers import following
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization


@legalization(qnn.DepthwiseConv2D, "depthwise w = w with zeros between channels")
def write_out_depthwise(op: qnn.DepthwiseConv2D, rewriter: Legalizer) -> bool:
    """Put the kernel of each channel on the diagonal of a full one."""
    if reads_frames(op) or following(op, qnn.SumPool) is None:
        return False
    old = op.weights
    channels = op.x.type.channels
    rewriter.tell(op, f"wrote out {{}}, depthwise in front of an average, as a convolution of {channels}x{channels}")
    full = np.zeros((*old.array.shape, channels), old.array.dtype)
    diagonal = np.arange(channels)
    full[:, :, diagonal, diagonal] = old.array
    weights = Tensor.of(full, old.type.element, old.name)
    rewriter.replace(op, qnn.Conv2D(op.x, weights, op.strides, op.padding, op.dilation, acc=op.acc, loc=op.loc))
    return True


class WriteOutDepthwise(Legalization):
    """Turn depthwise convolutions in front of an average into ordinary ones."""

    name = "write-out-depthwise"

    def rules(self) -> Sequence[Rule]:
        return (write_out_depthwise,)
