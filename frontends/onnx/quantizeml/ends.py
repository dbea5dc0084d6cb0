"""Where floats become integers, and integers floats."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call
from cnn2snn_ir.frontends.onnx.quantizeml.importer import TABLE, Importer, registered, shown
from cnn2snn_ir.ir import F32, Value, si, ui

PERMUTATIONS = {4: ((0, 1, 2, 3), (0, 3, 1, 2)), 2: ((0, 1),)}
"""By rank: how the quantizer may reorder its input.  The second is of a model that reads NHWC."""

LARGEST_SAMPLE = 1 << 25
"""More than an image of 4K has; a conversion runs the model, which must fit into memory."""

INTEGERS = {"uint8": ui(8), "int8": si(8)}


@registered(TABLE, "InputQuantizer")
def input_quantizer(imp: Importer, call: Call) -> tuple[Value, ...]:
    """The program's input: float32, or the integers themselves where the quantizer does not change them."""
    name = call.arguments["X"]
    if name not in imp.source.inputs:
        raise call.fault("the quantizer must read the model's input", name, ", ".join(imp.source.inputs))
    shape = sample_shape(call, name)
    scale, zero = (call.vector(formal, shape[-1]) for formal in ("scale", "zp"))
    if not (scale > 0).all():
        raise call.fault("the scale must be positive", str(scale.min()))
    element = INTEGERS[zero.dtype.name]
    given = INTEGERS.get(imp.source.values[name].dtype)
    if given == element and (scale == 1).all() and not zero.any():
        return (imp.emit(builtin.Input(shape, element, name=name)),)
    x = imp.emit(builtin.Input(shape, F32, name=name))
    offset = imp.constant(zero, element, "zero_point") if zero.any() else None
    return (imp.emit(qnn.QuantizeLinear(x, imp.constant(scale, F32, "scale"), element, offset)),)


def sample_shape(call: Call, name: str) -> tuple[int, ...]:
    """The shape of one sample as the program reads it, channels last; raises `CompileError` if it is not fixed."""
    declared = call.graph.values[name]
    shape = declared.shape
    where = f"input {name}"
    if declared.dtype not in ("float32", *INTEGERS):
        found = declared.dtype
        raise fail("QML-INPUT", "the model's input has another type", where=where, found=found, allowed="float32")
    if shape is None or any(not isinstance(d, int) or d < 1 for d in shape[1:]):
        found = "no shape" if shape is None else shown(shape)
        advice = "export the model with sizes, such as [N, 3, 32, 32]"
        raise fail("QML-INPUT", "the shape of the model's input is not fixed", where=where, found=found, help=advice)
    count = math.prod(int(d or 0) for d in shape[1:])
    if count > LARGEST_SAMPLE:
        found, allowed = f"{shown(shape)}, {count} numbers", f"at most {LARGEST_SAMPLE} numbers a sample"
        raise fail("QML-INPUT", "the model's input is too large", where=where, found=found, allowed=allowed)
    legal = PERMUTATIONS.get(len(shape), ())
    order = call.node.attributes["perm"]
    if order not in legal:
        allowed = " or ".join(map(str, legal)) or "an input of 2 or 4 dimensions"
        raise call.fault("the quantizer reorders its input as no layer does", str(order), allowed, code="QML-ATTRIBUTE")
    sizes = tuple(int(shape[d] or 0) for d in order[1:])
    return (*sizes[1:], sizes[0]) if len(sizes) == 3 else sizes


@registered(TABLE, "Dequantizer")
def dequantizer(imp: Importer, call: Call) -> tuple[Value, ...]:
    """One or several tensors, each times its scale."""
    suffixes = [str(i) for i in range(1, call.name.tensors + 1)] if call.name.tensors > 1 else [""]
    return tuple(dequantized(imp, call, f"X{s}", f"scale_{s}" if s else "scale") for s in suffixes)


def dequantized(imp: Importer, call: Call, formal: str, scale: str) -> Value:
    """A tensor times its scale, in float32."""
    x = call.value(formal)
    factors = call.vector(scale, x.type.channels)
    frac_bits = imp.constant(np.asarray(0), si(16), "frac_bits")
    return imp.emit(qnn.Dequantize(x, frac_bits, imp.constant(factors, F32, scale)))
