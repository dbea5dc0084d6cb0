"""Elementwise functions, softmax, normalization of channels, and what acts while training only."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.onnx.standard.call import MICROSOFT, Call, operator
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import View

FUNCTIONS = {
    "Sigmoid": Function.SIGMOID,
    "Tanh": Function.TANH,
    "Softplus": Function.SOFTPLUS,
    "Softsign": Function.SOFTSIGN,
    "Mish": Function.MISH,
    "HardSwish": Function.HARD_SWISH,
}
"""Operators that are a function without parameters."""

ALPHAS = {"LeakyRelu": (Function.LEAKY_RELU, 0.01), "Elu": (Function.ELU, 1.0)}
"""Operators with one parameter, and its default."""

GELU = {"none": Function.GELU, "tanh": Function.GELU_TANH}


def applied(call: Call, x: View, function: Function, alpha: float | None = None) -> View:
    """A function of every element."""
    return x.on(call.emit(nn.Activation(x.value, function, alpha)))


@operator("Relu")
def relu(call: Call) -> View:
    x = call.view(0)
    return x.on(call.emit(nn.ReLU(x.value)))


@operator(*FUNCTIONS)
def function(call: Call) -> View:
    return applied(call, call.view(0), FUNCTIONS[call.node.op])


@operator(*ALPHAS)
def with_alpha(call: Call) -> View:
    kind, default = ALPHAS[call.node.op]
    return applied(call, call.view(0), kind, call.attribute("alpha", default))


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> View:
    call.expect("beta", 0.5)
    return applied(call, call.view(0), Function.HARD_SIGMOID, call.attribute("alpha", 0.2))


@operator("Gelu")
def gelu(call: Call) -> View:
    return applied(call, call.view(0), GELU[call.expect("approximate", *GELU)])


@operator("Gelu", domains=[MICROSOFT])
def microsoft_gelu(call: Call) -> View:
    return applied(call, call.view(0), Function.GELU)


@operator("FastGelu", domains=[MICROSOFT])
def fast_gelu(call: Call) -> View:
    return applied(call, call.view(0), Function.GELU_TANH)


@operator("Swish")
def swish(call: Call) -> View:
    call.expect("alpha", 1.0)
    return applied(call, call.view(0), Function.SWISH)


@operator("PRelu")
def parametric_relu(call: Call) -> View:
    x, slopes = call.view(0), call.floats(1)
    equal = slopes.size > 0 and bool((slopes == slopes.flat[0]).all())
    found = f"{slopes.size} slopes, {slopes.min(initial=0.0)} to {slopes.max(initial=0.0)}"
    require(equal, "channels with slopes of their own", found=found, allowed="one slope", help="use LeakyRelu")
    slope = float(slopes.flat[0])
    if slope == 0.0:
        return x.on(call.emit(nn.ReLU(x.value)))
    return applied(call, x, Function.LEAKY_RELU, slope)


@operator("Clip")
def clip(call: Call) -> View:
    """A rectifier, with or without an upper bound; other bounds are refused."""
    x = call.view(0)
    low, high = bound(call, "min", 1, -math.inf), bound(call, "max", 2, math.inf)
    return clipped(call, x, low, high)


def bound(call: Call, name: str, index: int, default: float) -> float:
    """A bound: an attribute before opset 11, then an operand."""
    value = call.number(index) if call.has(index) else float(call.attribute(name, default))
    return default if abs(value) >= float(np.finfo(np.float32).max) else value


def clipped(call: Call, x: View, low: float, high: float) -> View:
    """`min(max(x, low), high)` as a rectifier."""
    rectified = x.value.owner if isinstance(x.value.owner, nn.ReLU) else None
    if low == -math.inf and high == math.inf:
        return x
    if rectified is not None and low <= 0.0 < high:
        least = min(high, math.inf if rectified.max_value is None else rectified.max_value)
        if least == math.inf or least == rectified.max_value:
            return x
        return x.on(call.emit(nn.ReLU(rectified.x, least, loc=rectified.loc)))
    require(low == 0.0 < high, "bounds that no rectifier has", found=f"{low} to {high}", allowed="0 to any, or none")
    return x.on(call.emit(nn.ReLU(x.value, None if high == math.inf else high)))


@operator("Softmax")
def softmax(call: Call) -> View:
    x = call.view(0)
    axis = x.axis(call.attribute("axis", -1 if call.opset >= 13 else 1))
    require(axis != 0, "a softmax over the batch", found=f"axis {axis}")
    if call.opset < 13:  # over everything from `axis` on
        rest = [a for a in range(axis, x.rank) if x.shape[a] != 1] or [axis]
        message = "a softmax over several dimensions at once, as it is before opset 13"
        require(len(rest) == 1, message, found=f"axis {axis} of {x.described}", help="export for opset 13 or later")
        axis = rest[0]
    x = x if len(x.dims[axis]) == 1 else x.arrange(tuple(range(x.rank)), call.emit)
    if not x.dims[axis]:
        raise UnsupportedNodeError("a softmax over one element", found=x.described)
    return x.on(call.emit(nn.Softmax(x.value, x.dims[axis][0])))


@operator("BatchNormalization")
def batch_normalization(call: Call) -> View:
    call.expect("training_mode", 0, help="export the model for inference: model.eval()")
    call.expect("spatial", 1)
    call.ignore("momentum", "is_test", "consumed_inputs")
    x = call.view(0).channels_last(call.emit)
    constants = [call.floats(i) for i in range(1, 5)]
    shapes = {c.shape for c in constants}
    fits = shapes == {(x.shape[1],)}
    require(fits, "constants that do not fit the channels", found=f"{shapes} for {x.described}", code="ONNX-SHAPE")
    names = ("gamma", "beta", "mean", "variance")
    gamma, beta, mean, variance = (call.reals(c, n) for c, n in zip(constants, names, strict=True))
    return x.on(call.emit(nn.BatchNorm(x.value, gamma, beta, mean, variance, call.attribute("epsilon", 1e-5))))


@operator("Dropout")
def dropout(call: Call) -> View:
    call.ignore("ratio", "seed", "is_test")
    training = call.has(2) and bool(call.constant(2).fixed.any())
    require(not training, "dropout that acts", found="training_mode", help="export the model for inference")
    if call.has(1):
        call.operand(1)
    return call.any_view(0)


@operator("Identity", integers=True)
def identity(call: Call) -> View:
    return call.any_view(0)
