"""Float ONNX networks to quantize, with random weights; together they make QuantizeML write every kind of operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


class Net:
    """A graph under construction; its methods append an operator to a value and return the result's name."""

    def __init__(self, shape: tuple[int, ...], seed: int, dtype: int = TensorProto.FLOAT) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.channels = {"input": shape[0]}
        self.input = helper.make_tensor_value_info("input", dtype, ["N", *shape])

    def constant(self, values: Any, name: str, dtype: str = "float32") -> str:
        name = f"{name}_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, channels: int = 0, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], f"{output}_node", **attributes))
        self.channels[output] = channels or self.channels[inputs[0]]
        return output

    def weights(self, *shape: int, spread: float = 0.7) -> Array:
        """Normal weights, filters of different sizes."""
        fan_in = int(np.prod(shape[1:]))
        sizes = np.exp(self.random.normal(0, spread, (shape[0], *(1,) * (len(shape) - 1))))
        return self.random.normal(0, 1, shape) / np.sqrt(fan_in) * sizes

    def conv(self, x: str, filters: int = 0, k: int = 3, stride: int = 1, pads: Any = None, bias: bool = True) -> str:
        """A convolution; without a number of filters a depthwise one."""
        channels = self.channels[x]
        groups, filters = (1, filters) if filters else (channels, channels)
        kernel = self.constant(self.weights(filters, channels // groups, k, k), "kernel")
        more = [self.constant(self.random.normal(0, 0.3, filters), "bias")] if bias else []
        pads = [k // 2] * 4 if pads is None else pads
        options = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": pads, "group": groups}
        return self.op("Conv", x, kernel, *more, channels=filters, **options)

    def up(self, x: str, filters: int = 0, k: int = 3, bias: bool = True) -> str:
        """A transposed convolution with stride 2; without a number of filters a depthwise one."""
        channels = self.channels[x]
        groups, filters = (1, filters) if filters else (channels, channels)
        kernel = self.constant(self.weights(channels, filters // groups, k, k), "kernel")
        more = [self.constant(self.random.normal(0, 0.3, filters), "bias")] if bias else []
        total = k - 2
        pads = [total // 2] * 2 + [total - total // 2] * 2
        options = {"kernel_shape": [k, k], "strides": [2, 2], "pads": pads, "group": groups}
        return self.op("ConvTranspose", x, kernel, *more, channels=filters, **options)

    def over_time(self, x: str, filters: int, frames: int, k: int = 1) -> str:
        """A causal convolution over time and space; without a number of filters a depthwise one."""
        channels = self.channels[x]
        groups, filters = (1, filters) if filters else (channels, channels)
        kernel = self.constant(self.weights(filters, channels // groups, frames, k, k), "kernel")
        bias = self.constant(self.random.normal(0, 0.2, filters), "bias")
        pads = [frames - 1, k // 2, k // 2, 0, k // 2, k // 2]
        return self.op("Conv", x, kernel, bias, channels=filters, strides=[1, 1, 1], pads=pads, group=groups)

    def relu(self, x: str, bound: float | None = None) -> str:
        if bound is None:
            return self.op("Relu", x)
        return self.op("Clip", x, self.constant(0.0, "low"), self.constant(bound, "high"))

    def swish(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gelu(self, x: str) -> str:
        """As exporters write it."""
        root = self.op("Div", x, self.constant(np.sqrt(2.0), "root"))
        sum_ = self.op("Add", self.op("Erf", root), self.constant(1.0, "one"))
        return self.op("Mul", self.op("Mul", x, sum_), self.constant(0.5, "half"))

    def pool(self, x: str, k: int = 2, stride: int = 2, pads: Any = (0, 0, 0, 0)) -> str:
        return self.op("MaxPool", x, kernel_shape=[k, k], strides=[stride] * 2, pads=list(pads))

    def average(self, x: str) -> str:
        return self.op("Flatten", self.op("GlobalAveragePool", x))

    def dense(self, x: str, inputs: int, units: int, bias: bool = True) -> str:
        kernel = self.constant(self.weights(units, inputs), "kernel")
        more = [self.constant(self.random.normal(0, 0.3, units), "bias")] if bias else []
        return self.op("Gemm", x, kernel, *more, channels=units, transB=1)

    def model(self, *outputs: str) -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "net", [self.input], ends, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model)


def cnn(seed: int) -> onnx.ModelProto:
    """Every pooling, with ReLU; symmetric pads with stride 2."""
    n = Net((3, 16, 16), seed)
    x = n.pool(n.relu(n.conv("input", 8)))
    x = n.relu(n.conv(x, 12, bias=False))
    x = n.average(n.relu(n.conv(x, 16, stride=2)))
    return n.model(n.dense(x, 16, 5))


def residual(seed: int) -> onnx.ModelProto:
    """Depthwise, pointwise, additions, and maps that several layers read."""
    n = Net((3, 12, 12), seed)
    x = n.relu(n.conv("input", 8, stride=2))
    y = n.conv(n.relu(n.conv(x)), 8, k=1)
    z = n.relu(n.conv(n.op("Add", x, y), 12))
    z = n.op("Add", z, n.relu(n.conv(z, 12)))
    return n.model(n.dense(n.average(n.relu(n.conv(z, 8))), 8, 5))


def tables(seed: int) -> onnx.ModelProto:
    """Activations by table, bounded rectifiers, a signed input of four channels."""
    n = Net((4, 10, 10), seed)
    x = n.swish(n.conv("input", 6))
    x = n.op("HardSwish", n.conv(x, 8))
    x = n.op("LeakyRelu", n.conv(x), alpha=0.1)
    x = n.gelu(n.conv(x, 6, bias=False))
    x = n.relu(n.conv(x, 10), 6.0)
    x = n.average(n.op("HardSwish", n.conv(x, 8, k=1)))
    x = n.relu(n.dense(x, 8, 6), 1.5)
    return n.model(n.dense(x, 6, 4, bias=False))


def prelu(seed: int) -> onnx.ModelProto:
    """A parametric rectifier with one slope, behind an input convolution too."""
    n = Net((3, 8, 8), seed)
    x = n.op("PRelu", n.conv("input", 6), n.constant(np.full((1, 1, 1), 0.25), "slope"))
    x = n.op("PRelu", n.conv(x, 6, stride=2), n.constant(np.full((1, 1, 1), 0.125), "slope"))
    return n.model(n.relu(n.conv(x, 4)))


def unet(seed: int) -> onnx.ModelProto:
    """Transposed convolutions, a concatenation with the scales of its channels, a 5x5 with stride 2."""
    n = Net((1, 8, 8), seed)
    a = n.relu(n.conv("input", 6))
    d = n.relu(n.conv(a, 8, k=5, stride=2, pads=[1, 1, 2, 2]))
    x = n.relu(n.conv(n.op("Concat", a, n.relu(n.up(d, 6)), channels=12, axis=1), 6))
    x = n.relu(n.up(x), 2.0)
    return n.model(n.conv(n.swish(n.up(x, 3, k=4, bias=False)), 3, k=1))


def pools(seed: int) -> onnx.ModelProto:
    """Valid convolutions with pooling, depthwise ones with both poolings, a 3x3 pooling with stride 2."""
    n = Net((3, 20, 20), seed)
    x = n.relu(n.pool(n.conv("input", 6, k=5, pads=[0] * 4)), 4.0)
    x = n.relu(n.pool(n.conv(x)))
    x = n.relu(n.pool(n.conv(x, 8), 3, 2, (1, 1, 1, 1)))
    x = n.relu(n.conv(x, 8, k=1))
    return n.model(n.dense(n.average(n.relu(n.conv(x))), 8, 4))


def floored(seed: int) -> onnx.ModelProto:
    """A 3x3 pooling with stride 3 whose last windows do not fit, in front of a dense layer."""
    n = Net((1, 10, 10), seed)
    x = n.relu(n.pool(n.conv("input", 6), 3, 3))
    return n.model(n.dense(n.op("Flatten", x), 54, 5))


def strided(seed: int) -> onnx.ModelProto:
    """Depthwise 5x5 with stride 2, an even kernel, a map with odd sides."""
    n = Net((3, 15, 15), seed)
    x = n.relu(n.conv("input", 6, k=7, stride=2))
    x = n.relu(n.conv(x, k=5, stride=2))
    x = n.relu(n.conv(x, 8, stride=2))
    return n.model(n.relu(n.conv(x, 5, k=1)))


def mlp(seed: int) -> onnx.ModelProto:
    """Dense layers only, on a flattened map of several channels."""
    n = Net((2, 4, 5), seed)
    x = n.relu(n.dense(n.op("Flatten", "input"), 40, 16))
    return n.model(n.dense(n.relu(n.dense(x, 16, 12, bias=False)), 12, 6))


def vectors(seed: int) -> onnx.ModelProto:
    """Dense layers on vectors, and a softmax behind them."""
    n = Net((12,), seed)
    x = n.relu(n.dense("input", 12, 10), 2.0)
    return n.model(n.op("Softmax", n.dense(x, 10, 4), axis=1))


def flattened(seed: int) -> onnx.ModelProto:
    """A dense layer on a flattened map."""
    n = Net((3, 6, 6), seed)
    x = n.relu(n.conv("input", 4))
    return n.model(n.dense(n.op("Flatten", n.relu(n.conv(x, 4, stride=2))), 36, 3))


def summed(seed: int) -> onnx.ModelProto:
    """The sum of two branches is the output."""
    n = Net((3, 6, 6), seed)
    x = n.relu(n.conv("input", 6))
    return n.model(n.op("Add", n.conv(x, 4), n.conv(x, 4, k=1)))


def channels_last(seed: int) -> onnx.ModelProto:
    """A model that reads NHWC and turns it around itself."""
    n = Net((8, 8, 3), seed)
    x = n.op("Transpose", "input", channels=3, perm=[0, 3, 1, 2])
    x = n.relu(n.conv(x, 6))
    return n.model(n.dense(n.average(n.relu(n.conv(x, 8))), 8, 4))


def maps(seed: int) -> onnx.ModelProto:
    """A float tail on a map: softmax over channels."""
    n = Net((3, 6, 6), seed)
    x = n.relu(n.conv("input", 6))
    return n.model(n.op("Softmax", n.conv(x, 4, k=1), axis=1))


def two_outputs(seed: int) -> onnx.ModelProto:
    """Two outputs, which no program has."""
    n = Net((3, 6, 6), seed)
    x = n.relu(n.conv("input", 6))
    return n.model(n.conv(n.relu(n.conv(x, 4)), 4, k=1), n.dense(n.average(n.relu(n.conv(x, 8, stride=2))), 8, 3))


def stream(seed: int) -> onnx.ModelProto:
    """Convolutions over time, full and depthwise, with convolutions over space between them."""
    n = Net((2, 5, 6, 6), seed)
    x = n.relu(n.over_time("input", 5, 5))
    x = n.relu(n.over_time(x, 6, 1, k=3))
    x = n.relu(n.over_time(x, 0, 3))
    return n.model(n.over_time(x, 4, 1))


NETWORKS: dict[str, tuple[Callable[[int], onnx.ModelProto], tuple[int, ...]]] = {
    "cnn": (cnn, (3, 16, 16)),
    "residual": (residual, (3, 12, 12)),
    "tables": (tables, (4, 10, 10)),
    "prelu": (prelu, (3, 8, 8)),
    "unet": (unet, (1, 8, 8)),
    "pools": (pools, (3, 20, 20)),
    "floored": (floored, (1, 10, 10)),
    "strided": (strided, (3, 15, 15)),
    "mlp": (mlp, (2, 4, 5)),
    "vectors": (vectors, (12,)),
    "flattened": (flattened, (3, 6, 6)),
    "summed": (summed, (3, 6, 6)),
    "channels_last": (channels_last, (8, 8, 3)),
    "maps": (maps, (3, 6, 6)),
    "two_outputs": (two_outputs, (3, 6, 6)),
    "stream": (stream, (2, 6, 6)),
}
"""Name ▶ builder, and the shape of one sample (of a stream, one frame)."""
