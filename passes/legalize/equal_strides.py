"""Unequal strides become equal where one of them never takes a step.

    %1 = qnn.conv2d %0, #w<conv1d/kernel, si8[1, 1, 8, 8], …> {strides = [2, 1]} : tensor<?x8x1x8xsi28>
▶
    %1 = qnn.conv2d %0, #w<conv1d/kernel, si8[1, 1, 8, 8], …> {strides = [2, 2]} : tensor<?x8x1x8xsi28>

That is so along an axis with one window, as in a map one position wide; the kernel becomes square on the way.
Elsewhere a stride in one direction would have to drop positions, which no layer does in one direction only.

Preconditions: `write-out-dilation`.  Contract: exact; see `windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legality.akida2_predicates import reads_frames
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization
from cnn2snn_ir.passes.legalize.windows import Convolution, axes, enlargements, paddings


@legalization((qnn.Conv2D, qnn.DepthwiseConv2D), "a step that is never taken may have any size")
def equal_stride(op: Convolution, rewriter: Legalizer) -> bool:
    """Give both axes the stride of the one that has more than one window."""
    if reads_frames(op) or op.strides[0] == op.strides[1] or op.dilation != (1, 1):
        return False
    moving = [axis.stride for axis in axes(op) if axis.count > 1]
    if len(moving) > 1:
        return rewriter.why_not(
            op, "both strides matter; give the layer one stride, and pool in one direction after it"
        )
    stride = moving[0] if moving else max(op.strides)
    found = next(enlargements(op, stride), None)
    if found is None:
        return rewriter.why_not(op, f"with {' or '.join(paddings(op))} padding no square kernel has the same windows")
    rewriter.tell(op, f"made the strides of {{}} {stride} in both directions, since one of them takes no step")
    op.weights, op.padding = found
    op.strides = (stride, stride)
    rewriter.changed(op)
    return True


class EqualStrides(Legalization):
    """Make strides equal where one of them does not matter."""

    name = "equal-strides"

    def rules(self) -> Sequence[Rule]:
        return (equal_stride,)
