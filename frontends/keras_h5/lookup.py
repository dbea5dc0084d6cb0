"""Activations by table: gelu, swish, hard_silu, leaky_relu.

QuantizeML evaluates the function for every value of the (per-tensor, 11-bit) input and quantizes the results to
14 bits: `table[i] = round(f(i / 2^frac_bits) / s)` with `s = max|f| / (2^13 - 1)`.  Source: QuantizeML 1.2.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import F, Floats, clip_bits, over_constant, power_of_two
from cnn2snn_ir.frontends.keras_h5.steps import quant_config, quantize_output
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked
from cnn2snn_ir.ir import si

WIDEST_INDEX = 16
"""Bits of the index at most: a table of 65536 entries."""


def gelu(x: Floats, config: dict[str, Any]) -> Floats:
    """`x/2 · (1 + erf(x/√2))`, in float64, rounded once."""
    wide = x.astype(np.float64)
    erf = np.array([math.erf(v / math.sqrt(2)) for v in wide])
    return np.asarray(0.5 * wide * (1 + erf), F)


def swish(x: Floats, config: dict[str, Any]) -> Floats:
    """`x / (1 + exp(-x))`, in float64, rounded once."""
    wide = x.astype(np.float64)
    return np.asarray(wide * np.where(wide < 0, np.exp(wide) / (1 + np.exp(wide)), 1 / (1 + np.exp(-np.abs(wide)))), F)


def hard_silu(x: Floats, config: dict[str, Any]) -> Floats:
    """`x · min(max(x + 3, 0), 6) / 6`."""
    return over_constant(x * np.clip(x + F(3), F(0), F(6)), 6.0)


def leaky_relu(x: Floats, config: dict[str, Any]) -> Floats:
    """`x` above 0, `alpha · x` below."""
    return np.where(x > 0, x, x * F(config["alpha"])).astype(F)


FUNCTIONS: dict[str, Callable[[Floats, dict[str, Any]], Floats]] = {
    "gelu": gelu,
    "swish": swish,
    "silu": swish,
    "hard_silu": hard_silu,
    "leaky_relu": leaky_relu,
}
"""By their Keras names."""


@registered(TABLE, "QuantizedActivation")
def activation(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    (x,) = inputs
    function = FUNCTIONS.get(str(record.config["activation"]))
    if function is None:
        found, allowed = str(record.config["activation"]), ", ".join(FUNCTIONS)
        raise UnsupportedLayerError("there is no table for this activation", found=found, allowed=allowed)
    if not x.per_tensor or x.scale is not None or x.value_bits >= WIDEST_INDEX:
        raise UnsupportedLayerError(
            "its input must be a per-tensor fixed-point tensor", help="quantize the layer before it to 11 bits"
        )
    value_bits = int(quant_config(record)["lut_bitwidth"]) - 1
    inputs_real = np.arange(-(1 << x.value_bits), 1 << x.value_bits).astype(F) / power_of_two(x.frac_bits)
    results = function(inputs_real.reshape(-1), record.config)
    scale = over_constant(np.max(np.abs(results)), 2.0**value_bits - 1)
    table = clip_bits(np.asarray(results / scale, F), value_bits)
    index = x.value
    if index.type.element != si(x.value_bits + 1):  # an unsigned or narrower value has the same index
        raise UnsupportedLayerError("its input must be signed", found=str(index.type.element))
    value = imp.emit(qnn.Lookup(index, imp.constant(table, si(value_bits + 1), "lut_values")))
    return quantize_output(imp, record, Tracked(value, value_bits, np.asarray(F(0)), scale))
