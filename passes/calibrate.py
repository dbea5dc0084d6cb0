"""What values are like on typical inputs: the range of every channel of every real value.

    %relu = nn.relu %conv : tensor<?x14x14x32xf32>
▶
    %relu = nn.relu %conv : tensor<?x14x14x32xf32> meta {observed_min = #w<…, f32[32]>, observed_max = #w<…, f32[32]>}

By `max` these are the smallest and the largest number seen.  The other methods choose for each tensor a range to be
kept, and cut the channels' ranges off at it: `percentile` leaves out as many numbers at either end as it says, `mse`
takes the range that costs the least squared error when the tensor is rounded to so many bits.

Preconditions: the context has samples, or random ones are drawn, with a warning.  Contract: exact; nothing but
annotations is changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F32, Op, Tensor
from cnn2snn_ir.passes.base import Array, Pass, PassContext, option
from cnn2snn_ir.passes.quantization.clipping import Histogram, least_error, percentile
from cnn2snn_ir.passes.quantization.observed import MAXIMUM, MINIMUM, Reals
from cnn2snn_ir.passes.trial import Trial
from cnn2snn_ir.reference import run

MOST_ELEMENTS = 1 << 24
"""Numbers held at a time: 128 MiB of float64."""

MOST_SAMPLES = 64
"""Samples that go through the network at once, if they are small."""

RANDOM_SAMPLES = 16

Ranges = dict[Op, tuple[Reals, Reals]]
"""The smallest and the largest number of each channel."""


class Method(StrEnum):
    """How the range of a tensor is chosen."""

    MAX = "max"
    PERCENTILE = "percentile"
    MSE = "mse"


def batches(module: Module, samples: Array) -> Iterator[Array]:
    """The samples in batches of which all intermediate values fit in memory."""
    kept = sum(math.prod(value.type.per_sample) for op in module.body for value in op.results)
    size = min(MOST_ELEMENTS // (kept + max(map(patch_elements, module.body), default=0)) or 1, MOST_SAMPLES)
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def patch_elements(op: Op) -> int:
    """Numbers in all windows that an op reads of one sample."""
    match op:
        case nn.Conv2D() | nn.DepthwiseConv2D():
            rows, columns = op.result.type.per_sample[:2]
            height, width = op.weights.array.shape[:2]
            return int(rows * columns * height * width * op.x.type.channels)
        case nn.MaxPool() | nn.AveragePool():
            return math.prod(op.result.type.per_sample) * math.prod(op.size)
        case _:
            return 0


def ranges_of(module: Module, samples: Array) -> Ranges:
    """The range of every channel of every real value."""
    found: Ranges = {}

    def observe(op: Op, array: Array) -> None:
        if is_real(op):
            by_channel = array.reshape(-1, array.shape[-1])
            low, high = by_channel.min(axis=0), by_channel.max(axis=0)
            before = found.get(op, (low, high))
            found[op] = np.minimum(before[0], low), np.maximum(before[1], high)

    for batch in batches(module, samples):
        run(module, batch, observe)
    return found


def is_real(op: Op) -> bool:
    """True for ops that give one tensor of reals, with channels."""
    return len(op.results) == 1 and op.results[0].type.element.is_float and op.results[0].type.rank > 1


def histograms_of(module: Module, samples: Array, ranges: Ranges) -> dict[Op, Histogram]:
    """How often numbers occur in every value, over the range that it has."""
    found = {op: Histogram.between(float(low.min()), float(high.max())) for op, (low, high) in ranges.items()}

    def observe(op: Op, array: Array) -> None:
        if op in found:
            found[op].add(array)

    for batch in batches(module, samples):
        run(module, batch, observe)
    return found


@dataclass(frozen=True)
class Calibrate(Pass):
    """Observe the range of every value on samples."""

    name = "calibrate"
    requires = Level.NN
    ensures = Level.NN

    method: Method = option(Method.MAX, "how the range of a tensor is chosen")
    percentile: float = option(99.99, "percent of the numbers in front of either end that are kept, for percentile")
    bits: int = option(8, "bits of the integers, for mse")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        samples = random_samples(op, context) if context.samples is None else context.samples
        ranges = ranges_of(op, samples)
        if self.method is not Method.MAX:
            histograms = histograms_of(op, samples, ranges)
            ranges = {o: self.cut(r, histograms[o]) for o, r in ranges.items()}
        before = {o: (o.annotations.get(MINIMUM), o.annotations.get(MAXIMUM)) for o in ranges}
        for observed, (low, high) in ranges.items():
            observed.annotations[MINIMUM] = Tensor.of(low, F32, MINIMUM)
            observed.annotations[MAXIMUM] = Tensor.of(high, F32, MAXIMUM)
        return any((o.annotations[MINIMUM], o.annotations[MAXIMUM]) != was for o, was in before.items())

    def cut(self, ranges: tuple[Reals, Reals], histogram: Histogram) -> tuple[Reals, Reals]:
        """The channels' ranges within the one chosen for the tensor."""
        if self.method is Method.PERCENTILE:
            low, high = percentile(histogram, self.percentile)
        else:
            low, high = least_error(histogram, self.bits)
        return np.clip(ranges[0], low, high), np.clip(ranges[1], low, high)


def random_samples(module: Module, context: PassContext) -> Array:
    """Samples that are not typical of anything, and a warning that says so."""
    context.diagnostics.add(
        Diagnostic(
            "CALIBRATE-RANDOM",
            "without samples, ranges are those of random inputs",
            where=module.sym_name,
            help="give typical inputs: --samples FILE.npz",
            severity=Severity.WARNING,
        )
    )
    (samples,) = Trial.of(module, RANDOM_SAMPLES, adversarial=False).inputs.values()
    return samples
