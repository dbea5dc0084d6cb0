"""Sums and products: with constants they are linear functions of channels, of two tensors they are additions.

Products of two tensors are known as the activations that exporters write out (`patterns.py`), and refused otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.call import Call, operator
from cnn2snn_ir.frontends.onnx.standard.constants import Constant
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.patterns import ErrorFunction, hard_sigmoid, product
from cnn2snn_ir.frontends.onnx.standard.pointwise import clipped
from cnn2snn_ir.frontends.onnx.standard.view import View, spread
from cnn2snn_ir.ir import Value

Array = npt.NDArray[Any]
Operand = View | ErrorFunction | Array

TAKES_BIAS = (nn.Conv2D, nn.DepthwiseConv2D, nn.Conv2DTranspose, nn.DepthwiseConv2DTranspose, nn.Dense)


def operands(call: Call) -> tuple[Operand, Operand]:
    """Both operands: what is constant as an array, shaped as the broadcasting of old versions asks for."""
    a, b = (operand(call, i) for i in range(2))
    old = bool(call.attribute("broadcast", 0))
    axis = call.attribute("axis")
    if old and axis is not None and isinstance(a, View) and isinstance(b, np.ndarray):
        b = b.reshape(b.shape + (1,) * (a.rank - a.axis(axis) - b.ndim))
    return a, b


def operand(call: Call, index: int) -> Operand:
    """One operand."""
    x = call.operand(index)
    if isinstance(x, Constant):
        return x.quantized.reals if x.quantized is not None else x.floats
    return x if isinstance(x, ErrorFunction) else call.view(index)


def linear(call: Call, x: View | ErrorFunction, scale: Array | float, offset: Array | float) -> View | ErrorFunction:
    """`x · scale + offset` with constants that ONNX broadcasts to the shape of `x`."""
    scale, offset = np.asarray(scale), np.asarray(offset)
    if isinstance(x, ErrorFunction):
        return x.linear(scale, offset)
    x, scale = spread(scale, x, call.emit)
    x, offset = spread(offset, x, call.emit)
    return x.on(rescaled(call, x.value, scale, offset))


def rescaled(call: Call, x: Value, scale: Array, offset: Array) -> Value:
    """`x · scale + offset`: a bias where a layer has none yet, one op with the linear function before it."""
    owner = x.owner
    if isinstance(owner, TAKES_BIAS) and (scale == 1.0).all() and owner.bias is None and call.read_once(only(call)):
        return with_bias(call, owner, offset)
    if (pattern := hard_sigmoid(x, scale, offset)) is not None:
        return call.emit(pattern)
    if isinstance(owner, nn.Affine) and call.read_once(only(call)):
        before = 0.0 if owner.offset is None else owner.offset.array.astype(np.float64)
        factors = owner.scale.array.astype(np.float64) * scale
        return affine(call, owner.x, factors, before * scale + offset)
    return affine(call, x, scale, offset)


def affine(call: Call, x: Value, scale: Array, offset: Array) -> Value:
    """A linear function of channels, if it changes anything."""
    if np.allclose(scale, 1.0, rtol=1e-6, atol=0.0) and not offset.any():
        return x
    return call.emit(nn.Affine(x, call.reals(scale, "scale"), call.reals(offset, "offset") if offset.any() else None))


def only(call: Call) -> int:
    """The operand that is no constant."""
    return 1 if call.is_constant(0) else 0


def with_bias(call: Call, layer: Any, offset: Array) -> Value:
    """A layer that adds the offset itself; it keeps its name if nobody else reads it."""
    filters = layer.weights.type.channels
    name, layer.result.name = layer.result.name, None
    fields = {f.name: getattr(layer, f.name) for f in layer.fields}
    fields["bias"] = call.reals(np.broadcast_to(offset, (filters,)), "bias")
    return call.emit(type(layer)(**fields, loc=layer.loc, name=name))


# ---- operators --------------------------------------------------------------------------------------------------


@operator("Add")
def add(call: Call) -> View | ErrorFunction:
    a, b = operands(call)
    if isinstance(b, np.ndarray):
        return linear(call, tensor(a), 1.0, b)
    if isinstance(a, np.ndarray):
        return linear(call, tensor(b), 1.0, a)
    return total(call, view(a), view(b))


@operator("Sum")
def sum_of(call: Call) -> View | ErrorFunction:
    found = [operand(call, i) for i in range(call.count)]
    views = [x for x in found if isinstance(x, View)]
    require(bool(views), "a sum of constants only")
    result: View | ErrorFunction = views[0]
    for x in views[1:]:
        result = total(call, view(result), x)
    for constant in found:
        result = linear(call, result, 1.0, constant) if isinstance(constant, np.ndarray) else result
    return result


def total(call: Call, a: View, b: View) -> View:
    """The sum of two tensors of one shape."""
    same = a.shape == b.shape
    message = "a sum of two tensors of different shapes"
    require(same, message, found=f"{a.described} and {b.described}", allowed="equal shapes", code="ONNX-SHAPE")
    b = b.like(a, call.emit)
    a = a.like(b, call.emit)
    return a.on(call.emit(nn.Add(a.value, b.value)))


@operator("Sub")
def subtract(call: Call) -> View | ErrorFunction:
    a, b = operands(call)
    if isinstance(b, np.ndarray):
        return linear(call, tensor(a), 1.0, -b)
    negative = linear(call, tensor(b), -1.0, 0.0)
    return linear(call, negative, 1.0, a) if isinstance(a, np.ndarray) else total(call, view(a), view(negative))


@operator("Neg")
def negate(call: Call) -> View | ErrorFunction:
    return linear(call, tensor(operand(call, 0)), -1.0, 0.0)


@operator("Mul")
def multiply(call: Call) -> View | ErrorFunction:
    a, b = operands(call)
    if isinstance(b, np.ndarray):
        return linear(call, tensor(a), b, 0.0)
    if isinstance(a, np.ndarray):
        return linear(call, tensor(b), a, 0.0)
    return product(call, a, b)


@operator("Div")
def divide(call: Call) -> View | ErrorFunction:
    a, b = operands(call)
    if not isinstance(b, np.ndarray):
        raise UnsupportedNodeError("a division by what depends on the input", help="divide by constants only")
    require(bool(b.all()), "a division by 0", found=f"{int((b == 0).sum())} of {b.size} divisors")
    return linear(call, tensor(a), 1.0 / b.astype(np.float64), 0.0)


@operator("Erf")
def error_function(call: Call) -> ErrorFunction:
    return ErrorFunction.of(call.view(0))


def extremum(call: Call, bounds: Callable[[float], tuple[float, float]]) -> View:
    """The larger or smaller of a tensor and a number."""
    require(call.count == 2, "it has more than two operands", found=call.count)
    value = call.number(1 - only(call))
    return clipped(call, call.view(only(call)), *bounds(value))


@operator("Max")
def maximum(call: Call) -> View:
    return extremum(call, lambda value: (value, math.inf))


@operator("Min")
def minimum(call: Call) -> View:
    return extremum(call, lambda value: (-math.inf, value))


def tensor(x: Operand) -> View | ErrorFunction:
    """An operand that depends on the input."""
    if isinstance(x, np.ndarray):
        raise UnsupportedNodeError("both operands are constants, and the operator is not computed while importing")
    return x


def view(x: Operand) -> View:
    """An operand that the module has as a value."""
    if not isinstance(x, View):
        raise UnsupportedNodeError("the error function outside of Gelu", help="export Gelu as one operator (opset 20)")
    return x
