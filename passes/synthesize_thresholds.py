"""Threshold synthesis: level boundaries become the two registers of Akida 1's neurons.

    %3 = qnn.threshold %2, #w<thresholds, si29[16, 15]> {to = ui4} : tensor<?x8x8x16xui4>
▶
    %3 = qnn.fire %2, #w<threshold, si32[16]>, #w<act_step, f32[16]> {to = ui4} : tensor<?x8x8x16xui4>

A neuron's levels lie on a straight line of integers, so two registers cannot have every boundary everywhere.  For each
channel they are chosen such that all potentials that can be reached, by proof from the weights, get the level that the
model gives them; where no two registers do, such that the fewest do not, weighed by how often they occur: in the
samples of the context if there are any, else around what the model computes when it sees nothing.

What remains is said exactly: `off_by` holds for each channel how many levels a result may be off, `differs` the
potentials that are, from and to (both included).  A bounded ReLU that ends below the last level is reported by itself.

Preconditions: `fold-thresholds`; unsigned results of at most 4 bits.  Contract: as stated, by `off_by`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.analysis.registers import level_errors, moved_potentials
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import F32, Op, Tensor, si
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import OFF_BY, STATED, Pass, PassContext
from cnn2snn_ir.passes.neurons import Solution, activations, line_through, potentials_seen, solve, some
from cnn2snn_ir.reference.arithmetic import Ints

THRESHOLD = si(32)


class SynthesizeThresholds(Pass):
    """Choose threshold and act_step of every neuron."""

    name = "synthesize-thresholds"
    contract = STATED

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        found = activations(op)
        if not found:
            return False
        ranges, seen = value_ranges(op), potentials_seen(op, found, context.samples)
        rewriter = Rewriter(current=self.name)
        for threshold in found:
            fire, diagnostics = neurons(threshold, ranges[threshold.x], seen[threshold.x])
            context.diagnostics.extend(diagnostics)
            rewriter.replace(threshold, fire)
        context.statistics[f"{self.name}: layers"] += len(found)
        return True


def neurons(op: qnn.Threshold, proven: Range, seen: Ints) -> tuple[qnn.Fire, list[Diagnostic]]:
    """The registers for the boundaries of `op`, and what there is to say about them."""
    found = solve(op, proven, seen)
    count, apart = level_errors(found.wanted, found.given, found.lo, found.hi)
    name = op.thresholds.name.rpartition("/")[0] or "neurons"
    fire = qnn.Fire(
        op.x,
        Tensor.of(found.threshold, THRESHOLD, f"{name}/threshold"),
        Tensor.of(found.act_step, F32, f"{name}/act_step"),
        op.to,
    )
    if apart.any():
        fire.annotations[OFF_BY] = tuple(int(n) for n in apart)
        fire.annotations["differs"] = tuple(stated(found, apart))
    return fire, list(remarks(op, count, found.hi - found.lo + 1, bounded_below(op, found)))


def stated(found: Solution, apart: Ints) -> Iterator[str]:
    """`channel: from..to from..to …` for each channel in which potentials reach another level."""
    for c in np.flatnonzero(apart):
        spans = moved_potentials(found.wanted[c], found.given[c], int(found.lo[c]), int(found.hi[c]))
        units = ((a * found.grain[c], b * found.grain[c]) for a, b in spans)
        yield f"{c}: " + " ".join(f"{a}..{b}" if a < b else f"{a}" for a, b in units)


def bounded_below(op: qnn.Threshold, found: Solution) -> Ints:
    """For each channel whose model stops below the last level although its neuron goes on, that level; else 0."""
    wanted = found.wanted
    last = (wanted * found.grain[:, None] <= op.x.type.element.hi).sum(axis=1)  # nothing reaches a level above
    top, step = line_through(wanted, last)
    return np.where((last > 0) & (last < wanted.shape[1]) & (top + step <= found.hi), last, 0)


def remarks(op: qnn.Threshold, count: Ints, reachable: Ints, bounded: Ints) -> Iterator[Diagnostic]:
    """What the user of a layer should know."""
    where = str(layers(op.loc)[-1]) if layers(op.loc) else place(op)
    moved = np.flatnonzero(count)
    below = np.flatnonzero(bounded)
    if len(below):
        yield Diagnostic(
            "AK1-BOUND-01",
            "a ReLU is bounded below the last level, and Akida 1 has no other bound than that",
            where,
            found=f"{len(below)} of {len(count)} channels: "
            + some(f"channel {c} ends at level {bounded[c]}, {count[c]} potentials differ" for c in below),
            allowed=f"a bound of at least level {op.to.hi}",
            help="calibrate again, so that the output quantizer's range is the ReLU's",
            severity=Severity.WARNING,
        )
    if len(others := np.setdiff1d(moved, below)):
        worst = others[np.argmax(count[others] / reachable[others])]
        yield Diagnostic(
            "AK1-LEVEL-01",
            "some potentials reach a neighbouring level: no threshold and act_step put all of them right",
            where,
            found=f"{len(others)} of {len(count)} channels, {int(count[others].sum())} of "
            f"{int(reachable[others].sum())} potentials; most in channel {worst}: {count[worst]} of {reachable[worst]}",
            allowed="the levels of the model",
            help="the attribute `differs` of the layer lists them; give typical samples to have the common ones right, "
            "or let layers have copies of their neurons (--copies)",
            severity=Severity.REMARK,
        )
