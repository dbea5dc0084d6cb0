"""Threshold folding: bias, rectifier and requantization to few levels become one comparison with thresholds.

    %1 = qnn.bias_add %0, #w<bias> {shift = #w<bias_shift>} : tensor<?x8x8x16xsi28>
    %2 = qnn.relu %1 {max = #w<max>, shift = #w<max_shift>} : tensor<?x8x8x16xsi28>
    %3 = qnn.requantize %2, #w<mantissa>, #w<shift> {to = ui4} : tensor<?x8x8x16xui4>
▶
    %3 = qnn.threshold %0, #w<thresholds, si29[16, 15]> {to = ui4} : tensor<?x8x8x16xui4>

The chain never decreases, so for each level k there is one smallest accumulator that reaches it; it is found
by bisection on the chain's own reference semantics.  A level out of reach gets a threshold above the
accumulator's range.

Preconditions: requantizations are folded (`fold-scales`); every op of the chain has one user; the output has at
most `max-bits` bits.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op, Tensor, TensorType, Value, si
from cnn2snn_ir.ir.rewrite import Rewriter, Rule
from cnn2snn_ir.ir.types import MAX_BITS
from cnn2snn_ir.passes.base import RewritePass, option
from cnn2snn_ir.reference import evaluate_op
from cnn2snn_ir.reference.arithmetic import Ints

Chain = tuple[Op, ...]


def chain_before(op: qnn.Requantize) -> tuple[Value, Chain]:
    """The accumulator and the ops from it to `op`, all of them pointwise and not decreasing."""
    chain: Chain = (op,)
    x = op.x
    while isinstance(x.owner, (qnn.BiasAdd, qnn.ReLU)) and x.has_one_use:
        chain = (x.owner, *chain)
        x = x.owner.operands[0]
    return x, chain


def apply_chain(chain: Chain, accumulators: Ints) -> Ints:
    """The chain on accumulators [points, channels]."""
    for op in chain:
        accumulators = evaluate_op(op, accumulators)
    return accumulators


def thresholds_of(x: TensorType, chain: Chain, op: qnn.Requantize) -> Ints:
    """For each channel and level above the lowest, the smallest accumulator that reaches it: [channels, levels].

    Bisection over the accumulator's range, all channels and levels at once; a level that nothing reaches gets
    the largest accumulator plus one.
    """
    levels = np.arange(op.to.lo + 1, op.to.hi + 1)[:, None]
    below = np.full((len(levels), x.channels), x.element.lo - 1, np.int64)
    reached = np.full((len(levels), x.channels), x.element.hi + 1, np.int64)
    for _ in range(x.element.bits + 1):
        middle = (below + reached) // 2
        inside = np.clip(middle, x.element.lo, x.element.hi)
        enough = (apply_chain(chain, inside) >= levels) & (middle >= x.element.lo)
        reached = np.where(enough, middle, reached)
        below = np.where(enough, below, middle)
    return reached.T


def fold_chain(max_bits: int) -> Rule:
    """The rule for outputs of at most `max_bits` bits."""

    def fold(op: qnn.Requantize, rewriter: Rewriter) -> bool:
        if op.to.bits > max_bits:
            return rewriter.why_not(op, f"the output has {op.to.bits} bits, more than {max_bits}")
        x, chain = chain_before(op)
        width = (x.type.element.hi + 1).bit_length() + 1  # a level out of reach has the threshold hi + 1
        if width > MAX_BITS:
            return rewriter.why_not(op, "the accumulator is too wide")
        tensor = Tensor.of(thresholds_of(x.type, chain, op), si(width), op.mantissa.name.replace("scale", "thresholds"))
        rewriter.replace(op, qnn.Threshold(x, tensor, op.to, base=op.to.lo), *reversed(chain[:-1]))
        return True

    return Rule("fold-chain", (qnn.Requantize,), "requantize(relu(x + b)) = thresholds(x)", fold)


@dataclass(frozen=True)
class FoldThresholds(RewritePass):
    """Fold bias, rectifier and requantization into thresholds."""

    name = "fold-thresholds"
    anchors = ("builtin.module", "qnn.block")

    max_bits: int = option(4, "fold outputs of at most so many bits")

    def rules(self) -> Sequence[Rule]:
        return (fold_chain(self.max_bits),)
