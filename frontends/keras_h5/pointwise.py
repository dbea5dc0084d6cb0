"""QuantizeML's activations, additions and poolings."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import F, align_to_grid, over_constant
from cnn2snn_ir.frontends.keras_h5.steps import (
    MAX_VALUE_BITS,
    buffer_value_bits,
    condition,
    pair,
    quant_config,
    quantize_output,
    require,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import ui


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
    return quantize_output(imp, record, Tracked(value, x.value_bits, x.frac_bits, scale, x.positive, x.rate))


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
