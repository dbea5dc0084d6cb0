"""Random ONNX networks: chains and branches of every kind of operator that the importer takes, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

Array = npt.NDArray[Any]


@dataclass
class Net:
    """A network under construction: nodes, constants, and the last value with its shape, without the batch."""

    random: np.random.Generator
    opset: int = 17
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    value: str = "x"
    shape: tuple[int, ...] = ()
    count: int = 0

    def constant(self, values: Array) -> str:
        """A new initializer."""
        self.count += 1
        self.constants.append(onnx.numpy_helper.from_array(values, f"c{self.count}"))
        return f"c{self.count}"

    def weights(self, *shape: int) -> str:
        """Random weights."""
        return self.constant((self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32))

    def add(self, op: str, *operands: str, shape: tuple[int, ...] | None = None, **attributes: Any) -> str:
        """A node that reads the last value and then `operands`; becomes the last value."""
        self.count += 1
        name = f"{op.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op, [self.value, *operands], [f"v{self.count}"], name=name, **attributes))
        self.value = f"v{self.count}"
        self.shape = self.shape if shape is None else shape
        return self.value

    def model(self, shape: tuple[int, ...], batch: int | str = "N") -> Any:
        """The network as a model."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])
        result = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [given], [result], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)


def window(net: Net, gaps: bool = False) -> tuple[dict[str, Any], tuple[int, int]]:
    """Attributes of a random window, and the map behind it; pads of every kind."""
    r, (_, height, width) = net.random, net.shape
    kernel = [int(r.integers(1, min(4, n) + 1)) for n in (height, width)]
    strides = [int(r.integers(1, 3)) for _ in kernel]
    dilations = [
        2 if gaps and 2 * k <= n and r.random() < 0.3 else 1 for k, n in zip(kernel, (height, width), strict=True)
    ]
    begin, end = ([int(r.integers(0, k)) for k in kernel] for _ in range(2))
    if r.random() < 0.5:  # as torch does
        begin = end = [k // 2 if k < 4 else 1 for k in kernel]
    sizes = zip((height, width), kernel, strides, begin, end, dilations, strict=True)
    rows, columns = ((n + b + e - (k - 1) * d - 1) // s + 1 for n, k, s, b, e, d in sizes)
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": [*begin, *end]}
    return attributes | ({"dilations": dilations} if gaps else {}), (rows, columns)


def conv(net: Net) -> None:
    attributes, size = window(net, gaps=True)
    channels, filters = net.shape[0], int(net.random.integers(1, 6))
    bias = [net.weights(filters)] if net.random.random() < 0.5 else []
    net.add(
        "Conv", net.weights(filters, channels, *attributes["kernel_shape"]), *bias, shape=(filters, *size), **attributes
    )


def grouped(net: Net) -> None:
    """A depthwise convolution, or one of two groups."""
    attributes, size = window(net, gaps=True)
    channels = net.shape[0]
    group = channels if net.random.random() < 0.6 or channels % 2 else 2
    weights = net.weights(channels, channels // group, *attributes["kernel_shape"])
    net.add("Conv", weights, shape=(channels, *size), group=group, **attributes)


def conv_transpose(net: Net) -> None:
    channels, height, width = net.shape
    kernel = int(net.random.choice([2, 4]))
    pads = [(kernel - 2) // 2] * 4
    weights = net.weights(channels, 3, kernel, kernel)
    net.add("ConvTranspose", weights, shape=(3, 2 * height, 2 * width), strides=[2, 2], pads=pads)


def activation(net: Net) -> None:
    op = str(net.random.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSwish", "Softplus", "Softsign"]))
    net.add(op)


def clip(net: Net) -> None:
    net.add("Clip", net.constant(np.float32(0)), net.constant(np.float32(6)))


def swish(net: Net) -> None:
    x = net.value
    net.add("Sigmoid")
    net.add("Mul", x)


def max_pool(net: Net) -> None:
    attributes, size = window(net)
    net.add("MaxPool", shape=(net.shape[0], *size), **attributes)


def average_pool(net: Net) -> None:
    attributes, size = window(net)
    net.add("AveragePool", shape=(net.shape[0], *size), count_include_pad=1, **attributes)


def batch_norm(net: Net) -> None:
    channels = net.shape[0]
    mean, beta = (net.random.normal(size=channels).astype(np.float32) for _ in range(2))
    gamma, variance = (net.random.uniform(0.5, 2, channels).astype(np.float32) for _ in range(2))
    net.add("BatchNormalization", *(net.constant(c) for c in (gamma, beta, mean, variance)))


def scale(net: Net) -> None:
    channels = net.shape[0]
    net.add(
        str(net.random.choice(["Mul", "Add", "Sub", "Div"])),
        net.constant(net.random.uniform(0.5, 2, (channels, 1, 1)).astype(np.float32)),
    )


def residual(net: Net) -> None:
    x, channels = net.value, net.shape[0]
    net.add("Conv", net.weights(channels, channels, 1, 1))
    net.add("Add", x)


def concat(net: Net) -> None:
    x, (channels, height, width) = net.value, net.shape
    net.add("Conv", net.weights(2, channels, 1, 1))
    net.add("Concat", x, shape=(2 + channels, height, width), axis=1)


def back_and_forth(net: Net) -> None:
    """Channels last and back, as exporters of other frameworks write it."""
    net.add("Transpose", perm=[0, 2, 3, 1])
    net.add("Relu")
    net.add("Transpose", perm=[0, 3, 1, 2])


def upsample(net: Net) -> None:
    channels, height, width = net.shape
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    net.add(
        "Resize",
        "",
        scales,
        shape=(channels, 2 * height, 2 * width),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def pad(net: Net) -> None:
    channels, height, width = net.shape
    rows, columns = (int(n) for n in net.random.integers(0, 3, 2))
    net.add(
        "Pad",
        net.constant(np.array([0, 0, rows, 0, 0, 0, 0, columns])),
        shape=(channels, height + rows, width + columns),
    )


MAPS = [conv, grouped, conv_transpose, activation, clip, swish, max_pool, average_pool, batch_norm, scale, residual,
        concat, back_and_forth, upsample, pad]  # fmt: skip
"""Steps from map to map."""


def head(net: Net) -> None:
    """From a map to classes: every way to get rid of the map."""
    way = int(net.random.integers(4))
    channels, height, width = net.shape
    size = channels * height * width
    if way == 0:
        net.add("Flatten", shape=(size,))
    elif way == 1:
        net.add("Reshape", net.constant(np.array([0, -1])), shape=(size,))
        net.add("Relu")
    elif way == 2:
        net.add("GlobalAveragePool", shape=(channels, 1, 1))
        net.add("Flatten", shape=(channels,))
    else:
        net.add("ReduceMean", axes=[2, 3], keepdims=0, shape=(channels,))
    net.add("Gemm", net.weights(4, net.shape[0]), net.weights(4), shape=(4,), transB=1)
    if net.random.random() < 0.5:
        net.add("Softmax", axis=-1)


def random_net(seed: int) -> tuple[Any, Array]:
    """A model and a batch of inputs."""
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 4)), int(random.integers(5, 10)), int(random.integers(5, 10)))
    net = Net(random, shape=shape)
    for _ in range(int(random.integers(1, 6))):
        step = MAPS[int(random.integers(len(MAPS)))]
        if min(net.shape[1:]) < 3 or max(net.shape[1:]) > 24:
            break
        step(net)
    if random.random() < 0.7:
        head(net)
    return net.model(shape), random.normal(size=(2, *shape)).astype(np.float32)


@dataclass
class QuantizedNet(Net):
    """A network of integers: weights are stored ones, and every node's result is rounded to a grid.

    All scales are powers of two, so float32 computes exactly, and ties are ties everywhere.
    """

    def weights(self, *shape: int) -> str:
        """Stored integers of 8 bits, dequantized; one scale for each filter, or one for all."""
        filters = shape[0] if self.random.random() < 0.5 else 1
        kind = np.int8 if filters > 1 or self.random.random() < 0.5 else np.uint8
        values = self.random.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)
        scale = np.ldexp(np.float32(1), self.random.integers(-9, -5, filters)).astype(np.float32)
        zero = np.full(filters, 0 if kind is np.int8 else 128, kind)
        if filters == 1:
            scale, zero = scale[0], zero[0]
        before, self.value = self.value, self.constant(values)
        name = super().add("DequantizeLinear", self.constant(scale), self.constant(zero), axis=0)
        self.value = before
        return name

    def add(self, op: str, *operands: str, shape: tuple[int, ...] | None = None, **attributes: Any) -> str:
        """A node, and the rounding of its result."""
        super().add(op, *operands, shape=shape, **attributes)
        if op in ("Conv", "Add", "Gemm"):
            self.rounded()
        return self.value

    def rounded(self) -> None:
        """A pair of QuantizeLinear and DequantizeLinear."""
        kind = np.uint8 if self.random.random() < 0.5 else np.int8
        scale = self.constant(np.ldexp(np.float32(1), int(self.random.integers(-5, 0))))
        zero = self.constant(np.asarray(self.random.integers(0, 100), kind))
        super().add("QuantizeLinear", scale, zero)
        super().add("DequantizeLinear", scale, zero)


def rectifier(net: Net) -> None:
    net.add("Relu")


EXACT = [conv, grouped, rectifier, clip, max_pool, residual, concat, back_and_forth, upsample, pad]
"""Steps that compute exactly with few bits."""


def quantized_net(seed: int) -> tuple[Any, Array]:
    """A model whose every value lies on a grid, and a batch of inputs."""
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 4)), int(random.integers(5, 10)), int(random.integers(5, 10)))
    net = QuantizedNet(random, shape=shape)
    net.rounded()
    for _ in range(int(random.integers(1, 6))):
        if min(net.shape[1:]) < 3 or max(net.shape[1:]) > 24:
            break
        EXACT[int(random.integers(len(EXACT)))](net)
    if random.random() < 0.5:
        size = int(np.prod(net.shape))
        net.add("Flatten", shape=(size,))
        net.add("Gemm", net.weights(4, size), shape=(4,), transB=1)
    return net.model(shape), (4 * random.normal(size=(2, *shape))).astype(np.float32)
