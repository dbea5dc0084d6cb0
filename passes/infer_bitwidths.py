"""Bitwidth propagation: a proven range for every accumulator, from the real weights.

    %1 = qnn.conv2d %0, #w<conv/kernel, …> : tensor<?x8x8x16xsi28>
▶
    %1 = qnn.conv2d %0, #w<conv/kernel, …> : tensor<?x8x8x16xsi28> meta {range = [-40210, 39114], bits = 17}

For a fused layer the range is that of its accumulator with the bias, or of its potential; otherwise that of the
op's result.  `bits` is the width of the narrowest signed type that holds it.  A remark names each layer whose
accumulator may saturate.

Preconditions: all weights are here.  Contract: exact; only annotations change.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.potentials import potentials
from cnn2snn_ir.analysis.ranges import Proven, proven_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import akida1, akida2, qnn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import AttrValue, Op
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Pass, PassContext

ACCUMULATING = (qnn.Conv2D, qnn.DepthwiseConv2D, qnn.Dense, qnn.BiasAdd, qnn.SumPool, qnn.Scale, qnn.Add, akida2.Add)
"""Ops whose results are sums or products: what a bit width is asked of."""


def signed_bits(low: int, high: int) -> int:
    """Bits of the narrowest signed type that holds both."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def accumulator_range(op: Op, known: Proven) -> tuple[Range, Range] | None:
    """The range that is worth knowing of an op, and the range that its accumulator would need."""
    if isinstance(op, akida2.NeuralLayer):
        layer = known.layers[op]
        return layer.biased, layer.biased.union(layer.dot)
    if isinstance(op, akida1.NeuralLayer):
        potential = potentials(op, known.values[op.operands[0]])
        return potential, potential
    if not isinstance(op, ACCUMULATING):
        return None
    proven = known.values[op.results[0]]
    return proven, proven


class InferBitwidths(Pass):
    """Prove a range for every accumulator and write it down."""

    name = "infer-bitwidths"

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        known = proven_ranges(op)
        changed = False
        for inner in op.body.walk():
            found = accumulator_range(inner, known)
            if found is not None:
                proven, needed = found
                changed |= annotate(inner, proven)
                context.diagnostics.extend(saturation(inner, needed))
        return changed


def annotate(op: Op, proven: Range) -> bool:
    """Write the range down; True if it says something new."""
    low, high = proven.least, proven.greatest
    notes: dict[str, AttrValue] = {"range": (low, high), "bits": signed_bits(low, high)}
    changed = any(op.annotations.get(key) != value for key, value in notes.items())
    op.annotations.update(notes)
    return changed


def saturation(op: Op, needed: Range) -> Iterator[Diagnostic]:
    """A remark, if the ends of the accumulator are within reach."""
    accumulator = getattr(op, "acc", op.results[0].type.element)
    if needed.least <= accumulator.lo or needed.greatest >= accumulator.hi:
        yield Diagnostic(
            "RANGE-SATURATION",
            "the accumulator may saturate",
            where=place(op),
            found=f"{needed.least} to {needed.greatest}",
            allowed=f"{accumulator}: {accumulator.lo} to {accumulator.hi}",
            severity=Severity.REMARK,
        )
