"""Small `qnn` networks for Akida 1, as the Keras frontend would emit them, and random ones of every variant."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Tensor, Value, si, ui

from .networks import BOOL, Builder, geometry, sides

PADDINGS = (Padding.SAME, Padding.VALID)
"""Border rules of Akida 1."""


class Neurons(Builder):
    """Layers of Akida 1: narrow weights, unsigned activations, one exponent for all channels."""

    def fire(self, x: Value, name: str, bits: int = 4, right: int = 12, bounded: bool = True) -> Value:
        """ReLU and output quantizer."""
        return self.requantize(self.relu(x, bounded), name, ui(bits), right + 4 - bits)

    def stem(self, x: Value, name: str = "stem", filters: int = 4, **options) -> Value:
        return self.fire(self.conv(x, name, filters, **options), f"{name}_relu", right=16)

    def separable(self, x: Value, name: str, filters: int, kernel=(3, 3), bits=(4, 4), **options) -> Value:
        channels = x.type.channels
        weights = self.constant((*kernel, channels), si(bits[0]), f"{name}/depthwise_kernel")
        x = self.emit(qnn.DepthwiseConv2D(x, weights, acc=si(32), **options))
        pointwise = self.constant((1, 1, channels, filters), si(bits[1]), f"{name}/pointwise_kernel")
        x = self.emit(qnn.Conv2D(x, pointwise, padding=Padding.VALID, acc=si(32)), name, "QuantizedSeparableConv2D")
        return self.bias(x, name)


def neurons() -> builtin.Module:
    """A network with every layer of Akida 1, averaged before the last activation."""
    b = Neurons()
    x = b.stem(b.input((12, 12, 3)), strides=(2, 2))
    x = b.fire(b.separable(x, "separable", 6), "separable_relu", right=14)
    y = b.emit(qnn.MaxPool(b.conv(x, "conv", 5, bits=4), (2, 2), (2, 2), Padding.SAME), "pool", "QuantizedMaxPool2D")
    x = b.fire(y, "conv_relu")
    x = b.emit(qnn.SumPool(b.conv(x, "wide", 6, (1, 1), 4, padding=Padding.VALID)), "gap", "QuantizedGlobalAvgPool")
    x = b.fire(x, "gap_relu", right=14)
    return b.finish(b.dequantize(b.dense(x, "dense", 3, 4)))


def flattened() -> builtin.Module:
    """A dense layer that reads a map, and another behind it."""
    b = Neurons()
    x = b.stem(b.input((7, 5, 1)), padding=Padding.VALID)
    x = b.emit(qnn.Reshape(x, (60,)), "flatten", "QuantizedFlatten")
    x = b.fire(b.dense(x, "hidden", 7, 2), "hidden_relu", 2)
    return b.finish(b.dequantize(b.dense(x, "dense", 3, 4)))


@st.composite
def random_neurons(draw) -> builtin.Module:
    """An input, up to three layers, a head; every variant of each."""
    b = Neurons(draw(st.integers(0, 999)), draw(BOOL))
    if draw(BOOL):
        fill = Tensor.of(np.asarray(draw(st.integers(0, 255))), si(16), "stem/padding_value") if draw(BOOL) else None
        x = b.input((*sides(draw), draw(st.sampled_from([1, 3]))))
        x = b.stem(x, filters=draw(st.integers(1, 4)), pad_value=fill, **geometry(draw, x, 3, PADDINGS))
    else:
        x = b.input((*sides(draw), draw(st.integers(1, 4))), ui(4))
    for index in range(draw(st.integers(0, 3))):
        b.uniform = draw(BOOL)
        x = draw(st.sampled_from((conv_layer, separable_layer)))(draw, b, x, f"layer_{index}")
    return b.finish(head(draw, b, x))


def conv_layer(draw, b: Neurons, x: Value, name: str) -> Value:
    kernel, bits = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from([4, 2]))
    options = geometry(draw, x, kernel, PADDINGS)
    return pooled(draw, b, b.conv(x, name, draw(st.integers(1, 4)), (kernel, kernel), bits, **options), name, options)


def separable_layer(draw, b: Neurons, x: Value, name: str) -> Value:
    kernel, bits = draw(st.sampled_from([3, 5])), draw(st.sampled_from([4, 2]))
    options = geometry(draw, x, kernel, PADDINGS)
    x = b.separable(x, name, draw(st.integers(1, 4)), (kernel, kernel), (bits, bits), **options)
    return pooled(draw, b, x, name, options)


def pooled(draw, b: Neurons, x: Value, name: str, options: dict[str, object]) -> Value:
    """Max pooling perhaps, and an activation of any width."""
    fits = min(x.type.per_sample[:2]) >= 2 or options["padding"] is Padding.SAME
    if draw(BOOL) and fits:
        x = b.emit(qnn.MaxPool(x, (2, 2), (draw(st.integers(1, 2)),) * 2, options["padding"]), f"{name}_pool")
    return b.fire(x, f"{name}_relu", draw(st.sampled_from([4, 2, 1])), draw(st.integers(6, 12)))


def head(draw, b: Neurons, x: Value) -> Value:
    """A dense layer on the map, or behind an average with an activation, or the average itself."""
    if draw(BOOL):
        x = b.emit(qnn.SumPool(b.conv(x, "wide", 3, (1, 1), 4, padding=Padding.VALID), draw(BOOL)), "gap")
        if draw(BOOL):
            return b.dequantize(x)
        x = b.fire(x, "gap_relu", right=draw(st.integers(8, 14)))
    size = int(np.prod(x.type.per_sample))
    x = b.emit(qnn.Reshape(x, (size,)), "flatten") if x.type.rank == 4 else x
    x = b.dense(x, "dense", draw(st.integers(1, 4)), draw(st.sampled_from([4, 2])))
    return b.dequantize(x) if draw(BOOL) else x
