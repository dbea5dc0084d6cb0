"""What can be asked of the neurons of Akida 1 while their levels are boundaries: limits, grains, what occurs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.registers import Limits, in_grains
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.passes.fuse_blocks import is_image
from cnn2snn_ir.reference import run
from cnn2snn_ir.reference.arithmetic import Array, Ints

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


def fits(op: Op) -> bool:
    """True for what a neuron's activation can be."""
    return isinstance(op, qnn.Threshold) and op.base == 0 and op.to.lo == 0 and op.to.bits <= WIDEST


def main_of(op: qnn.Threshold) -> Main | None:
    """The op whose sums the potentials of `op` are, pooled perhaps; None if something else is added."""
    main: Op = op
    while isinstance(main, (qnn.Threshold, qnn.MaxPool, qnn.SumPool)):
        main = main.operands[0].owner
    return main if isinstance(main, Main) else None


def limits_of(op: qnn.Threshold) -> Limits:
    """The limits of the registers of the layer that ends in `op`."""
    main = main_of(op)
    return INPUT_LIMITS if isinstance(main, qnn.Conv2D) and is_image(main.x) else LIMITS


def step_limits(op: qnn.Threshold) -> Limits:
    """The same with the limit of the real step: `act_step` is stored as if activations had 4 bits."""
    limits = limits_of(op)
    return Limits(limits.threshold, limits.act_step << (WIDEST - op.to.bits))


def grains(op: qnn.Threshold) -> Ints:
    """What all potentials of each channel are multiples of: what the weights of its sums are."""
    main = main_of(op)
    if main is None:
        return np.ones(op.x.type.channels, np.int64)
    weights = main.weights.int64.reshape(-1, main.weights.array.shape[-1])
    found: Ints = np.maximum(np.gcd.reduce(weights, axis=0), 1)
    return found


def reach(op: qnn.Threshold, proven: Range, grain: Ints) -> tuple[Ints, Ints, Ints]:
    """In grains: the boundaries [channels, levels], and the potentials from lo to hi [channels] that can occur."""
    channels = op.x.type.channels
    lo, hi = (np.broadcast_to(bound, (channels,)).astype(np.int64) for bound in (proven.lo, proven.hi))
    wanted = np.broadcast_to(op.thresholds.int64, (channels, op.thresholds.array.shape[1]))
    return in_grains(wanted, grain), -(-lo // grain), hi // grain


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
