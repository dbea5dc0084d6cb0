"""Finer potentials: small weights use the whole width that the chip has for them.

    %1 = qnn.conv2d %0, #w<kernel, si2[3, 3, 16, 32]> : tensor<?x8x8x32xsi28>
    %2 = qnn.threshold %1, #w<thresholds> {to = ui2} : tensor<?x8x8x32xui2>
▶
    %1 = qnn.conv2d %0, #w<kernel, si4[3, 3, 16, 32]> : tensor<?x8x8x32xsi28>
    %2 = qnn.threshold %1, #w<thresholds> {to = ui2} : tensor<?x8x8x32xui2>

A potential is an integer, and so is a threshold: a boundary of the model that lies between two potentials is rounded,
and with it all others of that neuron.  Weights times g make potentials of g units each, and leave thresholds and steps
g places for each of them.  Where two registers cannot put every level of a layer right otherwise, its filters are
multiplied by the largest g that keeps them within 4 bits.  Weights of fewer bits get 4, and take as much memory.

Preconditions: `fold-thresholds`; nothing saturates.  Contract: exact; the potentials themselves lose their names.
"""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.analysis.interval import integers
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Tensor, si
from cnn2snn_ir.ir.types import MAX_BITS
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.legalize.legalization import LEGALIZED
from cnn2snn_ir.passes.neurons import Main, activations, main_of, misplaced, path
from cnn2snn_ir.passes.sink_biases import may_saturate
from cnn2snn_ir.reference.arithmetic import Ints

WIDE = si(4)
"""Weights of every layer but the first; those of the first have 8 bits and potentials fine enough."""


class WidenWeights(Pass):
    """Multiply small weights where that puts levels right."""

    name = "widen-weights"

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        ranges = value_ranges(op)
        changed = False
        for threshold in activations(op):
            main = main_of(threshold)
            factors = None if main is None else room(main)
            if main is None or factors is None or (factors == 1).all():
                continue
            if not misplaced(threshold, ranges[threshold.x]).any():
                continue  # two registers put every level right as it is
            if not all(value.has_one_use for value in path(main.results[0], threshold)):
                context.why_not[f"{self.name} on {place(threshold)}"] = "others read the potentials, too"
                continue
            by = integers(factors)
            if any(may_saturate(v, {v: ranges[v].times(by)}) for v in (main.results[0], threshold.x)):
                context.why_not[f"{self.name} on {place(threshold)}"] = "the finer potentials may saturate"
                continue
            widen(threshold, main, factors)
            context.diagnostics.add(legalized(threshold, main, factors))
            context.statistics[f"{self.name}: layers"] += 1
            changed = True
        return changed


def room(main: Main) -> Ints | None:
    """What each filter can be multiplied by; None for weights that are wider already."""
    if main.weights.type.element.bits > WIDE.bits:
        return None
    largest = np.abs(main.weights.int64).reshape(-1, main.weights.array.shape[-1]).max(axis=0)
    return np.where(largest > 0, np.maximum(WIDE.hi // np.maximum(largest, 1), 1), 1)


def widen(op: qnn.Threshold, main: Main, factors: Ints) -> None:
    """Multiply the weights and move the boundaries with the potentials."""
    main.weights = Tensor.of(main.weights.int64 * factors, WIDE, main.weights.name)
    if isinstance(depthwise := main.x.owner, qnn.DepthwiseConv2D):  # both halves of a separable layer have one width
        depthwise.weights = Tensor.of(depthwise.weights.int64, WIDE, depthwise.weights.name)
    move_boundaries(op, main, factors)


def move_boundaries(op: qnn.Threshold, main: Main, factors: Ints) -> None:
    """The boundaries for potentials that became `factors` [channels] times as large, and lost their names with that."""
    boundaries = (op.thresholds.int64 - 1) * factors[:, None] + 1
    element = op.thresholds.type.element
    bits = max(element.bits, *(int(b).bit_length() + 1 for b in (boundaries.min(), boundaries.max())))
    op.thresholds = Tensor.of(boundaries, si(min(bits, MAX_BITS)), op.thresholds.name)
    value = main.results[0]
    while value is not op.result:
        value.name = None
        value = value.users[0].results[0]


def legalized(op: qnn.Threshold, main: Main, factors: Ints) -> Diagnostic:
    """The remark about a layer."""
    message = f"widen-weights multiplied weights of {named(main)} by up to {factors.max()}, to put all its levels right"
    return Diagnostic(LEGALIZED, message, where=named(op), severity=Severity.REMARK)
