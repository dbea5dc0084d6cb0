"""QuantizeML's layers with weights: each a linear op on integers, then bias and output quantizer."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import F, align_to_grid, quantize_weights
from cnn2snn_ir.frontends.keras_h5.steps import (
    WEIGHTED_BUFFER_BITS,
    buffer_value_bits,
    condition,
    finish,
    pair,
    require,
    weight,
    weight_config,
    window_strides,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import Tensor, si


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
