"""Range repair: where levels lie further apart than a register of Akida 1 holds, they move together.

    %2 = qnn.threshold %1, #w<thresholds> {to = ui4}                         100000 from one level to the next
    %3 = qnn.conv2d %2, #w<kernel>
▶
    %2 = qnn.threshold %1, #w<thresholds> {to = ui4}                          65535
    %3 = qnn.conv2d %2, #w<kernel>                                            the channel's weights times 0.65535

A channel whose levels are `ratio` times too far apart gets levels `ratio` times as high for the same potential, and
the weights of the next layer that read it are divided by as much and rounded; the highest levels saturate.  That is no
longer the model's arithmetic, so a warning names the channels.  Weights behind a Flatten belong to the channel that
their row came from.  A step that only one level can reach, or none, needs no repair: any other does as well.

Preconditions: `fold-thresholds`; the levels have one reader, a layer with weights.  Contract: as stated, by `off_by`.
"""

from __future__ import annotations

from math import prod

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import OFF_BY, STATED, Pass, PassContext
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.neurons import activations, boundaries, limits_of, line_through, some, step_limits
from cnn2snn_ir.reference.arithmetic import Array, Ints

Reader = qnn.Conv2D | qnn.DepthwiseConv2D | qnn.Dense


class LimitActSteps(Pass):
    """Move levels together that lie too far apart for a register."""

    name = "limit-act-steps"
    contract = STATED

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        ranges, rewriter = value_ranges(op), Rewriter(current=self.name)
        changed = False
        for threshold in activations(op):
            proven = ranges[threshold.x]
            if (excess(threshold, proven) <= 1).all():
                continue
            reader = reader_of(threshold)
            if reader is None:
                rewriter.why_not(threshold, "no layer with weights reads the levels, and nothing else")
                continue
            context.diagnostics.add(repair(threshold, reader, proven, rewriter))
            changed = True
        context.absorb(self.name, rewriter)
        return changed


def excess(op: qnn.Threshold, proven: Range) -> Array:
    """How many times too far apart the levels of each channel lie; 1 where that does not matter."""
    step, reached = steps(op, proven)
    return np.where(reached > 1, np.maximum(step / step_limits(op).act_step, 1.0), 1.0)


def steps(op: qnn.Threshold, proven: Range) -> tuple[Array, Ints]:
    """Of each channel, the distance of neighbouring levels, and how many levels potentials can reach."""
    wanted = boundaries(op)
    hi = np.broadcast_to(proven.hi, len(wanted)).astype(np.int64)
    reached = (wanted <= hi[:, None]).sum(axis=1)
    return line_through(wanted, reached)[1], reached


def reader_of(op: qnn.Threshold) -> Reader | None:
    """The layer with weights that alone reads the levels, behind a flatten perhaps."""
    value = op.result
    while value.has_one_use and isinstance(flatten := value.users[0], qnn.Reshape):
        value = flatten.result
    user = value.users[0] if value.has_one_use else None
    return user if isinstance(user, Reader) else None


def repair(op: qnn.Threshold, reader: Reader, proven: Range, rewriter: Rewriter) -> Diagnostic:
    """Move the levels, divide the weights, and say so."""
    ratios, most = excess(op, proven), limits_of(op).act_step
    change = divide_weights(reader, ratios)
    step, _ = steps(op, proven)
    levels = Tensor.of(closer(op, step, ratios), op.thresholds.type.element, op.thresholds.name)
    new = rewriter.replace(op, qnn.Threshold(op.x, levels, op.to, op.base))
    new.annotations[OFF_BY] = tuple(op.to.hi if ratio > 1 else 0 for ratio in ratios)
    state_reader(reader, change * op.to.hi)
    channels = np.flatnonzero(ratios > 1)
    return Diagnostic(
        "AK1-STEP-01",
        "levels lie further apart than the chip's registers hold, so they were moved together, and the weights that "
        "read them divided and rounded: the program does not compute what the model does",
        where=named(new),
        found=f"{len(channels)} of {len(ratios)} channels: "
        + some(f"channel {c} by {ratios[c]:.3g}" for c in channels)
        + f"; weights of {named(reader)}",
        allowed=f"an act_step of at most {most}",
        help="use fewer input channels in front of an average, or target Akida 2",
        severity=Severity.WARNING,
    )


def divide_weights(reader: Reader, ratios: Array) -> Ints:
    """Divide the weights of each input channel, rounded to the nearest; returns by how much each of them changed.

    A flatten repeats the channels position by position, so its rows go round the ratios.
    """
    weights = reader.weights.int64
    depthwise = isinstance(reader, qnn.DepthwiseConv2D)
    divisors = np.resize(ratios, weights.shape[-1 if depthwise else -2])
    divided = np.rint(weights / (divisors if depthwise else divisors[:, None])).astype(np.int64)
    reader.weights = Tensor.of(divided, reader.weights.type.element, reader.weights.name)
    change: Ints = np.abs(divided - weights)
    return change


def closer(op: qnn.Threshold, step: Array, ratios: Array) -> Ints:
    """The boundaries with smaller steps around the same zero, which lies half a step below the first boundary."""
    wanted = boundaries(op)
    zero = wanted[:, 0] - step / 2
    moved = np.ceil(zero[:, None] + (np.arange(wanted.shape[1]) + 0.5) * (step / ratios)[:, None]).astype(np.int64)
    found: Ints = np.where(ratios[:, None] > 1, np.minimum(moved, op.thresholds.type.element.hi), wanted)
    return found


def state_reader(reader: Reader, change: Ints) -> None:
    """Write down how far the layer that reads the levels may be off by the change of its products."""
    op: Op = reader
    positions = 1
    while op.results[0].name is None and op.results[0].has_one_use and op.results[0].users[0].results:
        op = op.results[0].users[0]
        if isinstance(op, qnn.SumPool):
            positions *= prod(op.x.type.per_sample[:2])
    if isinstance(op, qnn.Threshold):
        op.annotations[OFF_BY] = (op.to.hi - op.base,) * op.x.type.channels
    else:
        sums = change.reshape(-1, change.shape[-1]).sum(axis=0) * positions
        op.annotations[OFF_BY] = tuple(int(n) for n in sums)
