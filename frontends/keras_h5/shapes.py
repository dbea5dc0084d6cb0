"""QuantizeML's layers that move integers without computing any."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked


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
    return to_shape(imp, x, (math.prod(x.value.type.per_sample),))


def to_shape(imp: Importer, x: Tracked, shape: tuple[int, ...]) -> Tracked:
    """The same values in another shape; rates of channels repeat where channels are joined."""
    rate, before = x.rate, x.value.type.per_sample
    if rate is not None and rate.size > 1 and shape[-1] != before[-1]:
        rate = np.broadcast_to(rate, before).reshape(-1, shape[-1])[0]
    return x.on(imp.emit(qnn.Reshape(x.value, shape)))._replace(rate=rate)


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
    return to_shape(imp, x, tuple(shape))


@registered(TABLE, "QuantizedDropout", "Dropout")
def dropout(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Only training drops anything."""
    return inputs[0]


@registered(TABLE, "QuantizedPermute")
def permute(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    (x,) = inputs
    order = (0, *(int(d) for d in record.config["dims"]))
    if not x.per_tensor and order[-1] != len(order) - 1:
        raise UnsupportedLayerError("it moves channels that have exponents of their own", help="quantize per tensor")
    return x.on(imp.emit(qnn.Transpose(x.value, order)))


@registered(TABLE, "QuantizedExtractToken")
def extract_token(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    (x,) = inputs
    rank, index = x.value.type.rank, int(record.config["token"])
    axis = int(record.config["axis"]) % rank
    frac_bits = x.frac_bits[index] if x.frac_bits_vary and axis == rank - 1 else x.frac_bits
    value = imp.emit(qnn.Take(x.value, index % (x.value.type.shape[axis] or 1), axis))
    return Tracked(value, x.value_bits, np.asarray(frac_bits), x.scale, x.positive)
