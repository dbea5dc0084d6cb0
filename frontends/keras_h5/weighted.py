"""QuantizeML's layers with weights: each a linear op on integers, then bias and output quantizer."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import F, Floats, align_to_grid, quantize_weights
from cnn2snn_ir.frontends.keras_h5.steps import (
    WEIGHTED_BUFFER_BITS,
    buffer_value_bits,
    condition,
    finish,
    pair,
    require,
    weight,
    weight_config,
    weighted_scale,
    window_strides,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import Tensor, Value, si


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
    value, weight_scale = depthwise_value(imp, record, x, "weight_quantizer")
    return finish(imp, record, value, x, weight_scale)


def depthwise_value(imp: Importer, record: LayerRecord, x: Tracked, quantizer: str) -> tuple[Value, Floats]:
    """The accumulator of a record's depthwise convolution, and the scale of its weights."""
    bits, axis = weight_config(record, None, quantizer)
    integers, weight_scale = quantize_weights(weight(record, "depthwise_kernel"), bits, axis)
    op = qnn.DepthwiseConv2D(
        x.value,
        imp.constant(integers[..., 0], si(bits), "depthwise_kernel"),
        strides=window_strides(record),
        padding=Padding(record.config["padding"]),
        dilation=pair(record.config.get("dilation_rate", (1, 1))),
        acc=integer_type(x.value_bits),
    )
    return imp.emit(op), weight_scale


@registered(TABLE, "QuantizedDense")
def dense(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    x = condition(imp, inputs[0], buffer_value_bits(record, WEIGHTED_BUFFER_BITS))
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    op = qnn.Dense(x.value, imp.constant(integers, si(bits), "kernel"), acc=integer_type(x.value_bits))
    return finish(imp, record, imp.emit(op), x, weight_scale)


@registered(TABLE, "QuantizedSeparableConv2D")
def separable_conv2d(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Depthwise, then pointwise, with nothing but the 32-bit accumulator in between."""
    require(record, "data_format", "channels_last")
    require(record, "depth_multiplier", 1)
    x = condition(imp, inputs[0], buffer_value_bits(record))
    inner, depthwise_scale = depthwise_value(imp, record, x, "dw_weight_quantizer")
    bits, axis = weight_config(record, -1, "pw_weight_quantizer")
    pointwise, pointwise_scale = quantize_weights(weight(record, "pointwise_kernel"), bits, axis)
    kernel = imp.constant(pointwise, si(bits), "pointwise_kernel")
    outer = imp.emit(qnn.Conv2D(inner, kernel, padding=Padding.VALID, acc=integer_type(x.value_bits)))
    between = Tracked(inner, x.value_bits, x.frac_bits, weighted_scale(x, depthwise_scale))
    return finish(imp, record, outer, between, pointwise_scale)


@registered(TABLE, "QuantizedConv2DTranspose")
def conv2d_transpose(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Keras stores the kernel as [height, width, out, in]; it is quantized per filter."""
    x = transposed_input(imp, record, inputs[0])
    bits, axis = weight_config(record, -1)
    kernel = weight(record, "kernel").transpose(0, 1, 3, 2)
    integers, weight_scale = quantize_weights(kernel, bits, axis)
    op = qnn.Conv2DTranspose(
        x.value,
        imp.constant(integers, si(bits), "kernel"),
        strides=window_strides(record),
        padding=Padding(record.config["padding"]),
        acc=integer_type(x.value_bits),
    )
    return finish(imp, record, imp.emit(op), x, weight_scale)


@registered(TABLE, "QuantizedDepthwiseConv2DTranspose")
def depthwise_conv2d_transpose(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """One weight scale for all channels."""
    require(record, "depth_multiplier", 1)
    x = transposed_input(imp, record, inputs[0])
    bits, axis = weight_config(record, None)
    integers, weight_scale = quantize_weights(weight(record, "depthwise_kernel"), bits, axis)
    op = qnn.DepthwiseConv2DTranspose(
        x.value,
        imp.constant(integers[..., 0], si(bits), "depthwise_kernel"),
        strides=window_strides(record),
        padding=Padding(record.config["padding"]),
        acc=integer_type(x.value_bits),
    )
    return finish(imp, record, imp.emit(op), x, weight_scale)


def transposed_input(imp: Importer, record: LayerRecord, x: Tracked) -> Tracked:
    """The conditioned input of a transposed convolution."""
    require(record, "data_format", "channels_last")
    require(record, "dilation_rate", (1, 1), 1)
    require(record, "output_padding", None)
    if x.scale is not None:
        raise UnsupportedLayerError("a transposed convolution cannot take a scaled input")
    return condition(imp, x, buffer_value_bits(record, WEIGHTED_BUFFER_BITS))
