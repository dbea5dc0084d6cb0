"""Real weights become integers with a scale.

    %conv = nn.conv2d %x, #w<conv/kernel, f32[3, 3, 8, 16], …>
▶
    %conv = nn.conv2d %x, #w<conv/kernel, si8[3, 3, 8, 16], …> {weight_scale = #w<conv/weight_scale, f64[16], …>}

Symmetric, one scale a filter (or one for the layer): the largest magnitude becomes the largest integer.  With fewer
than 8 bits the scale is chosen that leaves the smallest squared error, which clips a few large weights (the idea of
Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment", here by search).

With samples, and as they run through the layers quantized so far, each weight's error is handed on to those that are
not rounded yet (`quantization/rounding.py`), and a layer's bias takes up the change of the mean in every channel (Nagel
et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2).

Preconditions: `prepare-nn`.  Contract: lossy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F64, Op, Tensor, Value, si
from cnn2snn_ir.passes.base import LOSSY, Array, Pass, PassContext, option
from cnn2snn_ir.passes.quantization.groups import Weighted
from cnn2snn_ir.passes.quantization.rounding import nearest, with_feedback
from cnn2snn_ir.passes.quantization.schemes import SCHEMES, Scheme, scheme_named
from cnn2snn_ir.reference import run
from cnn2snn_ir.reference.arithmetic import windows

Reals = npt.NDArray[np.float64]

FRACTIONS = np.linspace(1.0, 0.4, 61)
"""Parts of the largest magnitude that are tried as the largest weight not clipped."""

SMALLEST = 2.0**-16
"""The largest weight of a filter is taken as no smaller; source: QuantizeML 1.2.5."""

MOST_SAMPLES, MOST_WINDOWS, MOST_TAPS = 64, 16384, 2304
"""Samples that run through the network, windows of a layer that are looked at, and taps whose errors are handed on."""


def scale_of(columns: Reals, bits: int) -> Reals:
    """Integers a unit of the weights, for each column [taps, columns]."""
    top = 2 ** (bits - 1) - 1
    largest = np.maximum(np.abs(columns).max(axis=0), SMALLEST)
    fractions = FRACTIONS[:1] if bits >= 8 else FRACTIONS
    errors = np.stack([error(columns, top / (largest * part), top) for part in fractions])
    best: Reals = top / (largest * fractions[errors.argmin(axis=0)])
    return best


def error(columns: Reals, scale: Reals, top: int) -> Reals:
    """The squared error of each column."""
    found: Reals = ((nearest(columns, scale, top) / scale - columns) ** 2).sum(axis=0)
    return found


@dataclass
class Quantizer:
    """The weights of a module, layer by layer, as samples run through it."""

    scheme: Scheme
    means: dict[Op, Reals] = field(default_factory=dict)
    """The mean of each layer's sums in every channel, before anything was quantized."""

    def learn_means(self, module: builtin.Module, samples: Array) -> None:
        """Run the float network."""
        copies: dict[Op, Op] = {}
        plain = without_quantizers(module, copies)

        def observe(op: Op, array: Array) -> None:
            if op in copies:
                self.means[copies[op]] = array.reshape(-1, array.shape[-1]).mean(axis=0)

        run(plain, samples, observe)

    def quantize_all(self, module: builtin.Module, samples: Array) -> None:
        """Run the samples through the network; each layer is quantized when its input is known."""

        def observe(op: Op, array: Array) -> Array | None:
            corrected = self.correct(op, array) if op in self.means else None
            for reader in op.results[0].users:
                if unquantized(reader):
                    self.quantize(reader, array if corrected is None else corrected)
            return corrected

        run(module, samples, observe)

    def quantize(self, layer: Any, inputs: Array | None = None) -> None:
        """One layer in place."""
        bits = self.scheme.input_weight_bits if reads_input(layer) else self.scheme.weight_bits
        weights = layer.weights.array.astype(np.float64)
        columns = weights.reshape(-1, weights.shape[-1])
        scale = scale_of(columns.reshape(-1, 1) if self.scheme.per_tensor else columns, bits)
        hessian = None if inputs is None else correlations(layer, inputs)
        top = 2 ** (bits - 1) - 1
        scales = np.broadcast_to(scale, columns.shape[1:])
        found = nearest(columns, scales, top) if hessian is None else with_feedback(columns, scales, top, hessian)
        name = layer.weights.name
        layer.weights = Tensor.of(found.reshape(weights.shape), si(bits), name)
        layer.weight_scale = Tensor.of(scale.reshape(()) if self.scheme.per_tensor else scale, F64, f"{name}_scale")

    def correct(self, layer: Any, sums: Array) -> Array:
        """Move the bias of a layer such that its means are those of the float network; the sums that it gives then."""
        change = self.means[layer] - sums.reshape(-1, sums.shape[-1]).mean(axis=0)
        bias = np.zeros(()) if layer.bias is None else layer.bias.array.astype(np.float64)
        stem = layer.weights.name.rpartition("/")[0] or layer.weights.name
        layer.bias = Tensor.of(bias + change, F64, layer.bias.name if layer.bias else f"{stem}/bias")
        return np.asarray(sums + change)


