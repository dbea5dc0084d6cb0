"""Dilated kernels are written out, with zeros between their rows and columns.

    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[3, 3, 8, 8], …> {dilation = [2, 2]} : tensor<?x9x9x8xsi28>
▶
    %1 = qnn.conv2d %0, #w<conv2/kernel, si8[5, 5, 8, 8], …> : tensor<?x9x9x8xsi28>

Padding and the number of windows depend on how many positions the kernel spans, and that stays.

Preconditions: the kernel spans at most 7 positions, the largest that the chip has.  Contract: exact: products with
zeros add nothing to a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import extent
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legality.akida2_predicates import reads_frames
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization
from cnn2snn_ir.passes.legalize.windows import LARGEST, Convolution, by, kernel


@legalization((qnn.Conv2D, qnn.DepthwiseConv2D), "dilated w = w with zeros in it")
def write_out_dilation(op: Convolution, rewriter: Legalizer) -> bool:
    """Put zeros between the rows and columns of the kernel."""
    if reads_frames(op) or op.dilation == (1, 1):
        return False
    spans = [extent(k, d) for k, d in zip(kernel(op), op.dilation, strict=True)]
    if max(spans) > LARGEST:
        return rewriter.why_not(
            op, f"the kernel spans {by(spans)} positions, and the chip has up to {by((LARGEST, LARGEST))}"
        )
    rewriter.tell(op, f"wrote out the {by(kernel(op))} kernel of {{}}, dilated by {by(op.dilation)}, as {by(spans)}")
    old = op.weights
    spread = np.zeros((*spans, *old.array.shape[2:]), old.array.dtype)
    spread[:: op.dilation[0], :: op.dilation[1]] = old.array
    op.weights, op.dilation = Tensor.of(spread, old.type.element, old.name), (1, 1)
    rewriter.changed(op)
    return True


class WriteOutDilation(Legalization):
    """Turn dilated kernels into ordinary ones."""

    name = "write-out-dilation"

    def rules(self) -> Sequence[Rule]:
        return (write_out_dilation,)
