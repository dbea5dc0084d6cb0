"""Max pooling that its layer cannot do gets layers of its own.

    %1 = qnn.conv2d %0, #w<…, si8[3, 3, 8, 8], …> : tensor<?x7x7x8xsi28>
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2]} : tensor<?x3x3x8xsi28>      valid, behind a `same` conv
    %3 = qnn.relu %2
    %y = qnn.requantize %3, … {to = si8} : tensor<?x3x3x8xsi8>
▶
    %1 = qnn.conv2d %0, #w<…, si8[3, 3, 8, 8], …> : tensor<?x7x7x8xsi28>
    %2 = qnn.relu %1
    %3 = qnn.requantize %2, … {to = si8} : tensor<?x7x7x8xsi8>
    %4 = qnn.conv2d %3, #w<…/identity, si8[1, 1, 8, 8], …> : tensor<?x7x7x8xsi28>      1x1: pads as its pooling
    %5 = qnn.max_pool %4 {size = [2, 2], strides = [2, 2]} : tensor<?x3x3x8xsi28>
    %6 = qnn.relu %5
    %y = qnn.shift %6, 0 {to = si8} : tensor<?x3x3x8xsi8>

Two rules.  *Sinking* moves a pooling behind the rectifier and the output of its layer, where a layer cannot do it:
the paddings differ, or no activation follows.  Both ops never decrease, channel by channel, and such functions and
the maximum commute.  *Hosting* makes layers for a pooling that stands alone.  A layer that pools rectifies, so
values below 0 are moved up first.  With `y` proven to lie in `lo … hi`, the pieces

    p_i = min(max(y - lo - 127·i, 0), 127)        i = 0, 1, … (hi - lo - 1) div 127

never decrease, fit signed bytes, and `y = lo + p_0 + p_1 + …`.  So `max(y) = lo + max(p_0) + max(p_1) + …`: where
`y` is largest, all pieces are.  One layer computes and pools all pieces, side by side as channels (a product with 1,
a bias, the rectifier, saturation to si8); another adds them up and moves the sum back.  A value that is never
negative is its own piece, and needs only the first layer.

Preconditions: `fold-scales`, `match-pool-padding`.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.analysis.interval import Integers, Range
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Tensor, Value, si, ui
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.identity import MOST_CHANNELS, ZERO, impassable, product_with_one
from cnn2snn_ir.passes.legalize.layers import following, main_of, output_of
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, again, inserted, layer_name, legalization
from cnn2snn_ir.passes.legalize.match_pool_padding import differs, unmoved

STEP = 127
"""The largest signed byte."""


@legalization(qnn.MaxPool, "f(max(x)) = max(f(x)), if f never decreases")
def sink(op: qnn.MaxPool, rewriter: Legalizer) -> bool:
    main = main_of(op)
    if main is None or not (differs(op, main) or following(main, (qnn.ReLU, qnn.Lookup)) is None):
        return False
    if following(main, (qnn.Lookup, qnn.SumPool)) is not None:
        return rewriter.why_not(op, "only a rectifier and an output may follow the pooling")
    output = output_of(main)
    if output is None:
        return rewriter.why_not(op, "without an output of up to 8 bits nothing passes between layers")
    rewriter.tell(op, "put the pooling {} behind the output of its layer")
    relu = following(main, qnn.ReLU)
    value = op.x if relu is None else again(relu, op.x, output, rewriter)
    value = again(output, value, output, rewriter)
    value.name = f"{output.results[0].name or layer_name(main)}_unpooled"
    rewriter.replace(output, qnn.MaxPool(value, op.size, op.strides, op.padding), op)
    for old in (relu, op):
        if old is not None:
            rewriter.erase_if_unused(old)
    return True


@legalization(qnn.MaxPool, "max(x) = lo + sum over i of max(relu(x - lo - 127 i))")
def host(op: qnn.MaxPool, rewriter: Legalizer) -> bool:
    if main_of(op) is not None:
        return False
    if reason := impassable(op.x):
        return rewriter.why_not(op, reason)
    known = rewriter.ranges[op.x]
    low, count = (0, 1) if known.least >= 0 else (known.least, pieces(known))
    if count * op.x.type.channels > MOST_CHANNELS:
        return rewriter.why_not(op, f"{count} pieces of every channel are more than a layer has")
    if unmoved(op, Padding.SAME):
        op.padding = Padding.SAME  # as the chip has it
    rewriter.tell(op, f"made {'a layer' if low == 0 else 'two layers'} for the pooling {{}}, which stands alone")
    if low == 0:
        pooled = pool_of(product_with_one(op.x, op, rewriter, op.padding).results[0], op, rewriter)
        rewriter.replace(op, qnn.Shift(pooled, ZERO, op.x.type.element))
        return True
    parts = rewriter.insert_before(op, qnn.Shift(pool_of(split(op, low, count, rewriter), op, rewriter), ZERO, si(8)))
    rewriter.replace(op, qnn.Shift(join(parts.results[0], op, low, count, rewriter), ZERO, op.x.type.element))
    return True


def pieces(known: Range) -> int:
    """How many signed bytes without a sign hold what a range holds."""
    return max(1, -(-(known.greatest - known.least) // STEP))


def pool_of(x: Value, op: qnn.MaxPool, rewriter: Legalizer) -> Value:
    """`x`, pooled and rectified."""
    pool = rewriter.insert_before(op, qnn.MaxPool(x, op.size, op.strides, op.padding))
    return rewriter.insert_before(op, qnn.ReLU(pool.results[0])).results[0]


def split(op: qnn.MaxPool, low: int, count: int, rewriter: Legalizer) -> Value:
    """The pieces of every channel before they are cut off, all first pieces first."""
    channels = op.x.type.channels
    eye = np.tile(np.eye(channels, dtype=np.int64), count)
    weights = Tensor.of(eye[None, None], si(8), f"{layer_name(op)}/pieces")
    loc = inserted(op, "pieces")
    product = rewriter.insert_before(op, qnn.Conv2D(op.x, weights, padding=op.padding, loc=loc))
    offsets = np.repeat([-low - STEP * i for i in range(count)], channels)
    return biased(product.results[0], offsets, op, rewriter)


def join(parts: Value, op: qnn.MaxPool, low: int, count: int, rewriter: Legalizer) -> Value:
    """The sum of the pieces, moved back."""
    channels = op.x.type.channels
    eye = np.tile(np.eye(channels, dtype=np.int64), count).T
    weights = Tensor.of(np.ascontiguousarray(eye)[None, None], si(8), f"{layer_name(op)}/sum")
    total = rewriter.insert_before(op, qnn.Conv2D(parts, weights))
    return biased(total.results[0], np.full(channels, low), op, rewriter)


def biased(x: Value, offsets: Integers, op: qnn.MaxPool, rewriter: Legalizer) -> Value:
    """`x + offsets`; 128 is 64 << 1, since a bias is a signed byte."""
    shift = (offsets > STEP).astype(np.int64)
    mantissa = Tensor.of(offsets >> shift, si(8), f"{layer_name(op)}/offset")
    moved = qnn.BiasAdd(x, mantissa, Tensor.of(shift, ui(8), f"{layer_name(op)}/offset_shift"))
    return rewriter.insert_before(op, moved).results[0]


class SeparatePools(Legalization):
    """Make layers for poolings that the layers before them cannot do."""

    name = "separate-pools"

    def rules(self) -> Sequence[Rule]:
        return (sink, host)
