"""Activations that exporters write out as products: swish, hard swish, mish, and Gelu with the error function.

    x · Sigmoid(x)                      swish
    x · HardSigmoid(x)                  hard swish, also as x · Relu6(x + 3) / 6
    x · Tanh(Softplus(x))               mish
    x / 2 · (1 + Erf(x / √2))           Gelu, with factors in any order

The patterns are those of the module's own ops, so names and order of the nodes do not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.onnx.standard.call import Call
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError
from cnn2snn_ir.frontends.onnx.standard.view import View
from cnn2snn_ir.ir import F64, Op, Tensor, Value

Array = npt.NDArray[Any]

SIXTH = 1 / 6
CLOSE = 1e-5
"""Constants of a pattern are float32, and may have been rounded twice."""


@dataclass(frozen=True)
class ErrorFunction:
    """`slope · erf(x / √2) + offset` on its way to be a Gelu of `x`: no op of the module computes it alone."""

    x: View
    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, x: View) -> ErrorFunction:
        """The error function of `x`, which must be something divided by √2."""
        factor = factor_of(x.value)
        if factor is None or not close(factor[1], math.sqrt(0.5)):
            raise UnsupportedNodeError("the error function outside of Gelu", allowed="x/2 · (1 + Erf(x / √2))")
        return cls(x.on(factor[0]))

    def linear(self, scale: Array, offset: Array) -> ErrorFunction:
        """Times a number, plus a number."""
        if scale.size != 1 or offset.size != 1:
            raise UnsupportedNodeError("the error function outside of Gelu", allowed="x/2 · (1 + Erf(x / √2))")
        s, o = float(scale.reshape(-1)[0]), float(offset.reshape(-1)[0])
        return ErrorFunction(self.x, self.slope * s, self.offset * s + o)


def close(a: float, b: float) -> bool:
    """True if a constant is meant to be `b`."""
    return math.isclose(a, b, rel_tol=CLOSE)


def factor_of(value: Value) -> tuple[Value, float] | None:
    """What a value is a multiple of, and how many times."""
    op = value.owner
    if not isinstance(op, nn.Affine) or op.offset is not None or op.scale.splat is None:
        return None
    return op.x, float(op.scale.splat)


def product(call: Call, a: View | ErrorFunction, b: View | ErrorFunction) -> View | ErrorFunction:
    """The product of two tensors, if it is an activation."""
    for x, gate in ((a, b), (b, a)):
        if isinstance(x, ErrorFunction):
            continue
        found = gelu(call, x, gate) if isinstance(gate, ErrorFunction) else gated(call, x, gate)
        if found is not None:
            return x.on(found)
    raise UnsupportedNodeError(
        "a product of two tensors that both depend on the input",
        found=" and ".join(x.described for x in (a, b) if isinstance(x, View)),
        allowed="x · Sigmoid(x), x · HardSigmoid(x) and the like; products with constants",
        help="attention and squeeze-and-excite have no counterpart on the chip",
    )


def gelu(call: Call, x: View, gate: ErrorFunction) -> Value | None:
    """`x · (1 + erf)` times a number."""
    base, factor = (x.value, 1.0) if x.value is gate.x.value else factor_of(x.value) or (x.value, 1.0)
    if base is not gate.x.value or x.dims != gate.x.dims or not close(gate.slope, gate.offset):
        return None
    return times(call, call.emit(nn.Activation(base, Function.GELU)), 2 * factor * gate.slope)


def gated(call: Call, x: View, gate: View) -> Value | None:
    """`x` times a function of `x`."""
    op = gate.value.owner
    if x.dims != gate.dims:
        return None
    if isinstance(op, nn.Activation):
        inner = op.x.owner
        if op.x is x.value and op.function is Function.SIGMOID:
            return call.emit(nn.Activation(x.value, Function.SWISH))
        if op.x is x.value and op.function is Function.HARD_SIGMOID and close(op.alpha or 0.0, SIXTH):
            return call.emit(nn.Activation(x.value, Function.HARD_SWISH))
        softplus = isinstance(inner, nn.Activation) and inner.function is Function.SOFTPLUS and inner.x is x.value
        if op.function is Function.TANH and softplus:
            return call.emit(nn.Activation(x.value, Function.MISH))
    if relu6_of(gate.value) is x.value:
        return times(call, call.emit(nn.Activation(x.value, Function.HARD_SWISH)), 6.0)
    return None


def times(call: Call, x: Value, factor: float) -> Value:
    """A multiple."""
    return x if close(factor, 1.0) else call.emit(nn.Affine(x, Tensor.of(np.float64(factor), F64, "scale")))


def relu6_of(value: Value) -> Value | None:
    """The x of `min(max(x + 3, 0), 6)`."""
    op = value.owner
    inner = op.x.owner if isinstance(op, nn.ReLU) and op.max_value == 6.0 else None
    if not isinstance(inner, nn.Affine) or inner.scale.splat != 1.0 or inner.offset is None:
        return None
    return inner.x if inner.offset.splat == 3.0 else None


def hard_sigmoid(x: Value, scale: Array, offset: Array) -> Op | None:
    """`Relu6(y + 3) / 6` as one function of y."""
    y = relu6_of(x)
    if y is None or scale.ndim or offset.any() or not close(float(scale), SIXTH):
        return None
    return nn.Activation(y, Function.HARD_SIGMOID, SIXTH)