def unquantized(op: Op) -> bool:
    """True for a layer with real weights."""
    return isinstance(op, Weighted) and op.weight_scale is None


def without_quantizers(module: builtin.Module, copies: dict[Op, Op]) -> builtin.Module:
    """The module without its quantizers; `copies` learns which layer of it is which of the module."""
    values: dict[Value, Value] = {}
    body = module.body.clone(values)
    copies |= {values[op.result].owner: op for op in module.body if unquantized(op)}
    for op in list(body):
        if isinstance(op, nn.FakeQuantize):
            op.result.replace_all_uses_with(op.x)
            op.erase()
    return builtin.Module(module.sym_name, body)


def correlations(layer: Any, inputs: Array) -> Reals | None:
    """XᵀX of the windows that a layer sums over, for each channel if it is depthwise; None if that is too large."""
    if isinstance(layer, nn.Conv2DTranspose | nn.DepthwiseConv2DTranspose):
        return None
    if isinstance(layer, nn.Dense):
        rows = some(inputs.reshape(-1, inputs.shape[-1]).astype(np.float64))
        return rows.T @ rows if rows.shape[1] <= MOST_TAPS else None
    kernel = layer.weights.array.shape[:2]
    taps = int(np.prod(layer.weights.array.shape[:-1]))
    if taps > MOST_TAPS:
        return None
    found = windows(inputs.astype(np.float64), kernel, layer.strides, layer.padding, layer.dilation)
    if isinstance(layer, nn.DepthwiseConv2D):
        each = some(found.reshape(-1, found.shape[3], taps))
        return np.asarray(np.einsum("nct,ncu->ctu", each, each, optimize=True))
    flat = found.transpose(0, 1, 2, 4, 5, 3)
    rows = some_rows(flat, taps)
    return rows.T @ rows


def some_rows(found: Array, taps: int) -> Reals:
    """Windows as rows, evenly spread over samples and positions; only those are copied."""
    count = int(np.prod(found.shape[:3]))
    picked = np.unravel_index(np.arange(0, count, -(-count // MOST_WINDOWS)), found.shape[:3])
    return found[picked].reshape(-1, taps)


def some(rows: Array) -> Array:
    """At most so many rows, evenly spread."""
    return rows[:: -(-len(rows) // MOST_WINDOWS)]


def reads_input(layer: Any) -> bool:
    """True for a layer that reads the model's input, quantized or scaled."""
    op = layer.x.owner
    while len(op.operands) == 1 and not isinstance(op, Weighted):
        op = op.operands[0].owner
    return isinstance(op, builtin.Input)


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Turn the weights of all layers into integers."""

    name = "quantize-weights"
    contract = LOSSY
    requires = Level.NN
    ensures = Level.NN

    scheme: str = option("8/8/8", f"one of {', '.join(SCHEMES)}")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        quantizer = Quantizer(scheme_named(self.scheme))
        found = [layer for layer in op.body if unquantized(layer)]
        if context.samples is not None and found:
            samples = context.samples[:MOST_SAMPLES]
            quantizer.learn_means(op, samples)
            quantizer.quantize_all(op, samples)
        for layer in found:
            if unquantized(layer):
                quantizer.quantize(layer)
        context.statistics[f"{self.name}: layers"] += len(found)
        return bool(found)
