"""Kernels of a size that the chip does not have lie in the next larger one that it has, with zeros around them.

    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[2, 2, 8, 8], …> {strides = [2, 2]} : tensor<?x4x4x8xsi28>
▶
    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[3, 3, 8, 8], …> {strides = [2, 2]} : tensor<?x4x4x8xsi28>

Even kernels become odd ones.  Where TensorFlow's `same` pads an even kernel's window at the bottom and right only, the
odd one gains a row and a column at the top and left, so the old kernel moves by one; at stride 2 on an even map it
stays.  `windows.py` computes the place.  An input convolution has kernels of 4x4, and keeps them.

Preconditions: `square-kernels`.  Contract: exact; see `windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legality.akida2_predicates import reads_frames
from cnn2snn_ir.passes.legalize.layers import kind
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization
from cnn2snn_ir.passes.legalize.windows import SIZES, Convolution, enlarge, kernel


@legalization((qnn.Conv2D, qnn.DepthwiseConv2D), "w = w with zeros around it")
def pad_kernel(op: Convolution, rewriter: Legalizer) -> bool:
    """Put the kernel into the next larger one of the chip."""
    size, width = kernel(op)
    if (
        reads_frames(op)
        or size != width
        or op.dilation != (1, 1)
        or op.strides[0] != op.strides[1]
        or size in SIZES[kind(op)]
    ):
        return False
    return enlarge(op, op.strides[0], rewriter)


class PadKernels(Legalization):
    """Embed kernels in those that the chip has."""

    name = "pad-kernels"

    def rules(self) -> Sequence[Rule]:
        return (pad_kernel,)
