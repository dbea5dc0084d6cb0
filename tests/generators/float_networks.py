"""Small float `nn` networks as frontends would emit them: `FloatBuilder` takes every choice as an argument,
`float_networks()` draws them all.

Weights are random, of a size that keeps values near 1; batch normalizations have moments and signs of all kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, ui

WIDTHS = (0.25, 4.0)
"""How much larger or smaller one filter may be than another."""


@dataclass
class FloatBuilder:
    """Appends layers to a graph; those with a name are located."""

    seed: int = 0
    graph: Graph = field(default_factory=Graph)
    count: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def emit(self, op: Op, kind: str | None = None) -> Value:
        """Append an op; one of a `kind` is a layer, and numbered."""
        if kind is not None:
            op.results[0].name = f"{kind}_{self.count}"
            op.loc = Layer(op.results[0].name, kind)
            self.count += 1
        self.graph.append(op)
        return op.results[0]

    def tensor(self, values: np.ndarray, name: str) -> Tensor:
        return Tensor.of(values, F32, f"{name}_{self.count}")

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)

    def kernel(self, shape: tuple[int, ...], fan_in: int) -> Tensor:
        """Weights whose filters differ in size, as trained ones do."""
        widths = np.exp(self.rng.uniform(*np.log(WIDTHS), shape[-1]))
        return self.tensor(self.normal(*shape) * widths / np.sqrt(fan_in), "kernel")

    def bias(self, filters: int, there: bool) -> Tensor | None:
        return self.tensor(self.normal(filters) / 2, "bias") if there else None

    # ---- layers -----------------------------------------------------------------------------------------------------

    def input(self, shape: tuple[int, ...], element: ElementType = F32) -> Value:
        value = self.emit(builtin.Input(shape, element, name="input"))
        return value if element.is_float else self.emit(nn.InputScaling(value))

    def conv(self, x: Value, filters: int, kernel: int = 3, bias: bool = True, **options) -> Value:
        weights = self.kernel((kernel, kernel, x.type.channels, filters), kernel * kernel * x.type.channels)
        return self.emit(nn.Conv2D(x, weights, self.bias(filters, bias), **options), "conv")

    def depthwise(self, x: Value, kernel: int = 3, bias: bool = True, **options) -> Value:
        weights = self.kernel((kernel, kernel, x.type.channels), kernel * kernel)
        return self.emit(nn.DepthwiseConv2D(x, weights, self.bias(x.type.channels, bias), **options), "depthwise")

    def transposed(self, x: Value, filters: int, kernel: int = 3, bias: bool = True, **options) -> Value:
        weights = self.kernel((kernel, kernel, x.type.channels, filters), kernel * x.type.channels)
        return self.emit(nn.Conv2DTranspose(x, weights, self.bias(filters, bias), strides=(2, 2), **options), "deconv")

    def depthwise_transposed(self, x: Value, bias: bool = True) -> Value:
        weights = self.kernel((3, 3, x.type.channels), 3)
        op = nn.DepthwiseConv2DTranspose(x, weights, self.bias(x.type.channels, bias), strides=(2, 2))
        return self.emit(op, "depthwise_deconv")

    def dense(self, x: Value, units: int, bias: bool = True) -> Value:
        weights = self.kernel((x.type.channels, units), x.type.channels)
        return self.emit(nn.Dense(x, weights, self.bias(units, bias)), "dense")

    def batch_norm(self, x: Value, positive: bool = False) -> Value:
        channels = x.type.channels
        gamma, beta, mean = self.normal(3, channels) / 2
        gamma = 0.1 + np.abs(gamma) if positive else gamma
        moments = [self.tensor(v, "bn") for v in (gamma, beta, mean, 0.2 + self.rng.random(channels))]
        return self.emit(nn.BatchNorm(x, *moments, 0.001), "bn")

    def affine(self, x: Value, offset: bool = True) -> Value:
        scale, shift = self.normal(2, x.type.channels)
        return self.emit(
            nn.Affine(x, self.tensor(scale, "scale"), self.tensor(shift, "shift") if offset else None), "affine"
        )

    def relu(self, x: Value, bound: float | None = None) -> Value:
        return self.emit(nn.ReLU(x, bound), "relu")

    def finish(self, *values: Value) -> builtin.Module:
        self.graph.append(builtin.Return(values))
        return builtin.Module("net", self.graph)


def residual(seed: int = 0, bound: float | None = None) -> builtin.Module:
    """A net of residual and joined branches that is in normal form but for its batch normalizations."""
    b = FloatBuilder(seed)
    x = skip = b.relu(b.batch_norm(b.conv(b.input((8, 8, 3)), 6, strides=(2, 2))), bound)
    x = b.relu(b.batch_norm(b.conv(x, 12, 1, bias=False)), bound)
    x = b.relu(b.batch_norm(b.depthwise(x)), bound)
    x = b.emit(nn.Add(b.batch_norm(b.conv(x, 6, 1)), skip), "add")
    left = b.relu(b.conv(x, 4))
    right = b.emit(nn.MaxPool(b.relu(b.conv(x, 5)), (3, 3), (1, 1), Padding.SAME), "pool")
    x = b.relu(b.conv(b.emit(nn.Concat((left, right), 3), "join"), 8))
    x = b.emit(nn.GlobalAveragePool(x), "mean")
    return b.finish(b.emit(nn.Softmax(b.dense(x, 4), 1), "softmax"))


# ---- random networks ------------------------------------------------------------------------------------------------

BOOL = st.booleans()
FUNCTIONS = [(Function.TANH, None), (Function.SWISH, None), (Function.LEAKY_RELU, 0.25), (Function.LINEAR, None)]


@st.composite
def float_networks(draw) -> builtin.Module:
    """An input, up to four blocks, a head; every variant of each."""
    b = FloatBuilder(draw(st.integers(0, 999)))
    shape = (draw(st.integers(4, 8)), draw(st.integers(4, 8)), draw(st.integers(1, 3)))
    x = b.input(shape, draw(st.sampled_from([F32, ui(8)])))
    if draw(BOOL):
        x = b.emit(nn.Rescaling(x, 1 / 64, draw(st.sampled_from([0.0, -1.0]))), "rescaling")
    for _ in range(draw(st.integers(0, 4))):
        x = draw(st.sampled_from(BLOCKS))(draw, b, x)
    return b.finish(draw(st.sampled_from(HEADS))(draw, b, x))


def geometry(draw, x: Value, kernel: int) -> dict[str, object]:
    """Strides and padding; `valid` only where the window fits."""
    fits = kernel <= min(x.type.per_sample[:2])
    padding = draw(st.sampled_from(list(Padding))) if fits else Padding.SAME
    return {"strides": (draw(st.integers(1, 2)),) * 2, "padding": padding}


def after(draw, b: FloatBuilder, x: Value) -> Value:
    """What stands behind a layer: normalization, pooling, activation, in one order or another."""
    steps = [b.batch_norm, lambda x: pooled(draw, b, x), lambda x: activated(draw, b, x)]
    for step in draw(st.permutations(steps)):
        x = step(x) if draw(BOOL) else x
    return x


def activated(draw, b: FloatBuilder, x: Value) -> Value:
    if draw(BOOL):
        return b.relu(x, draw(st.sampled_from([None, 1.5])))
    return b.emit(nn.Activation(x, *draw(st.sampled_from(FUNCTIONS))), "activation")


def pooled(draw, b: FloatBuilder, x: Value) -> Value:
    kind, size = draw(st.sampled_from([nn.MaxPool, nn.AveragePool])), draw(st.integers(2, 3))
    fits = size <= min(x.type.per_sample[:2])
    padding = draw(st.sampled_from(list(Padding))) if fits else Padding.SAME
    return b.emit(kind(x, (size, size), (2, 2), padding), "pool")


def convolution(draw, b: FloatBuilder, x: Value) -> Value:
    kernel = draw(st.integers(1, 3))
    return after(draw, b, b.conv(x, draw(st.integers(1, 4)), kernel, draw(BOOL), **geometry(draw, x, kernel)))


def separable(draw, b: FloatBuilder, x: Value) -> Value:
    inner = after(draw, b, b.depthwise(x, 3, draw(BOOL), **geometry(draw, x, 3)))
    return after(draw, b, b.conv(inner, draw(st.integers(1, 4)), 1, padding=Padding.VALID))


def padded(draw, b: FloatBuilder, x: Value) -> Value:
    rows, columns = (draw(st.tuples(st.integers(0, 1), st.integers(0, 1))) for _ in range(2))
    x = b.emit(nn.Pad(x, rows, columns, draw(st.sampled_from([0.0, 0.0, 0.5]))), "pad")
    strides, size = (draw(st.integers(1, 2)),) * 2, min(3, *x.type.per_sample[:2])
    if draw(BOOL):
        return b.emit(nn.MaxPool(x, (size, size), strides), "pool")
    return b.conv(x, 3, size, strides=strides, padding=Padding.VALID)


def scaled(draw, b: FloatBuilder, x: Value) -> Value:
    x = b.emit(nn.Dropout(x), "dropout") if draw(BOOL) else x
    x = b.affine(x, draw(BOOL)) if draw(BOOL) else b.batch_norm(x)
    return activated(draw, b, x) if draw(BOOL) else x


def enlarged(draw, b: FloatBuilder, x: Value) -> Value:
    if draw(BOOL):
        return b.emit(nn.Upsample(x, draw(st.sampled_from([(2, 2), (1, 2)]))), "upsample")
    x = b.transposed(x, 3, draw(st.integers(2, 4))) if draw(BOOL) else b.depthwise_transposed(x)
    return after(draw, b, x)


def shortcut(draw, b: FloatBuilder, x: Value) -> Value:
    """Two layers around which the value itself goes, too."""
    inner = activated(draw, b, b.batch_norm(b.conv(x, 4)))
    return b.emit(nn.Add(b.conv(inner, x.type.channels, 1), x), "add")


def branches(draw, b: FloatBuilder, x: Value) -> Value:
    parts = [activated(draw, b, b.conv(x, draw(st.integers(1, 3)))) for _ in range(draw(st.integers(2, 3)))]
    return b.emit(nn.Concat(tuple(parts), 3), "join")


BLOCKS = [convolution, convolution, separable, padded, scaled, enlarged, shortcut, branches]


def map_head(draw, b: FloatBuilder, x: Value) -> Value:
    return x


def mean_head(draw, b: FloatBuilder, x: Value) -> Value:
    x = b.emit(nn.GlobalAveragePool(x, False), "mean")
    return b.dense(b.batch_norm(x) if draw(BOOL) else x, 3)


def flat_head(draw, b: FloatBuilder, x: Value) -> Value:
    height, width, channels = x.type.per_sample
    x = b.emit(nn.Reshape(x, (height * width * channels,)), "flatten")
    x = b.dense(x, 3)
    return b.emit(nn.Softmax(x, 1), "softmax") if draw(BOOL) else b.dense(b.relu(x), 2)


HEADS = [map_head, mean_head, flat_head]
