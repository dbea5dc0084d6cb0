"""QuantizeML's layers: one function a class, each the integer rule of that class.

Source of the rules: QuantizeML 1.2.5 (Apache-2.0), restated as formulas.  Order inside a layer: condition the
input, linear op, bias, output quantizer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import (
    F,
    Floats,
    align_to_grid,
    clip_bits,
    frac_bits_for,
    over_constant,
    power_of_two,
    quantize_scale,
    quantize_weights,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, constant, frac_bits_tensor, integer_type
from cnn2snn_ir.ir import F32, Tensor, si, ui

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
        return Tracked(x.value, value_bits, x.frac_bits, x.scale, x.positive)
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
        x = scale_output(imp, record, x, config)
    range_max = np.asarray(weight(record, "output_quantizer/range_max"), F)
    element = integer_type(value_bits, unsigned=not signed and x.positive)
    shifted = imp.shift(x, frac_bits_for(value_bits, range_max), value_bits, element)
    return Tracked(shifted.value, value_bits, shifted.frac_bits, None, x.positive)


def scale_output(imp: Importer, record: LayerRecord, x: Tracked, config: dict[str, Any]) -> Tracked:
    """Multiply by the float scale as an integer mantissa; the product is fixed-point."""
    buffer_bits = int(config.get("buffer_bitwidth", DEFAULT_BUFFER_BITS))
    scale_bits = int(config.get("scale_bits", SCALE_BITS))
    rate = np.asarray(weight(record, "output_quantizer/rescaling_rate"), F)
    mantissa, scale_frac_bits = quantize_scale(np.asarray(x.scale_or_one * rate, F), scale_bits)
    product = integer_type(buffer_bits)  # the buffer's width is taken as value bits, without the sign
    value = imp.emit(qnn.Scale(x.value, imp.constant(mantissa, ui(scale_bits), "scale"), product))
    return Tracked(value, buffer_bits, np.asarray(x.frac_bits + scale_frac_bits, F), None, x.positive)


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


def weight_config(record: LayerRecord, default_axis: int | None) -> tuple[int, int | None]:
    """Bit width and axis of the weight quantizer."""
    config = quant_config(record)["weight_quantizer"]
    return int(config["bitwidth"]), config.get("axis", default_axis)


# ---- layers with weights ------------------------------------------------------------------------------------------


@registered(TABLE, "QuantizedConv2D")
def conv2d(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    require(record, "data_format", "channels_last")
    require(record, "groups", 1)
    x = condition(imp, inputs[0], buffer_value_bits(record, WEIGHTED_BUFFER_BITS))
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    padding, fill = conv_padding(imp, record, x, bits)
    op = qnn.Conv2D(
        x.value,
        imp.constant(integers, si(bits), "kernel"),
        strides=window_strides(record),
        padding=padding,
        dilation=pair(record.config.get("dilation_rate", (1, 1))),
        pad_value=fill,
        acc=integer_type(x.value_bits),
    )
    return finish(imp, record, imp.emit(op), x, weight_scale)


def conv_padding(imp: Importer, record: LayerRecord, x: Tracked, bits: int) -> tuple[Padding, Tensor | None]:
    """The border rule, and the integer at padded positions where the file gives a padding value.

    Keras says `valid` for a layer with a padding value; it means `same`.
    """
    given = record.config.get("padding_value")
    if given is None:
        return Padding(record.config["padding"]), None
    if x.scale is None:
        raise UnsupportedLayerError("padding_value needs a scaled input", help="put a Rescaling layer before it")
    mantissa, shift = align_to_grid(np.squeeze(np.asarray(given, F)), x.scale, x.frac_bits, bits, signed=True)
    values = mantissa << shift
    return Padding.SAME, imp.constant(values, si(32), "padding_value") if values.any() else None


@registered(TABLE, "QuantizedDepthwiseConv2D")
def depthwise_conv2d(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    require(record, "data_format", "channels_last")
    require(record, "depth_multiplier", 1)
    if inputs[0].scale is not None:
        raise UnsupportedLayerError("a depthwise convolution cannot take a scaled input")
    x = condition(imp, inputs[0], buffer_value_bits(record, WEIGHTED_BUFFER_BITS), per_channel=True)
    bits, axis = weight_config(record, None)
    integers, weight_scale = quantize_weights(weight(record, "depthwise_kernel"), bits, axis)
    op = qnn.DepthwiseConv2D(
        x.value,
        imp.constant(integers[..., 0], si(bits), "depthwise_kernel"),
        strides=window_strides(record),
        padding=Padding(record.config["padding"]),
        dilation=pair(record.config.get("dilation_rate", (1, 1))),
        acc=integer_type(x.value_bits),
    )
    return finish(imp, record, imp.emit(op), x, weight_scale)


@registered(TABLE, "QuantizedDense")
def dense(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    x = condition(imp, inputs[0], buffer_value_bits(record, WEIGHTED_BUFFER_BITS))
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    op = qnn.Dense(x.value, imp.constant(integers, si(bits), "kernel"), acc=integer_type(x.value_bits))
    return finish(imp, record, imp.emit(op), x, weight_scale)


# ---- layers without weights ---------------------------------------------------------------------------------------


@registered(TABLE, "QuantizedReLU")
def relu(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    require(record, "negative_slope", 0, 0.0, None)
    require(record, "threshold", 0, 0.0, None)
    x = condition(imp, inputs[0], buffer_value_bits(record, signed=False), per_channel=True)
    bound = record.config.get("max_value")
    scale = x.scale_or_one
    if bound is None:
        op = qnn.ReLU(x.value)
    else:
        bits = int(quant_config(record).get("max_value_quantizer", {}).get("bitwidth", MAX_VALUE_BITS))
        mantissa, shift = align_to_grid(F(bound), scale, x.frac_bits, bits, signed=False)
        limit = imp.constant(mantissa, ui(bits), "max_value")
        op = qnn.ReLU(x.value, limit, imp.constant(shift, ui(8), "max_value_shift"))
    rectified = Tracked(imp.emit(op), x.value_bits, x.frac_bits, scale, positive=True)
    return quantize_output(imp, record, rectified)


@registered(TABLE, "QuantizedMaxPool2D")
def max_pool(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    require(record, "data_format", "channels_last")
    size = pair(record.config["pool_size"])
    strides = record.config.get("strides")
    op = qnn.MaxPool(
        inputs[0].value,
        size,
        size if strides is None else pair(strides),
        Padding(record.config.get("padding", "valid")),
    )
    return inputs[0].on(imp.emit(op))


@registered(TABLE, "QuantizedGlobalAveragePooling2D")
def global_average(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    require(record, "data_format", "channels_last")
    x = condition(imp, inputs[0], buffer_value_bits(record, signed=False))
    _, height, width, _ = x.value.type.shape
    count = float((height or 1) * (width or 1))
    value = imp.emit(qnn.SumPool(x.value, bool(record.config.get("keepdims", False)), acc=integer_type(x.value_bits)))
    scale = np.asarray(F(1.0 / count)) if x.scale is None else over_constant(x.scale, count)
    return quantize_output(imp, record, Tracked(value, x.value_bits, x.frac_bits, scale, x.positive))


@registered(TABLE, "QuantizedAdd", "Add")
def add(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    if len(inputs) != 2:
        raise UnsupportedLayerError("it must add two tensors", found=str(len(inputs)))
    if any(x.scale is not None for x in inputs):
        raise UnsupportedLayerError(
            "both inputs must be fixed-point", help="give the layers before it an output quantizer"
        )
    value_bits = buffer_value_bits(record)
    finest = np.maximum(inputs[0].frac_bits, inputs[1].frac_bits)
    a, b = (imp.shift(x, finest, value_bits, integer_type(value_bits)) for x in inputs)
    frac_bits = np.asarray(finest + F(bool(record.config.get("average", False))), F)
    value = imp.emit(qnn.Add(a.value, b.value, acc=integer_type(value_bits)))
    return quantize_output(imp, record, Tracked(value, value_bits, frac_bits, None, a.positive and b.positive))


@registered(TABLE, "QuantizedConcatenate")
def concatenate(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    if any(x.scale is not None for x in inputs):
        raise UnsupportedLayerError(
            "all inputs must be fixed-point", help="give the layers before it an output quantizer"
        )
    rank = inputs[0].value.type.rank
    axis = int(record.config.get("axis", -1)) % rank
    value = imp.emit(qnn.Concat(tuple(x.value for x in inputs), axis))
    if axis == rank - 1:
        channels = [np.broadcast_to(x.frac_bits, (x.value.type.channels,)) for x in inputs]
        frac_bits = np.concatenate(channels)
    elif all(np.array_equal(x.frac_bits, inputs[0].frac_bits) for x in inputs):
        frac_bits = inputs[0].frac_bits
    else:
        raise UnsupportedLayerError("its inputs have different fractional bits", allowed="the last axis, or equal ones")
    bits = max(x.value_bits for x in inputs)
    return Tracked(value, bits, frac_bits, None, all(x.positive for x in inputs))


@registered(TABLE, "QuantizedFlatten")
def flatten(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Channels of different fractional bits are aligned without widening, so large ones saturate."""
    (x,) = inputs
    if x.scale is not None:
        raise UnsupportedLayerError(
            "its input must be fixed-point", help="give the layer before it an output quantizer"
        )
    if not x.per_tensor:
        x = imp.shift(x, np.max(x.frac_bits), x.value_bits, x.value.type.element)
    size = math.prod(x.value.type.per_sample)
    return x.on(imp.emit(qnn.Reshape(x.value, (size,))))


