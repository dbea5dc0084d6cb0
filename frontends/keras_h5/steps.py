"""What QuantizeML's layers have in common: condition the input, add the bias, quantize the output.

Source of the rules: QuantizeML 1.2.5 (Apache-2.0), restated as formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import Importer, UnsupportedLayerError
from cnn2snn_ir.frontends.keras_h5.quantizers import F, Floats, align_to_grid, frac_bits_for, quantize_scale
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import si, ui

WEIGHTED_BUFFER_BITS = 28
"""QuantizeML's convolutions and dense layers use at most 28 bits of the buffer."""

DEFAULT_BUFFER_BITS = 32
SIGNED_BIAS_BITS = 8
MAX_VALUE_BITS = 8
SCALE_BITS = 8
"""QuantizeML's defaults where a quant_config names none."""


def weight(record: LayerRecord, name: str) -> Floats:
    """A variable of the layer."""
    if name not in record.weights:
        raise UnsupportedLayerError(f"the file has no variable {name} for it", code="KERAS-VARIABLE")
    return record.weights[name]


def require(record: LayerRecord, key: str, *legal: Any) -> None:
    """Refuse a configuration value other than `legal`; an absent one is legal."""
    value = record.config.get(key, legal[0])
    value = tuple(value) if isinstance(value, list) else value
    if value not in legal:
        raise UnsupportedLayerError(f"{key} is not supported", found=str(value), allowed=" or ".join(map(str, legal)))


def quant_config(record: LayerRecord) -> dict[str, Any]:
    """The layer's quantization parameters."""
    config: dict[str, Any] = record.config["quant_config"]
    return config


def buffer_value_bits(record: LayerRecord, cap: int | None = None, signed: bool = True) -> int:
    """Value bits of the layer's buffer."""
    bits = int(quant_config(record).get("buffer_bitwidth", DEFAULT_BUFFER_BITS))
    return min(bits, cap or bits) - signed


def condition(imp: Importer, x: Tracked, value_bits: int, per_channel: bool = False) -> Tracked:
    """Align channels of different fractional bits to the finest, in a buffer of `value_bits`.

    Layers that treat channels apart (`per_channel`) take them as they are.
    """
    if value_bits < x.value_bits:
        raise UnsupportedLayerError(f"its input of {x.value_bits} value bits does not fit a buffer of {value_bits}")
    if x.per_tensor or per_channel:
        return x._replace(value_bits=value_bits)
    return imp.shift(x, np.max(x.frac_bits), value_bits, integer_type(value_bits))


def add_bias(imp: Importer, record: LayerRecord, x: Tracked) -> Tracked:
    """Add the bias, an 8-bit mantissa shifted onto the accumulator's grid."""
    if not record.config.get("use_bias", True):
        return x
    bits = int(quant_config(record).get("bias_quantizer", {}).get("bitwidth", SIGNED_BIAS_BITS))
    mantissa, shift = align_to_grid(weight(record, "bias"), x.scale_or_one, x.frac_bits, bits, signed=True)
    if np.abs(mantissa * (2.0 ** shift.astype(np.float64))).max() > 2.0**x.value_bits:
        raise UnsupportedLayerError("its bias alone exceeds the accumulator", code="KERAS-RANGE")
    op = qnn.BiasAdd(x.value, imp.constant(mantissa, si(bits), "bias"), imp.constant(shift, ui(8), "bias_shift"))
    return Tracked(imp.emit(op), x.value_bits, x.frac_bits, x.scale)


def quantize_output(imp: Importer, record: LayerRecord, x: Tracked) -> Tracked:
    """Apply the output quantizer, if the layer has one: scale by an 8-bit mantissa, shift, saturate."""
    config = quant_config(record).get("output_quantizer")
    if not config:
        return x
    signed = bool(config.get("signed", True))
    value_bits = int(config["bitwidth"]) - signed
    if x.value_bits <= value_bits:
        raise UnsupportedLayerError(f"its output quantizer of {value_bits} value bits is no narrower than its input")
    if x.scale is not None:
        x = scale_output(imp, x, np.asarray(weight(record, "output_quantizer/rescaling_rate"), F), config)
    range_max = np.asarray(weight(record, "output_quantizer/range_max"), F)
    element = integer_type(value_bits, unsigned=not signed and x.positive)
    shifted = imp.shift(x, frac_bits_for(value_bits, range_max), value_bits, element)
    return Tracked(shifted.value, value_bits, shifted.frac_bits, None, x.positive, x.rate)


def scale_output(imp: Importer, x: Tracked, rate: Floats, config: dict[str, Any]) -> Tracked:
    """Multiply by the float scale, times `rate`, as an integer mantissa; the product is fixed-point."""
    buffer_bits = int(config.get("buffer_bitwidth", DEFAULT_BUFFER_BITS))
    scale_bits = int(config.get("scale_bits", SCALE_BITS))
    mantissa, scale_frac_bits = quantize_scale(np.asarray(x.scale_or_one * rate, F), scale_bits)
    product = integer_type(buffer_bits)  # the buffer's width is taken as value bits, without the sign
    value = imp.emit(qnn.Scale(x.value, imp.constant(mantissa, ui(scale_bits), "scale"), product))
    both = rate if x.rate is None else np.asarray(x.rate * rate, F)
    told = both if (both != 1).any() else None
    return Tracked(value, buffer_bits, np.asarray(x.frac_bits + scale_frac_bits, F), None, x.positive, told)


def weighted_scale(x: Tracked, weight_scale: Floats) -> Floats:
    """The float scale of a product of inputs and weights."""
    return np.asarray(weight_scale if x.scale is None else x.scale * weight_scale, F)


def finish(imp: Importer, record: LayerRecord, value: Any, x: Tracked, weight_scale: Floats) -> Tracked:
    """Bias and output quantizer after a linear op on `x`."""
    accumulated = Tracked(value, x.value_bits, x.frac_bits, weighted_scale(x, weight_scale))
    return quantize_output(imp, record, add_bias(imp, record, accumulated))


def pair(value: Any) -> tuple[int, int]:
    """A Keras pair, which may be a single number."""
    return (int(value[0]), int(value[1])) if isinstance(value, (list, tuple)) else (int(value), int(value))


def window_strides(record: LayerRecord) -> tuple[int, int]:
    """Strides of a convolution."""
    return pair(record.config.get("strides", (1, 1)))


def weight_config(
    record: LayerRecord, default_axis: int | None, quantizer: str = "weight_quantizer"
) -> tuple[int, int | None]:
    """Bit width and axis of a weight quantizer."""
    config = quant_config(record)[quantizer]
    return int(config["bitwidth"]), config.get("axis", default_axis)
