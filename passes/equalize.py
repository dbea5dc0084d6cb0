"""Channels are rescaled between the layers that write them and those that read them, until they are alike.

    %a = nn.conv2d %x, #w<a/kernel> {bias = #w<a/bias>}
    %r = nn.relu %a
    %b = nn.conv2d %r, #w<b/kernel>
▶
    %a = nn.conv2d %x, #w<a/kernel, / s> {bias = #w<a/bias, / s>} meta {rate = 1 / s}
    %r = nn.relu %a meta {rate = 1 / s}
    %b = nn.conv2d %r, #w<b/kernel, · s>

A rectifier without a bound, a maximum, a mean and a sum of values rescaled alike are as large as what they read, so a
factor for each channel passes through them.  The factors make weights alike (`by = weights`): the square root of the
ratio of the channel's range in the weights that write and in those that read it.  Or they make activations alike
(`by = activations`), so that one step for a whole tensor is as good as one a channel: with a `strength` of 1 every
channel gets the range of the largest, and weights take all of the difference; with less, that power of the factors is
taken, and both sides have a part of it.
What a channel was divided by is told by the annotation `rate`.

Preconditions: weights are floats; for activations, `calibrate`.  Contract: relative(1e-06); exact with power-of-two
factors.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, Data-Free Quantization Through Weight Equalization and
Bias Correction, ICCV 2019, section 4.1; for the strength, G. Xiao et al., SmoothQuant, ICML 2023, equation 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F32, F64, Op, Tensor, Value
from cnn2snn_ir.passes.affines import LAYERS
from cnn2snn_ir.passes.base import RATE, REAL, Pass, PassContext, option
from cnn2snn_ir.passes.quantization.channels import Channels, channels_of
from cnn2snn_ir.passes.quantization.observed import MAXIMUM, MINIMUM, Reals, observed
from cnn2snn_ir.passes.quantization.weight_ranges import WeightRanges

LARGEST_GAIN = 64.0
"""A smaller part of the largest channel is taken to be noise, and not made larger than this makes it."""

SWEEPS = 32
SETTLED = 0.01
"""Factors have settled when no sweep changes the logarithm of one by more."""


class By(StrEnum):
    """What is made alike."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"


def factors_by_weights(channels: Channels) -> Reals:
    """A factor for each channel that makes the ranges of its weights on both sides alike."""
    ranges = WeightRanges(channels)
    for _ in range(SWEEPS):
        if ranges.sweep() < SETTLED:
            break
    return ranges.factors


def factors_by_activations(channels: Channels, strength: float) -> Reals:
    """A factor for each channel that gives it the range of the largest one that is quantized with it."""
    sizes = np.zeros(channels.count)
    for value, ids in channels.ids.items():
        if is_quantized(value) and not channels.fixed[ids].all():
            low, high = observed(value)
            np.maximum.at(sizes, ids, np.maximum(np.abs(low), np.abs(high)))
    largest = np.zeros(channels.count)
    np.maximum.at(largest, channels.family, sizes)
    largest = largest[channels.family]
    free = (sizes > 0) & ~channels.fixed
    alike = np.maximum(sizes, largest / LARGEST_GAIN)[free] / largest[free]
    factors = np.ones(channels.count)
    factors[free] = alike**strength
    return factors


def is_quantized(value: Value) -> bool:
    """True for a value that a layer, a sum or a concatenation reads; others exist inside of a layer only."""
    return any(isinstance(user, (*LAYERS, nn.Add, nn.Concat)) for user in value.users)


@dataclass(frozen=True)
class Equalize(Pass):
    """Rescale channels between layers, so that they are alike."""

    name = "equalize"
    contract = REAL
    requires = Level.NN
    ensures = Level.NN

    by: By = option(By.WEIGHTS, "what is made alike")
    strength: float = option(0.5, "the part of the difference, in powers, that activations lose")
    power_of_two: bool = option(False, "only factors that floats multiply by exactly")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        channels = channels_of(op)
        if self.by is By.WEIGHTS:
            factors = factors_by_weights(channels)
        else:
            factors = factors_by_activations(channels, self.strength)
        if self.power_of_two:
            factors = np.exp2(np.rint(np.log2(factors)))
        rescale(channels, factors, keep_types=self.power_of_two)
        changed = int((factors != 1).sum())
        context.statistics["equalize: channels"] += changed
        return changed > 0


def rescale(channels: Channels, factors: Reals, keep_types: bool) -> None:
    """Divide every channel by its factor: weights that write it, weights that read it, and what is known of it."""
    for layer in channels.layers:
        op, written, read = layer.op, factors[layer.written], factors[layer.read]
        if (written == 1).all() and (read == 1).all():
            continue
        weights = op.weights.array.astype(np.float64) * layer.columns(read) / written
        op.weights = Tensor.of(weights, op.weights.type.element if keep_types else F64, op.weights.name)
        if op.bias is not None:
            bias = op.bias.array.astype(np.float64) / written
            op.bias = Tensor.of(bias, op.bias.type.element if keep_types else F64, op.bias.name)
    for value, ids in channels.ids.items():
        if (factors[ids] != 1).any():
            annotate(value.owner, factors[ids])


def annotate(op: Op, factors: Reals) -> None:
    """Say what a value was divided by, and divide what was observed of it."""
    before = op.annotations.get(RATE)
    rate = before.array.astype(np.float64) if isinstance(before, Tensor) else 1.0
    op.annotations[RATE] = Tensor.of(rate / factors, F64, RATE)
    for key in (MINIMUM, MAXIMUM):
        if isinstance(seen := op.annotations.get(key), Tensor):
            op.annotations[key] = Tensor.of(seen.array / factors, F32, seen.name)
