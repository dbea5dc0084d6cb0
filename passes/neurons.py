"""What can be asked of the neurons of Akida 1 while their levels are boundaries: limits, grains, what occurs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.occurrence import Occurrence
from cnn2snn_ir.analysis.registers import Limits, in_grains, level_errors, synthesize
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.passes.copies import copies_of
from cnn2snn_ir.passes.fuse_blocks import is_image
from cnn2snn_ir.reference import run
from cnn2snn_ir.reference.arithmetic import Array, Ints, level_boundaries

INPUT_LIMITS = Limits(threshold=2**23 - 1, act_step=2**20 - 1)
LIMITS = Limits(threshold=2**19 - 1, act_step=2**16 - 1)
"""Registers of an input convolution, and of all other layers; source: the ranges to which cnn2snn 2.19.3 clips them."""

WIDEST = 4
"""Bits of an activation, at most."""

CHUNK = 32
"""Samples run at a time."""

MOST_SEEN = 1 << 17
"""Potentials of a neuron that are looked at; of more, only every so manyth."""

NAMED = 4
"""Channels that a message names; the IR has them all."""

Main = qnn.Conv2D | qnn.Dense


def activations(module: builtin.Module) -> list[qnn.Threshold]:
    """What the activations of neurons can be, in order."""
    found = (op for op in module.body if isinstance(op, qnn.Threshold))
    return [op for op in found if op.base == 0 and op.to.lo == 0 and op.to.bits <= WIDEST]


def boundaries(op: qnn.Threshold) -> Ints:
    """The boundaries of every channel [channels, levels]."""
    found: Ints = np.broadcast_to(op.thresholds.int64, (op.x.type.channels, op.thresholds.array.shape[1]))
    return found


def line_through(wanted: Ints, count: Ints) -> tuple[Ints, Array]:
    """Of each channel's first `count` boundaries, the last and the mean distance of neighbours."""
    last = np.take_along_axis(wanted, np.maximum(count - 1, 0)[:, None], axis=1)[:, 0]
    return last, (last - wanted[:, 0]) / np.maximum(count - 1, 1)


def main_of(op: qnn.Threshold) -> Main | None:
    """The op whose sums the potentials of `op` are, pooled perhaps; None if something else is added."""
    main: Op = op
    while isinstance(main, (qnn.Threshold, qnn.MaxPool, qnn.SumPool)):
        main = main.operands[0].owner
    return main if isinstance(main, Main) else None


def path(value: Value, end: Op) -> list[Value]:
    """The values from one on that lead to `end` through first operands."""
    found = [end.operands[0]]
    while found[0] is not value:
        found.insert(0, found[0].owner.operands[0])
    return found


def limits_of(op: qnn.Threshold) -> Limits:
    """The limits of the registers of the layer that ends in `op`."""
    main = main_of(op)
    return INPUT_LIMITS if isinstance(main, qnn.Conv2D) and is_image(main.x) else LIMITS


def step_limits(op: qnn.Threshold) -> Limits:
    """The same with the limit of the real step: `act_step` is stored as if activations had 4 bits."""
    limits = limits_of(op)
    return Limits(limits.threshold, limits.act_step << (WIDEST - op.to.bits))


def source_of(main: Main) -> Op:
    """What makes the map whose channels the weights of a layer go by."""
    source: Op = main.x.owner
    while isinstance(source, (qnn.Reshape, qnn.DepthwiseConv2D)):
        source = source.x.owner
    return source


def joined_weights(main: Main) -> Ints:
    """The weights [n, filters] of a layer, those for all copies of a channel added up."""
    weights, source = main.weights.int64, source_of(main)
    copies, filters = copies_of(source), weights.shape[-1]
    if copies == 1:
        return weights.reshape(-1, filters)
    found: Ints = weights.reshape(-1, copies, source.results[0].type.channels // copies, filters).sum(axis=1)
    return found.reshape(-1, filters)


def grains(op: qnn.Threshold) -> Ints:
    """What all potentials of each channel are multiples of: what the weights of its sums are."""
    main = main_of(op)
    if main is None:
        return np.ones(op.x.type.channels, np.int64)
    found: Ints = np.maximum(np.gcd.reduce(joined_weights(main), axis=0), 1)
    return found


class Solution(NamedTuple):
    """Registers for the neurons of an activation, and what they give; potentials and boundaries in grains."""

    threshold: Ints
    act_step: Array
    grain: Ints
    lo: Ints
    hi: Ints
    """The potentials that can occur [channels]."""
    wanted: Ints
    given: Ints
    """The boundaries of the model and of the registers [channels, levels]."""


def solve(op: qnn.Threshold, proven: Range, seen: Ints | None = None, finer: Ints | None = None) -> Solution:
    """The best registers, where potentials lie in `proven` and those in `seen` [n, channels] have been seen.

    `finer` is what potentials and boundaries would be multiplied by, one number a channel.
    """
    bits, grain = op.to.bits, grains(op)
    lowest, highest = (np.broadcast_to(b, (op.x.type.channels,)).astype(np.int64) for b in (proven.lo, proven.hi))
    wanted, lo, hi = in_grains(boundaries(op), grain), -(-lowest // grain), highest // grain
    seen = np.zeros((1, op.x.type.channels), np.int64) if seen is None else seen
    units = grain if finer is None else grain * finer
    registers = synthesize(wanted, lo, hi, units, step_limits(op), Occurrence(seen // grain, lo, hi))
    act_step = registers.act_step(bits)
    given = in_grains(level_boundaries(registers.threshold, act_step, bits), units)
    return Solution(registers.threshold, act_step, units, lo, hi, wanted, given)


def misplaced(op: qnn.Threshold, proven: Range, finer: Ints | None = None) -> Ints:
    """How many potentials of each channel two registers put at another level, if potentials were so much finer."""
    found = solve(op, proven, finer=finer)
    return level_errors(found.wanted, found.given, found.lo, found.hi)[0]


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


def some(parts: Iterable[str]) -> str:
    """The first few of a list in words."""
    found = list(parts)
    more = [f"{len(found) - NAMED} more"] if len(found) > NAMED else []
    return "; ".join([*found[:NAMED], *more])
