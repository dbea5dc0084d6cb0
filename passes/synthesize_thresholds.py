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
from cnn2snn_ir.analysis.occurrence import Occurrence
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.analysis.registers import Limits, level_errors, moved_potentials, synthesize
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import F32, Op, Tensor, Value, si
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import STATED, Pass, PassContext
from cnn2snn_ir.passes.fuse_blocks import is_image
from cnn2snn_ir.reference import run
from cnn2snn_ir.reference.arithmetic import Array, Ints, level_boundaries

INPUT_LIMITS = Limits(threshold=2**23 - 1, act_step=2**20 - 1)
LIMITS = Limits(threshold=2**19 - 1, act_step=2**16 - 1)
"""Registers of an input convolution, and of all other layers; source: the ranges to which cnn2snn 2.19.3 clips them."""

THRESHOLD = si(32)
WIDEST = 4
"""Bits of an activation, at most."""

CHUNK = 32
"""Samples run at a time."""

MOST_SEEN = 1 << 17
"""Potentials of a neuron that are looked at; of more, only every so manyth."""

NAMED = 4
"""Channels that a message names; the IR has them all."""


def limits_of(op: qnn.Threshold) -> Limits:
    """The limits of the registers of the layer that ends in `op`."""
    main: Op = op
    while isinstance(main, (qnn.Threshold, qnn.MaxPool, qnn.SumPool, qnn.BiasAdd)):
        main = main.operands[0].owner
    return INPUT_LIMITS if isinstance(main, qnn.Conv2D) and is_image(main.x) else LIMITS


def fits(op: Op) -> bool:
    """True for what a neuron's activation can be."""
    return isinstance(op, qnn.Threshold) and op.base == 0 and op.to.lo == 0 and op.to.bits <= WIDEST


class SynthesizeThresholds(Pass):
    """Choose threshold and act_step of every neuron."""

    name = "synthesize-thresholds"
    contract = STATED

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        found = [inner for inner in op.body if isinstance(inner, qnn.Threshold) and fits(inner)]
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


def potentials_seen(
    module: builtin.Module, thresholds: list[qnn.Threshold], samples: Array | None
) -> dict[Value, Ints]:
    """The operands [n, channels] of `thresholds` for the samples; without any, for an input of zeros."""
    if samples is None:
        samples = np.zeros((1, *module.inputs[0].shape), module.inputs[0].element.dtype)
    seen: dict[Value, list[Ints]] = {threshold.x: [] for threshold in thresholds}

    def observe(op: Op, array: Array) -> None:
        if op.results[0] in seen:
            rows = array.reshape(-1, array.shape[-1])
            seen[op.results[0]].append(rows[:: max(1, len(samples) * len(rows) // len(array) // MOST_SEEN)])

    for start in range(0, len(samples), CHUNK):
        run(module, samples[start : start + CHUNK], observe)
    return {value: np.concatenate(parts) for value, parts in seen.items()}


def neurons(op: qnn.Threshold, proven: Range, seen: Ints) -> tuple[qnn.Fire, list[Diagnostic]]:
    """The registers for the boundaries of `op`, and what there is to say about them."""
    channels, levels = op.x.type.channels, op.thresholds.int64
    lo, hi = (np.broadcast_to(bound, (channels,)).astype(np.int64) for bound in (proven.lo, proven.hi))
    wanted = np.broadcast_to(levels, (channels, levels.shape[1]))
    bits, limits = op.to.bits, limits_of(op)
    step = Limits(limits.threshold, limits.act_step << (WIDEST - bits))  # act_step is stored as if there were 4 bits
    registers = synthesize(wanted, lo, hi, step, Occurrence(seen, lo, hi))
    act_step = registers.act_step(bits)
    given = level_boundaries(registers.threshold, act_step, bits)
    count, apart = level_errors(wanted, given, lo, hi)
    name = op.thresholds.name.rpartition("/")[0] or "neurons"
    fire = qnn.Fire(
        op.x,
        Tensor.of(registers.threshold, THRESHOLD, f"{name}/threshold"),
        Tensor.of(act_step, F32, f"{name}/act_step"),
        op.to,
    )
    if apart.any():
        fire.annotations["off_by"] = tuple(int(n) for n in apart)
        fire.annotations["differs"] = tuple(stated(wanted, given, lo, hi, apart))
    return fire, list(remarks(op, count, hi - lo + 1, bounded_below(op, wanted, hi)))


def stated(wanted: Ints, given: Ints, lo: Ints, hi: Ints, apart: Ints) -> Iterator[str]:
    """`channel: from..to from..to …` for each channel in which potentials reach another level."""
    for channel in np.flatnonzero(apart):
        spans = moved_potentials(wanted[channel], given[channel], int(lo[channel]), int(hi[channel]))
        yield f"{channel}: " + " ".join(f"{a}..{b}" if a < b else f"{a}" for a, b in spans)


def bounded_below(op: qnn.Threshold, wanted: Ints, hi: Ints) -> Ints:
    """For each channel whose model stops below the last level although its neuron goes on, that level; else 0."""
    last = (wanted <= op.x.type.element.hi).sum(axis=1)  # no potential of the type reaches a level above
    top = np.take_along_axis(wanted, np.maximum(last - 1, 0)[:, None], axis=1)[:, 0]
    next_one = top + (top - wanted[:, 0]) / np.maximum(last - 1, 1)
    return np.where((last > 0) & (last < wanted.shape[1]) & (next_one <= hi), last, 0)


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
            help="the attribute `differs` of the layer lists them; give typical samples to have the common ones right",
            severity=Severity.REMARK,
        )


def some(parts: Iterator[str]) -> str:
    """The first few of a list in words."""
    found = list(parts)
    more = [f"{len(found) - NAMED} more"] if len(found) > NAMED else []
    return "; ".join([*found[:NAMED], *more])
