"""Small `qnn` networks as the Keras frontend would emit them: `Builder` takes every choice as an argument,
`networks()` draws them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, si, ui


@dataclass
class Builder:
    """Appends layers to a graph; every layer is named and located."""

    seed: int = 0
    uniform: bool = False
    """One constant for all channels, not one a channel."""
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

    def by_channel(self, x: Value, *arguments) -> Tensor:
        """A constant for the channels of `x`."""
        return self.constant(() if self.uniform else (x.type.channels,), *arguments)

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
        mantissa = self.constant((x.type.channels,), si(8), f"{name}/bias")
        return self.emit(qnn.BiasAdd(x, mantissa, self.by_channel(x, ui(8), f"{name}/bias_shift", 0, most)))

    def relu(self, x: Value, bounded: bool = True) -> Value:
        if not bounded:
            return self.emit(qnn.ReLU(x))
        limit = self.by_channel(x, ui(8), "max", 100, 255)
        return self.emit(qnn.ReLU(x, limit, self.by_channel(x, ui(8), "max_shift", 3, 7)))

    def requantize(self, x: Value, name: str, to: ElementType = si(8), right: int = 18) -> Value:
        scaled = self.emit(qnn.Scale(x, self.by_channel(x, ui(8), f"{name}/scale", 128, 255)))
        moves = self.by_channel(x, si(8), f"{name}/shift", -right - 1, -right + 1)
        return self.emit(qnn.Shift(scaled, moves, to), name, "QuantizedReLU")

    def align(self, x: Value, to: ElementType = si(28), most: int = 2) -> Value:
        return self.emit(qnn.Shift(x, self.by_channel(x, si(8), "alignment", 0, most), to))

    def dequantize(self, x: Value, name: str = "dequantizer") -> Value:
        scale = Tensor.of(self.rng.random(x.type.channels).astype(np.float32), F32, f"{name}/scale")
        op = qnn.Dequantize(x, Tensor.of(np.asarray(5), si(16), "frac_bits"), scale)
        return self.emit(op, name, "Dequantizer")

    def recurrence(
        self, x: Value, name: str, units: int, states: int = 4, subsample: int = 1, bias: bool = False, part: int = 0
    ) -> Value:
        """Projection, recurrence with its memory, projection: the accumulator of the last."""
        into = self.constant((x.type.channels, states), si(8), f"{name}_in/kernel")
        u = self.emit(qnn.Dense(x, into), f"{name}_in", "QuantizedStatefulProjection")
        u = self.bias(u, f"{name}_in") if bias else u
        u = self.emit(qnn.Scale(u, self.by_channel(u, ui(8), f"{name}/scale", 128, 255), si(32)))
        u = self.emit(qnn.Shift(u, self.by_channel(u, si(8), f"{name}/shift", -1, 1), si(32)))
        before = [self.emit(builtin.State(f"{name}/{p}", (states,), si(16))) for p in ("real", "imaginary")]
        a = [self.constant((states,), si(16), f"{name}/A_{p}", -20000, 20000) for p in ("real", "imag")]
        op = qnn.Recurrence(u, *before, *a, shift=-15)
        x = self.emit(op, name, "QuantizedStatefulRecurrent")
        for memory, after in zip(before, op.results[1:], strict=True):
            self.graph.append(builtin.Store(after, memory.owner.sym_name))
        x = self.emit(qnn.Take(x, part, 3))
        x = x if subsample == 1 else self.emit(qnn.Slice(x, 1, subsample - 1, subsample))
        return self.dense(x, f"{name}_out", units)

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


def recurrent(**options) -> builtin.Module:
    """Two recurrences of four states each over eight steps of three channels."""
    b = Builder()
    x = b.input((8, 3), si(16))
    x = b.requantize(
        b.relu(b.recurrence(x, "first", 5, **({"subsample": 2} | options)), bounded=False), "between", right=22
    )
    return b.finish(b.dequantize(b.recurrence(x, "second", 2)))


def deciding(threshold: int = 16000) -> builtin.Module:
    """A recurrence that predicts its own input, and whether it is far off."""
    b = Builder()
    target = b.input((8, 3), si(16))
    x = b.recurrence(target, "only", 3)
    x = b.emit(qnn.Scale(x, b.constant((3,), ui(16), "scale", 1 << 15), si(45)))
    x = b.emit(qnn.Shift(x, b.constant((3,), si(8), "shift", -24, -23), si(16)))
    x = b.emit(qnn.Deviation(x, target, threshold), "decision", "QuantizedPicoPostProcessing")
    return b.finish(b.emit(qnn.Dequantize(x, Tensor.of(np.asarray(0), si(16), "frac_bits"), None), "dequantizer"))


# ---- random networks ----------------------------------------------------------------------------------------

BOOL = st.booleans()


@st.composite
def networks(draw) -> builtin.Module:
    """An input, up to three layers, a head; every variant of each.  Only 2-bit weights are not legal for Akida 2."""
    b = Builder(draw(st.integers(0, 999)), draw(BOOL))
    x = draw(st.sampled_from(INPUTS))(draw, b)
    for index in range(draw(st.integers(0, 3))):
        b.uniform = draw(BOOL)
        x = draw(st.sampled_from(LAYERS))(draw, b, x, f"layer_{index}")
    return b.finish(draw(st.sampled_from(HEADS))(draw, b, x))


def sides(draw) -> tuple[int, int]:
    return draw(st.tuples(st.integers(3, 7), st.integers(3, 7)))


def image_input(draw, b: Builder) -> Value:
    """Bytes, which only a convolution with a rectifier can read; sometimes with a padding value."""
    x = b.input((*sides(draw), draw(st.sampled_from([1, 3]))))
    return stem(draw, b, x)


def stem(draw, b: Builder, x: Value) -> Value:
    fill = b.by_channel(x, si(16), "stem/padding_value", 0, 255) if draw(BOOL) else None
    kernel, stride = draw(st.sampled_from([3, 5])), draw(st.integers(1, 2))
    x = b.conv(x, "stem", draw(st.integers(1, 4)), (kernel, kernel), strides=(stride, stride), pad_value=fill)
    return b.requantize(b.relu(x, draw(BOOL)), "stem_relu")


def signed_input(draw, b: Builder) -> Value:
    return b.input((*sides(draw), draw(st.integers(1, 4))), si(8))


def signed_quantizer(draw, b: Builder) -> Value:
    x = b.input((*sides(draw), draw(st.integers(1, 4))), F32)
    return b.emit(qnn.Quantize(x, b.by_channel(x, si(16), "frac_bits", 3, 9), si(8)), "quantizer")


def unsigned_quantizer(draw, b: Builder) -> Value:
    x = b.input((*sides(draw), draw(st.sampled_from([1, 3]))), F32)
    zero = b.by_channel(x, si(9), "zero_point", 0, 255) if draw(BOOL) else None
    frac_bits = Tensor.of(np.asarray(7), si(16), "frac_bits")
    return stem(draw, b, b.emit(qnn.Quantize(x, frac_bits, si(9), zero), "quantizer"))


def linear_quantizer(draw, b: Builder) -> Value:
    """As ONNX files have it: by division, to a byte with a zero point or without."""
    x = b.input((*sides(draw), draw(st.sampled_from([1, 3]))), F32)
    step = b.rng.random(draw(st.sampled_from([(), (x.type.channels,)]))).astype(np.float32) / 8 + np.float32(0.001)
    zero = b.by_channel(x, ui(8), "zero_point", 0, 255) if draw(BOOL) else None
    return stem(draw, b, b.emit(qnn.QuantizeLinear(x, Tensor.of(step, F32, "scale"), ui(8), zero), "quantizer"))


def geometry(draw, x: Value, kernel: int, paddings: tuple[Padding, ...] = tuple(Padding)) -> dict[str, object]:
    """Strides and padding; `valid` only where the window fits."""
    fits = kernel <= min(x.type.per_sample[:2])
    padding = draw(st.sampled_from(paddings)) if fits else Padding.SAME
    return {"strides": (draw(st.integers(1, 2)),) * 2, "padding": padding}


def output(draw, b: Builder, x: Value, name: str, rectified: bool, right: int = 18) -> Value:
    """An output quantizer of 8 or 4 bits, with a scale or without."""
    to, more = draw(st.sampled_from([(si(8), 0), (si(4), 4), (ui(4) if rectified else si(5), 3)]))
    if draw(BOOL):
        return b.requantize(x, name, to, right + more)
    moves = b.by_channel(x, si(8), f"{name}/shift", -right - more + 6, -right - more + 8)
    return b.emit(qnn.Shift(x, moves, to), name, "QuantizedConv2D")


def finish_conv(draw, b: Builder, x: Value, name: str) -> Value:
    """Max pooling, rectifier, output."""
    padding = x.owner.operands[0].owner.padding
    pooled = draw(BOOL)
    if pooled:
        size = draw(st.sampled_from([s for s in (1, 2, 3) if s <= min(x.type.per_sample[:2])]))
        x = b.emit(qnn.MaxPool(x, (size, size), (draw(st.integers(1, 2)),) * 2, padding))
    rectified = pooled or draw(BOOL)
    x = b.relu(x, draw(BOOL)) if rectified else x
    return output(draw, b, x, f"{name}_out", rectified)


def conv_layer(draw, b: Builder, x: Value, name: str) -> Value:
    kernel, bits = draw(st.sampled_from([1, 2, 3, 5])), draw(st.sampled_from([8, 4, 2]))
    options = geometry(draw, x, kernel)
    x = b.align(x) if draw(BOOL) else x
    return finish_conv(draw, b, b.conv(x, name, draw(st.integers(1, 4)), (kernel, kernel), bits, **options), name)


def depthwise_layer(draw, b: Builder, x: Value, name: str) -> Value:
    kernel = draw(st.sampled_from([2, 3, 5]))
    return finish_conv(draw, b, b.depthwise(x, name, (kernel, kernel), **geometry(draw, x, kernel)), name)


def add_layer(draw, b: Builder, x: Value, name: str) -> Value:
    """A residual connection, around a convolution or around nothing."""
    y = b.requantize(b.relu(b.conv(x, f"{name}_conv", x.type.channels)), f"{name}_relu") if draw(BOOL) else x
    total = b.emit(qnn.Add(b.align(y, si(32)), b.align(x, si(32)) if draw(BOOL) else x))
    return b.emit(qnn.Shift(total, b.by_channel(total, si(8), f"{name}/shift", -3, 0), si(8)), name, "QuantizedAdd")


def concat_layer(draw, b: Builder, x: Value, name: str) -> Value:
    y = b.requantize(b.conv(x, f"{name}_conv", draw(st.integers(1, 3))), f"{name}_out") if draw(BOOL) else x
    return b.emit(qnn.Concat((x, y) if draw(BOOL) else (y, x), 3), name, "QuantizedConcatenate")


def saturating_alignment(draw, b: Builder, x: Value, name: str) -> Value:
    """What QuantizedFlatten does to channels of different fractional bits."""
    return b.align(x, x.type.element)


def map_head(draw, b: Builder, x: Value) -> Value:
    return x


def float_map_head(draw, b: Builder, x: Value) -> Value:
    return b.dequantize(x)


def average_head(draw, b: Builder, x: Value) -> Value:
    """Global average pooling, dense, softmax."""
    rectified = draw(BOOL)
    x = b.conv(b.align(x) if draw(BOOL) else x, "wide", 4, (1, 1))
    x = b.emit(qnn.SumPool(b.relu(x, draw(BOOL)) if rectified else x, keepdims=draw(BOOL)))
    x = output(draw, b, x, "gap", rectified, right=20)
    x = b.emit(qnn.Reshape(x, (4,))) if x.type.rank == 4 else x
    return classes(draw, b, x)


def flatten_head(draw, b: Builder, x: Value) -> Value:
    return classes(draw, b, b.emit(qnn.Reshape(x, (int(np.prod(x.type.per_sample)),)), "flatten"))


def classes(draw, b: Builder, x: Value) -> Value:
    """Two dense layers or one, and what the host computes."""
    if draw(BOOL):
        x = b.requantize(b.relu(b.dense(x, "hidden", 4)), "hidden_relu")
        x = b.align(x) if draw(BOOL) else x
    x = b.dense(x, "classes", 3, draw(st.sampled_from([4, 8])))
    return b.emit(nn.Softmax(b.dequantize(x), 1), "softmax", "Softmax") if draw(BOOL) else x


INPUTS = (image_input, signed_input, signed_quantizer, unsigned_quantizer, linear_quantizer)
LAYERS = (conv_layer, depthwise_layer, add_layer, concat_layer, saturating_alignment)
HEADS = (map_head, float_map_head, average_head, flatten_head)
