"""Where floats become integers, where integers become floats, and factors on real values."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import F, clip_bits, frac_bits_for, power_of_two
from cnn2snn_ir.frontends.keras_h5.steps import (
    require,
    weight,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, constant, frac_bits_tensor, integer_type
from cnn2snn_ir.ir import F32


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
