"""Real weights become integers with a scale.

    %conv = nn.conv2d %x, #w<conv/kernel, f32[3, 3, 8, 16], …>
▶
    %conv = nn.conv2d %x, #w<conv/kernel, si8[3, 3, 8, 16], …> {weight_scale = #w<conv/weight_scale, f64[16], …>}

Symmetric, one scale a filter (or one for the layer): the largest magnitude becomes the largest integer.  With fewer
than 8 bits the scale is chosen that leaves the smallest squared error, which clips a few large weights (the idea of
Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment", here by search).

Preconditions: `prepare-nn`.  Contract: approximate, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F64, Op, Tensor, si
from cnn2snn_ir.passes.base import LOSSY, Pass, PassContext, option
from cnn2snn_ir.passes.quantization.groups import Weighted
from cnn2snn_ir.passes.quantization.schemes import SCHEMES, scheme_named

Reals = npt.NDArray[np.float64]

FRACTIONS = np.linspace(1.0, 0.4, 61)
"""Parts of the largest magnitude that are tried as the largest weight not clipped."""

SMALLEST = 2.0**-16
"""The largest weight of a filter is taken as no smaller; source: QuantizeML 1.2.5."""


def quantize(weights: Reals, bits: int, per_tensor: bool) -> tuple[npt.NDArray[np.int64], Reals]:
    """Integers, and how many of them a unit of the weights is; the last axis is that of the filters."""
    columns = weights.reshape(-1, 1 if per_tensor else weights.shape[-1])
    top = 2 ** (bits - 1) - 1
    largest = np.maximum(np.abs(columns).max(axis=0), SMALLEST)
    fractions = FRACTIONS if bits < 8 else FRACTIONS[:1]
    errors = np.stack([error(columns, top / (largest * part), top) for part in fractions])
    scale = top / (largest * fractions[errors.argmin(axis=0)])
    integers = np.clip(np.rint(columns * scale), -top, top).astype(np.int64)
    return integers.reshape(weights.shape), scale


def error(columns: Reals, scale: Reals, top: int) -> Reals:
    """The squared error of each column."""
    found: Reals = ((np.clip(np.rint(columns * scale), -top, top) / scale - columns) ** 2).sum(axis=0)
    return found


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
        scheme = scheme_named(self.scheme)
        found = [layer for layer in op.body if isinstance(layer, Weighted) and layer.weight_scale is None]
        for layer in found:
            bits = scheme.input_weight_bits if reads_input(layer) else scheme.weight_bits
            apply(layer, bits, scheme.per_tensor)
        context.statistics[f"{self.name}: layers"] += len(found)
        return bool(found)


def apply(layer: Any, bits: int, per_tensor: bool) -> None:
    """Quantize the weights of one layer in place."""
    integers, scale = quantize(layer.weights.array.astype(np.float64), bits, per_tensor)
    name = layer.weights.name
    layer.weights = Tensor.of(integers, si(bits), name)
    layer.weight_scale = Tensor.of(scale.reshape(-1) if not per_tensor else scale.reshape(()), F64, f"{name}_scale")


def reads_input(layer: Any) -> bool:
    """True for a layer that reads the model's input, quantized or scaled."""
    op = layer.x.owner
    while len(op.operands) == 1 and not isinstance(op, Weighted):
        op = op.operands[0].owner
    return isinstance(op, builtin.Input)
