"""Small `qnn` networks with every choice as an argument, as the Keras frontend would emit them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, si, ui


@dataclass
class Builder:
    """Appends layers to a graph; every layer is named and located."""

    seed: int = 0
    graph: Graph = field(default_factory=Graph)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def emit(self, op: Op, name: str | None = None, kind: str = "") -> Value:
        if name is not None:
            op.results[0].name = name
            op.loc = Layer(name, kind)
        self.graph.append(op)
        return op.results[0]

    def constant(self, shape: tuple[int, ...], element: ElementType, name: str, low=None, high=None) -> Tensor:
        low = element.lo if low is None else low
        high = element.hi if high is None else high
        return Tensor.of(self.rng.integers(low, high + 1, shape), element, name)

    def input(self, shape: tuple[int, ...], element: ElementType = ui(8)) -> Value:
        return self.emit(builtin.Input(shape, element), "input", "InputLayer")

    def conv(self, x: Value, name: str, filters: int, kernel=(3, 3), bits: int = 8, **options) -> Value:
        weights = self.constant((*kernel, x.type.channels, filters), si(bits), f"{name}/kernel")
        conv = self.emit(qnn.Conv2D(x, weights, **options), name, "QuantizedConv2D")
        return self.bias(conv, name)

    def depthwise(self, x: Value, name: str, kernel=(3, 3), bits: int = 8, **options) -> Value:
        weights = self.constant((*kernel, x.type.channels), si(bits), f"{name}/kernel")
        conv = self.emit(qnn.DepthwiseConv2D(x, weights, **options), name, "QuantizedDepthwiseConv2D")
        return self.bias(conv, name)

    def dense(self, x: Value, name: str, units: int, bits: int = 8) -> Value:
        weights = self.constant((x.type.channels, units), si(bits), f"{name}/kernel")
        return self.bias(self.emit(qnn.Dense(x, weights), name, "QuantizedDense"), name)

    def bias(self, x: Value, name: str, most: int = 5) -> Value:
        channels = x.type.channels
        mantissa = self.constant((channels,), si(8), f"{name}/bias")
        shift = self.constant((channels,), ui(8), f"{name}/bias_shift", 0, most)
        return self.emit(qnn.BiasAdd(x, mantissa, shift))

    def relu(self, x: Value, bounded: bool = True) -> Value:
        channels = x.type.channels
        if not bounded:
            return self.emit(qnn.ReLU(x))
        limit = self.constant((channels,), ui(8), "max", 100, 255)
        return self.emit(qnn.ReLU(x, limit, self.constant((channels,), ui(8), "max_shift", 3, 7)))

    def requantize(self, x: Value, name: str, to: ElementType = si(8), right: int = 18) -> Value:
        channels = x.type.channels
        scaled = self.emit(qnn.Scale(x, self.constant((channels,), ui(8), f"{name}/scale", 128, 255)))
        moves = self.constant((channels,), si(8), f"{name}/shift", -right - 1, -right + 1)
        return self.emit(qnn.Shift(scaled, moves, to), name, "QuantizedReLU")

    def align(self, x: Value, to: ElementType = si(28), most: int = 2) -> Value:
        moves = self.constant((x.type.channels,), si(8), "alignment", 0, most)
        return self.emit(qnn.Shift(x, moves, to))

    def dequantize(self, x: Value, name: str = "dequantizer") -> Value:
        scale = Tensor.of(self.rng.random(x.type.channels).astype(np.float32), F32, f"{name}/scale")
        op = qnn.Dequantize(x, Tensor.of(np.asarray(5), si(16), "frac_bits"), scale)
        return self.emit(op, name, "Dequantizer")

    def finish(self, *values: Value) -> builtin.Module:
        self.graph.append(builtin.Return(values))
        return builtin.Module("net", self.graph)


def everything(seed: int = 0) -> builtin.Module:
    """A network with every kind of layer, and a softmax behind it."""
    b = Builder(seed)
    x = b.relu(b.conv(b.input((12, 12, 3)), "stem", 8, strides=(2, 2)))
    x = b.requantize(x, "stem_relu")
    skip = b.requantize(b.relu(b.depthwise(x, "dw")), "dw_relu", right=14)
    y = b.emit(qnn.MaxPool(b.conv(b.align(skip), "pooled", 8), (2, 2), (1, 1), Padding.SAME))
    y = b.requantize(b.relu(y), "pooled_relu", right=20)
    y = b.emit(qnn.Add(b.align(y, si(32)), b.align(skip, si(32))), None)
    y = b.emit(qnn.Shift(y, b.constant((8,), si(8), "add/shift", -3, -1), si(8)), "add", "QuantizedAdd")
    y = b.emit(qnn.Concat((y, skip), 3), "concat", "QuantizedConcatenate")
    y = b.relu(b.conv(b.align(y), "wide", 6, (1, 1), 4, padding=Padding.VALID), bounded=False)
    y = b.requantize(b.emit(qnn.SumPool(y)), "gap", ui(4), right=22)
    y = b.dense(y, "classes", 5, 4)
    y = b.emit(nn.Softmax(b.dequantize(y), 1), "softmax", "Softmax")
    return b.finish(y)
