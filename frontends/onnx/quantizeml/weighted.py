"""Layers with weights on single maps and vectors: a linear op on integers, then what `steps.py` has."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call, Ints
from cnn2snn_ir.frontends.onnx.quantizeml.importer import TABLE, Importer, registered
from cnn2snn_ir.frontends.onnx.quantizeml.steps import (
    ACCUMULATOR,
    add_bias,
    bounded,
    finish,
    kernel_tensor,
    map_size,
    padding,
    pair,
    sums,
)
from cnn2snn_ir.ir import Value, si


def weights_of(call: Call, *shape: int | None) -> Ints:
    """The weights, if they have this shape (None is any size)."""
    array = call.constant("W").astype(np.int64)
    fits = array.ndim == len(shape) and all(s in (None, d) for s, d in zip(shape, array.shape, strict=True))
    if not fits or not array.size:
        allowed = "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"
        raise call.fault("W has another shape", str(list(array.shape)), allowed)
    return array


def groups(call: Call, channels: int) -> None:
    """Depthwise layers have a group for each channel."""
    if call.number("groups") != channels:
        found = str(call.node.attributes["groups"])
        raise call.fault("every channel must be a group", found, str(channels), code="QML-ATTRIBUTE")


def conv_padding(call: Call, x: Value, weights: Ints) -> tuple[Padding, tuple[int, int]]:
    """Border rule and strides of a convolution with weights [height, width, …]."""
    pads = call.constant("pads")
    if pads.shape != (8,) or pads.min() < 0 or pads[[0, 1, 4, 5]].any() or pads.max() > 1 << 16:
        raise call.fault("pads cannot be", str(pads.tolist()), "[0, 0, top, left, 0, 0, bottom, right]", code="QML-PAD")
    strides = pair(call.integers("strides", 2))
    kernel = (weights.shape[0], weights.shape[1])
    sides = tuple(int(pads[i]) for i in (2, 3, 6, 7))
    return padding(call, map_size(call, x), kernel, strides, sides), strides


@registered(TABLE, "QuantizedInputConv2D", "QuantizedConv2D")
def conv2d(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Weights are [out, in, height, width]; the border of an input convolution holds a value for each channel."""
    x = call.value("X")
    map_size(call, x)
    weights = weights_of(call, None, x.type.channels, None, None).transpose(2, 3, 1, 0)
    rule, strides = conv_padding(call, x, weights)
    fill = call.vector("x_pad_value", x.type.channels).astype(np.int64) if call.has("x_pad_value") else None
    op = qnn.Conv2D(
        x,
        kernel_tensor(imp, weights),
        strides=strides,
        padding=rule,
        pad_value=imp.constant(fill, si(32), "padding_value") if fill is not None and fill.any() else None,
        acc=ACCUMULATOR,
    )
    value = bounded(imp, call, imp.emit(op), sums(imp, call, weights, x, fill))
    return (finish(imp, call, add_bias(imp, call, value)),)


@registered(TABLE, "QuantizedDepthwise2D")
def depthwise(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Weights are [channels, 1, height, width]."""
    x = call.value("X")
    map_size(call, x)
    groups(call, x.type.channels)
    weights = weights_of(call, x.type.channels, 1, None, None)[:, 0].transpose(1, 2, 0)
    rule, strides = conv_padding(call, x, weights)
    op = qnn.DepthwiseConv2D(x, kernel_tensor(imp, weights), strides=strides, padding=rule, acc=ACCUMULATOR)
    value = bounded(imp, call, imp.emit(op), sums(imp, call, weights, x))
    return (finish(imp, call, add_bias(imp, call, value)),)


def cropping(call: Call, kernel: tuple[int, ...]) -> tuple[Padding, tuple[int, int]]:
    """Border rule and strides of a transposed convolution, whose pads are cropped from the whole sum."""
    strides, pads = pair(call.integers("strides", 2)), call.integers("pads", 4, least=0)
    excess = [k - s for k, s in zip(kernel, strides, strict=True)]
    same = (*(e // 2 for e in excess), *(e - e // 2 for e in excess))
    if min(excess) >= 0 and pads in (same, (0, 0, 0, 0)):
        return Padding.SAME if pads == same else Padding.VALID, strides
    raise call.fault(
        "no border rule crops like this",
        f"pads {list(pads)}, kernel {list(kernel)}, strides {list(strides)}",
        f"{list(same)}" if min(excess) >= 0 else "a kernel that is not smaller than the strides",
        code="QML-PAD",
    )


@registered(TABLE, "QuantizedConv2DTranspose")
def conv2d_transpose(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Weights are [in, out, height, width]."""
    x = call.value("X")
    map_size(call, x)
    weights = weights_of(call, x.type.channels, None, None, None).transpose(2, 3, 0, 1)
    rule, strides = cropping(call, weights.shape[:2])
    op = qnn.Conv2DTranspose(x, kernel_tensor(imp, weights), strides=strides, padding=rule, acc=ACCUMULATOR)
    value = bounded(imp, call, imp.emit(op), sums(imp, call, weights, x))
    return (finish(imp, call, add_bias(imp, call, value)),)


@registered(TABLE, "QuantizedDepthwise2DTranspose")
def depthwise_transpose(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Weights are [channels, 1, height, width]."""
    x = call.value("X")
    map_size(call, x)
    groups(call, x.type.channels)
    weights = weights_of(call, x.type.channels, 1, None, None)[:, 0].transpose(1, 2, 0)
    rule, strides = cropping(call, weights.shape[:2])
    op = qnn.DepthwiseConv2DTranspose(x, kernel_tensor(imp, weights), strides=strides, padding=rule, acc=ACCUMULATOR)
    value = bounded(imp, call, imp.emit(op), sums(imp, call, weights, x))
    return (finish(imp, call, add_bias(imp, call, value)),)


@registered(TABLE, "QuantizedDense1D")
def dense(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Weights are [units, inputs]; those of a flattened map in the order channels, height, width."""
    x = call.value("X")
    shape = x.type.per_sample
    if len(shape) != 1 and not call.name.flatten:
        raise call.fault("the operator needs vectors", str(x.type), "2 dimensions", code="QML-SHAPE")
    weights = weights_of(call, None, math.prod(shape))
    if len(shape) == 3:
        height, width, channels = shape
        weights = weights.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weights), -1)
        x = imp.emit(qnn.Reshape(x, (math.prod(shape),)))
    value = imp.emit(qnn.Dense(x, kernel_tensor(imp, weights.T), acc=ACCUMULATOR))
    value = bounded(imp, call, value, sums(imp, call, weights.T, x))
    return (finish(imp, call, add_bias(imp, call, value)),)
