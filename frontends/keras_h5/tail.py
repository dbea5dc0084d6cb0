"""Float layers after the first Dequantizer: imported as `nn` ops, computed by the host."""

from __future__ import annotations

import math

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.keras_h5.activations import apply
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TAIL, Importer, registered
from cnn2snn_ir.frontends.keras_h5.steps import require, weight
from cnn2snn_ir.ir import F32, Value


@registered(TAIL, "Activation")
def activation(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return apply(imp, record.config["activation"], x)


@registered(TAIL, "Softmax")
def softmax(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return imp.emit(nn.Softmax(x, int(record.config.get("axis", -1)) % x.type.rank))


@registered(TAIL, "ReLU")
def relu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "negative_slope", None, 0.0)
    require(record, "threshold", None, 0.0)
    bound = record.config.get("max_value")
    return imp.emit(nn.ReLU(x, None if bound is None else float(bound)))


@registered(TAIL, "Dense")
def dense(imp: Importer, record: LayerRecord, x: Value) -> Value:
    bias = imp.constant(weight(record, "bias"), F32, "bias") if record.config.get("use_bias", True) else None
    value = imp.emit(nn.Dense(x, imp.constant(weight(record, "kernel"), F32, "kernel"), bias))
    return apply(imp, record.config.get("activation"), value)


@registered(TAIL, "Flatten")
def flatten(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return imp.emit(nn.Reshape(x, (math.prod(x.type.per_sample),)))


@registered(TAIL, "Reshape")
def reshape(imp: Importer, record: LayerRecord, x: Value) -> Value:
    shape = [int(d) for d in record.config["target_shape"]]
    if shape.count(-1) == 1:
        shape[shape.index(-1)] = math.prod(x.type.per_sample) // -math.prod(shape)
    return imp.emit(nn.Reshape(x, tuple(shape)))


@registered(TAIL, "Dropout")
def dropout(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return x
