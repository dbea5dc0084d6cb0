"""Alignment that saturates becomes an identity layer.

QuantizeML's Flatten moves channels of different fractional bits to the finest *without widening*, so large
values saturate.  No variable of an Akida layer does that to a layer's input; an identity convolution, whose
output saturates, does:

    %1 = qnn.shift %0, #w<shift, si8[8], …> {to = si8} : tensor<?x4x4x8xsi8>
▶
    %a = qnn.shift %0, #w<shift, si8[8], …> {to = si28} : tensor<?x4x4x8xsi28>
    %b = qnn.conv2d %a, #w<identity, si8[1, 1, 8, 8], …> : tensor<?x4x4x8xsi28>
    %1 = qnn.shift %b, 0 {to = si8} : tensor<?x4x4x8xsi8>

Preconditions: the shift goes left, and does not feed or follow an accumulator.  Contract: exact: saturating to
28 bits and then to 8 is saturating to 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.qnn import ACCUMULATOR
from cnn2snn_ir.ir import Op, Tensor, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import RewritePass

WIDEST_OUTPUT = 8
"""Bits of a value between Akida 2 layers; a shift to more bits is an alignment inside a layer."""


@rule(qnn.Shift, "shift(x, s) to few bits = shift(conv(shift(x, s) to 28 bits, 1), 0) to few bits")
def identity_layer(op: qnn.Shift, rewriter: Rewriter) -> bool:
    source = op.x.type.element
    if op.to.bits > WIDEST_OUTPUT or source.bits > WIDEST_OUTPUT or op.shift.is_opaque:
        return False
    if op.shift.int64.min() < 0 or op.x.type.rank not in (2, 4):
        return rewriter.why_not(op, "only left shifts of vectors and maps become an identity layer")
    channels = op.x.type.channels
    eye = np.eye(channels, dtype=np.int64)
    name = op.shift.name.rpartition("/")[0] or "alignment"
    aligned = rewriter.insert_before(op, qnn.Shift(op.x, op.shift, ACCUMULATOR))
    if op.x.type.rank == 4:
        weights = Tensor.of(eye.reshape(1, 1, channels, channels), si(8), f"{name}/identity")
        product: Op = qnn.Conv2D(aligned.results[0], weights)
    else:
        product = qnn.Dense(aligned.results[0], Tensor.of(eye, si(8), f"{name}/identity"))
    rewriter.insert_before(op, product)
    zero = Tensor.of(np.asarray(0), si(8), f"{name}/shift")
    rewriter.replace(op, qnn.Shift(product.results[0], zero, op.to))
    return True


class MaterializeAlignment(RewritePass):
    """Turn saturating alignments between layers into identity layers."""

    name = "materialize-alignment"

    def rules(self) -> Sequence[Rule]:
        return (identity_layer,)
