"""Kernels that are not square lie in square ones, with zeros around them.

    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[3, 5, 8, 8], …> : tensor<?x9x9x8xsi28>
▶
    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[5, 5, 8, 8], …> : tensor<?x9x9x8xsi28>

With `same` padding this always works.  With `valid` padding the larger window often does not fit as many times; only
a stride above 1 can leave room for it, and the pass says where it does not.

Preconditions: `write-out-dilation` for dilated kernels.  Contract: exact; see `windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legality.akida2_predicates import reads_frames
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization
from cnn2snn_ir.passes.legalize.windows import Convolution, enlarge, kernel


@legalization((qnn.Conv2D, qnn.DepthwiseConv2D), "w = w with zeros around it")
def square_kernel(op: Convolution, rewriter: Legalizer) -> bool:
    """Put the kernel into the smallest square one of the chip."""
    height, width = kernel(op)
    if reads_frames(op) or height == width or op.dilation != (1, 1) or op.strides[0] != op.strides[1]:
        return False
    return enlarge(op, op.strides[0], rewriter)


class SquareKernels(Legalization):
    """Embed kernels in square ones."""

    name = "square-kernels"

    def rules(self) -> Sequence[Rule]:
        return (square_kernel,)
