"""Max pooling and its convolution pad alike, where one of them can do so and compute the same.

    %1 = qnn.conv2d %0, #w<…, si8[3, 3, 8, 8], …> : tensor<?x8x8x8xsi28>
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2]} : tensor<?x4x4x8xsi28>
▶
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2], padding = same} : tensor<?x4x4x8xsi28>

The pooling changes if it has as many windows with the other padding, each of them starting where it did: then `same`
adds nothing that counts, because padded positions never win.  Else the convolution changes, if it computes the same
with the padding of the pooling.  Where neither can, `separate-pools` parts them.  A kernel of 1x1 pads as its pooling
does, and `same` is what the chip has, so there too the pooling gets `same` padding if it can.

Preconditions: none.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.layers import main_of
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization
from cnn2snn_ir.passes.legalize.windows import Convolution, axes, kernel


@legalization(qnn.MaxPool, "max over same windows = max over valid windows, if they are as many and start alike")
def match_padding(op: qnn.MaxPool, rewriter: Legalizer) -> bool:
    conv = main_of(op)
    if not isinstance(conv, Convolution):
        return False
    if not differs(op, conv):
        return pad_like_the_chip(op, rewriter)
    if unmoved(op, conv.padding):
        rewriter.tell(op, f"gave {{}} {conv.padding} padding, like its convolution's")
        op.padding = conv.padding
        rewriter.changed(op)
    elif unmoved(conv, op.padding):
        rewriter.tell(conv, f"gave {{}} {op.padding} padding, like its pooling's")
        conv.padding = op.padding
        rewriter.changed(conv)
    else:
        return rewriter.why_not(
            op, f"windows of {op.padding} and {conv.padding} padding differ; a layer has one padding"
        )
    return True


def pad_like_the_chip(op: qnn.MaxPool, rewriter: Legalizer) -> bool:
    """Prefer `same` behind a kernel of 1x1, whose layer pads as its pooling does."""
    conv = main_of(op)
    if not isinstance(conv, Convolution) or kernel(conv) != (1, 1) or op.padding is Padding.SAME:
        return False
    if not unmoved(op, Padding.SAME):
        return False
    rewriter.tell(op, "gave {} same padding, as the chip has it")
    op.padding = Padding.SAME
    rewriter.changed(op)
    return True


def differs(pool: qnn.MaxPool, conv: object) -> bool:
    """True if a pooling pads in another way than its convolution; a kernel of 1x1 pads in any way."""
    return isinstance(conv, Convolution) and kernel(conv) != (1, 1) and conv.padding is not pool.padding


def unmoved(op: Convolution | qnn.MaxPool, padding: Padding) -> bool:
    """True if every window lies where it did with another padding."""
    dilated = not isinstance(op, qnn.MaxPool) and op.dilation != (1, 1)
    return not dilated and all(a.offset_in(replace(a, padding=padding)) == 0 for a in axes(op))


class MatchPoolPadding(Legalization):
    """Give poolings and their convolutions one padding."""

    name = "match-pool-padding"

    def rules(self) -> Sequence[Rule]:
        return (match_padding,)
