"""Layers with two inputs: addition and concatenation."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call, Ints
from cnn2snn_ir.frontends.onnx.quantizeml.importer import TABLE, Importer, registered
from cnn2snn_ir.frontends.onnx.quantizeml.steps import ACCUMULATOR, OUTPUT, bounded, magnitude
from cnn2snn_ir.ir import Value, si

CHANNEL_AXIS = 3
"""Of a map, behind batch, height and width."""


@registered(TABLE, "QuantizedAdd")
def add(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Both inputs shifted to the left, their sum to the right."""
    x, y = call.value("X"), call.value("Y")
    if x.type.per_sample != y.type.per_sample:
        raise call.fault("the operator adds tensors of one shape", f"{x.type} and {y.type}", code="QML-SHAPE")
    left, right = aligned(imp, call, x, "Xs"), aligned(imp, call, y, "Ys")
    value = imp.emit(qnn.Add(left, right, ACCUMULATOR))
    value = bounded(imp, call, value, magnitude(imp, left) + magnitude(imp, right))
    if not call.name.scale:
        return (value,)
    moves = -call.shifts("Shift", x.type.channels, x.type.rank)
    shift = imp.constant(np.minimum(moves, OUTPUT.bits), si(8), "output_shift")
    return (imp.emit(qnn.Shift(value, shift, OUTPUT)),)


def aligned(imp: Importer, call: Call, x: Value, formal: str) -> Value:
    """An input times a power of two."""
    moves: Ints = call.shifts(formal, x.type.channels, x.type.rank)
    if moves.min() < 0:
        raise call.fault(f"{formal} must be a power of two of 1 or more", str(2.0 ** moves.min()), code="QML-SHIFT")
    if not moves.any():
        return x
    value = imp.emit(qnn.Shift(x, imp.constant(moves, si(8), f"{formal}_shift"), ACCUMULATOR))
    return bounded(imp, call, value, magnitude(imp, x) << int(moves.max()))


@registered(TABLE, "QuantizedConcat")
def concat(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Channels of one map behind those of the other."""
    x, y = call.value("X"), call.value("Y")
    if x.type.rank != 4 or x.type.per_sample[:2] != y.type.per_sample[:2] or x.type.rank != y.type.rank:
        raise call.fault("the operator joins maps of one size", f"{x.type} and {y.type}", code="QML-SHAPE")
    return (imp.emit(qnn.Concat((x, y), CHANNEL_AXIS)),)
