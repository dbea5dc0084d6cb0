"""What a rescaling reads: sums of a layer, pooled and biased perhaps, of an addition, or integers of another layer."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.requantizers import Ints
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.passes.trial import statement

Weighted = qnn.Conv2D | qnn.DepthwiseConv2D | qnn.Conv2DTranspose | qnn.DepthwiseConv2DTranspose | qnn.Dense


def main_of(value: Value) -> Op | None:
    """The layer whose sums these are, pooled perhaps; None for what another layer gave."""
    op = value.owner
    while isinstance(op, qnn.MaxPool | qnn.SumPool | qnn.ReLU | qnn.BiasAdd):
        op = op.operands[0].owner
    return op if isinstance(op, Weighted) else None


def pooled_positions(value: Value) -> int:
    """How many sums each value is the sum of."""
    op, count = value.owner, 1
    while isinstance(op, qnn.MaxPool | qnn.SumPool | qnn.ReLU | qnn.BiasAdd):
        if isinstance(op, qnn.SumPool):
            count *= summed(op)
        op = op.operands[0].owner
    return count


def summed(op: qnn.SumPool) -> int:
    """How many positions are summed up."""
    rows, columns = op.x.type.per_sample[:2]
    return rows * columns


def biased(value: Value) -> bool:
    """True if the layer has its bias already."""
    op = value.owner
    while isinstance(op, qnn.MaxPool | qnn.SumPool | qnn.ReLU):
        op = op.operands[0].owner
    return isinstance(op, qnn.BiasAdd)


def drift(value: Value) -> Ints:
    """By how much sums may be off because their bias or their bound is rounded, one number a channel."""
    op, found, positions = value.owner, np.zeros(value.type.channels, np.int64), 1
    while isinstance(op, qnn.MaxPool | qnn.SumPool | qnn.ReLU | qnn.BiasAdd):
        if isinstance(op, qnn.SumPool):
            positions *= summed(op)
        found += positions * np.array(statement(op) or 0, np.int64)
        op = op.operands[0].owner
    return found


def is_sum_of_two(value: Value) -> bool:
    """True for the sums of an addition."""
    return isinstance(value.owner, qnn.Add)


def clips_only(op: qnn.Rescale) -> bool:
    """True if integers stay where they are, but for the ends."""
    same = not op.zero.array.any() and bool((op.step.array == 1).all())
    return same and op.x.type.element.bits <= 8


def by_channel(known: Range, channels: int) -> tuple[Ints, Ints]:
    """A range as two numbers a channel."""
    lo, hi = (np.broadcast_to(np.asarray(b, np.int64), channels) for b in (known.lo, known.hi))
    return lo, hi