@registered(TABLE, "QuantizedReshape")
def reshape(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    (x,) = inputs
    shape = [int(d) for d in record.config["target_shape"]]
    size = math.prod(x.value.type.per_sample)
    if shape.count(-1) == 1:
        shape[shape.index(-1)] = size // -math.prod(shape)
    varies = x.frac_bits_vary or (x.scale is not None and x.scale.ndim > 0)
    if varies and shape[-1] != x.value.type.channels:
        raise UnsupportedLayerError("it splits channels that have exponents of their own", help="quantize per tensor")
    return x.on(imp.emit(qnn.Reshape(x.value, tuple(shape))))


@registered(TABLE, "QuantizedRescaling")
def rescaling(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """A float factor on the real values: no integer changes."""
    require(record, "offset", 0, 0.0)
    (x,) = inputs
    factor = np.asarray(record.config["scale"], F)
    if factor.ndim:
        raise UnsupportedLayerError("its scale must be one number", found=str(record.config["scale"]))
    scale = factor if x.scale is None else np.asarray(x.scale * factor, F)
    return Tracked(x.value, x.value_bits, x.frac_bits, scale, x.positive)


@registered(TABLE, "QuantizedDropout", "Dropout")
def dropout(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Only training drops anything."""
    return inputs[0]


# ---- between floats and integers ------------------------------------------------------------------------------------


@registered(TABLE, "InputQuantizer")
def input_quantizer(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Float input to integers.

    An unsigned quantizer adds a zero point but, in QuantizeML, nothing clamps below zero; hence a signed type
    of one more bit.
    """
    x = imp.floats[record.inbound[0]]
    signed = bool(record.config["signed"])
    value_bits = int(record.config["bitwidth"]) - signed
    low, high = weight(record, "range_min"), weight(record, "range_max")
    span = np.maximum(np.abs(high), np.abs(low)) if signed else np.asarray(high - low, F)
    frac_bits = frac_bits_for(value_bits, span)
    element = integer_type(value_bits)
    zero = None
    if not signed:
        offset = clip_bits(np.asarray(-low * power_of_two(frac_bits), F), value_bits)
        zero = imp.constant(offset, element, "zero_point") if offset.any() else None
    op = qnn.Quantize(x, frac_bits_tensor(frac_bits), element, zero)
    scale = None if signed else np.asarray(F(1.0))
    return Tracked(imp.emit(op), value_bits, frac_bits, scale)


@registered(TABLE, "Dequantizer")
def dequantizer(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    if len(inputs) != 1:
        raise UnsupportedLayerError("it must have one input", found=str(len(inputs)))
    (x,) = inputs
    scale = None if x.scale is None else constant(x.scale, F32, f"{record.name}/scale")
    return x.on(imp.emit(qnn.Dequantize(x.value, frac_bits_tensor(x.frac_bits), scale)))
