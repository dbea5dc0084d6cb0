"""ONNX models of QuantizeML's operators, written node by node with random weights.

The functions are QuantizeML's own, from `fixtures/onnx/functions.onnx`; arguments are given by the names of their
inputs, so that a test may say what it likes of every one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from generators.recorded import FIXTURES
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cnn2snn_ir.dialects.geometry import Padding, borders

DOMAIN = "com.brainchip"
FIFO = {"fifo_name": "frames", "model_id": "model"}


@cache
def functions() -> dict[str, onnx.FunctionProto]:
    """One function for every operator."""
    return {f.name: f for f in onnx.load(FIXTURES / "onnx" / "functions.onnx").functions}


class Writer:
    """A model under construction."""

    def __init__(self, shape: tuple[Any, ...], dtype: int = TensorProto.FLOAT) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("input", dtype, shape)

    def call(self, op: str, arguments: dict[str, Any], *outputs: str, **attributes: Any) -> str:
        """A node of QuantizeML: arrays become initializers, strings are values; returns the first output."""
        name = f"{op}_{len(self.nodes)}"
        inputs = [self.argument(arguments[formal], f"{name}_{formal}") for formal in functions()[op].input]
        outputs = outputs or (f"{name}_out",)
        self.nodes.append(helper.make_node(op, inputs, outputs, name, domain=DOMAIN, **attributes))
        return outputs[0]

    def argument(self, value: Any, name: str) -> str:
        """The name of an argument."""
        if isinstance(value, str):
            return value
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantize(self, channels: int, scale: float = 0.01, zero: int = 0, dtype: str = "int8", rank: int = 4) -> str:
        scales = np.full(channels, scale, np.float32)
        return self.call(
            "InputQuantizer",
            {"X": "input", "scale": scales, "zp": np.full(channels, zero, dtype)},
            "quantized",
            perm=list(range(rank)),
        )

    def model(self, last: str, channels: int) -> onnx.ModelProto:
        """The model that returns `last`, dequantized."""
        scale = np.linspace(0.5, 1.5, channels, dtype=np.float32)
        self.call("Dequantizer", {"X": last, "scale": scale}, "y")
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [self.input], [output], self.constants)
        names = {n.op_type for n in self.nodes}
        names |= {n.op_type for name in names for n in functions()[name].node if n.op_type in functions()}
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
        kept = [functions()[name] for name in sorted(names)]
        return helper.make_model(graph, functions=kept, opset_imports=opsets, ir_version=11)


def small(channels: int = 3, size: int = 6, pads: int = 1, **arguments: Any) -> onnx.ModelProto:
    """A quantizer and one convolution of 3x3, any argument of which may be another."""
    random = np.random.default_rng(1)
    w = Writer(("N", channels, size, size))
    given = {
        "X": w.quantize(channels),
        "W": random.integers(-127, 128, (4, channels, 3, 3)).astype(np.int8),
        "bias": np.array([4, -3, 0, 127], np.int32) << 3,
        "pads": np.array([0, 0, pads, pads, 0, 0, pads, pads]),
        "Scale": np.full((1, 4, 1, 1), 200, np.uint8),
        "Shift": np.full((1, 4, 1, 1), 2.0**14, np.float32),
    }
    last = w.call("QuantizedConv2DBiasedReLUScaled", given | arguments, "conv", strides=[1, 1])
    return w.model(last, 4)


def save(model: onnx.ModelProto, folder: Path, name: str = "net") -> Path:
    """Write a model without the checks of `onnx`, which refuse some of what a test wants."""
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


# ---- random models ----------------------------------------------------------------------------------------------


def side(draw: Any, size: int, kernel: int, stride: int, rule: Padding) -> tuple[int, int]:
    """Pads along an axis that a rule gives, perhaps with some behind the last window."""
    before, behind = borders(size, kernel, stride, rule)
    room = size + before + behind - kernel
    spare = stride - 1 - room % stride
    return before, behind + draw(st.integers(0, min(spare, kernel - 1)))


def window(draw: Any, sizes: tuple[int, int], kernel: int, stride: int) -> list[int]:
    """Pads (top, left, bottom, right) of a rule that both axes follow."""
    fits = min(sizes) >= kernel
    rule = draw(st.sampled_from(list(Padding) if fits else [Padding.SAME, Padding.SAME_UPPER]))
    (top, bottom), (left, right) = (side(draw, size, kernel, stride, rule) for size in sizes)
    return [top, left, bottom, right]


class Random:
    """Random arguments, of a generator that hypothesis seeds."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def weights(self, *shape: int) -> np.ndarray:
        return self.numbers.integers(-128, 128, shape).astype(np.int8)

    def by_channel(self, values: Any, channels: int, rank: int) -> np.ndarray:
        """One for all channels, or one for each."""
        one = self.draw(st.booleans())
        shape = (1,) * rank if one else (1, channels, *(1,) * (rank - 2))
        return np.resize(values, shape) if one else np.reshape(values, shape)

    def rescaling(self, channels: int, rank: int, right: int, names: tuple[str, str]) -> dict[str, np.ndarray]:
        """A scale and what is divided by, some of it below 1."""
        exponents = self.numbers.integers(right - 4, right + 3, channels)
        if self.draw(st.booleans()):
            exponents = np.where(
                self.numbers.random(channels) < 0.2, -self.numbers.integers(0, 12, channels), exponents
            )
        numbers = self.numbers.integers(0, 256, channels).astype(np.uint8), (2.0**exponents).astype(np.float32)
        return {name: self.by_channel(values, channels, rank) for name, values in zip(names, numbers, strict=True)}

    def mantissas(self, low: int, high: int, channels: int) -> np.ndarray:
        """Numbers of 8 bits, shifted to the left."""
        return (self.numbers.integers(low, high, channels) << self.numbers.integers(0, 12, channels)).astype(np.int32)

    def processing(self, name: Any, channels: int, rank: int) -> dict[str, np.ndarray]:
        """Bias, activation and output of a layer."""
        found: dict[str, np.ndarray] = {}
        if name.bias:
            found["bias"] = self.mantissas(-128, 128, channels)
        if name.activation == "ReLUClipped":
            found["max_value"] = self.by_channel(self.mantissas(0, 256, channels), channels, rank)
        if name.activation == "LUT":
            found |= self.rescaling(channels, rank, 14, ("ActScale", "ActShift"))
            found["LUT_values"] = self.numbers.integers(-8191, 8192, 2048).astype(np.int32)
        if name.scale:
            found |= self.rescaling(channels, rank, 12 if name.activation == "LUT" else 20, ("Scale", "Shift"))
        return found


@st.composite
def one_layer(draw, name):
    """A model with a layer of a name taken apart, and the shape of its samples."""
    r = Random(draw)
    op = spelled(name)
    channels, filters = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    sizes = (draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    shape = (channels,) if name.base == "QuantizedDense1D" and not name.flatten else (channels, *sizes)
    unsigned = name.base == "QuantizedInputConv2D"
    w = Writer(("N", *shape))
    zero = draw(st.integers(0, 255)) if unsigned else 0
    x = w.quantize(channels, 0.01, zero, "uint8" if unsigned else "int8", rank=len(shape) + 1)
    build = LAYERS[name.base.removeprefix("Quantized").removeprefix("Depthwise").removeprefix("Input")]
    arguments, attributes, results = build(r, name, sizes, channels, filters)
    if name.base.startswith("QuantizedInput"):
        arguments["x_pad_value"] = np.full(channels, zero, np.int32)
    arguments |= {"X": x, **r.processing(name, results, len(shape) + 1 if len(shape) == 1 or name.flatten == "" else 2)}
    if name.base == "QuantizedDepthwiseBufferTempConv":
        arguments["bias"] = arguments["bias"].reshape(-1, 1, 1)
    if name.pool == "MaxPool":
        attributes |= pooling(draw, r, name, sizes, arguments, attributes)
    return w.model(w.call(op, arguments, **attributes), results), shape


def spelled(name: Any) -> str:
    """The operator's name."""
    return name.base + name.flatten + name.bias + name.pool + name.activation + name.scale


def pooling(draw: Any, r: Random, name: Any, sizes: Any, arguments: Any, attributes: Any) -> dict[str, Any]:
    """A max pooling over what the convolution gives."""
    kernel, stride, pads = arguments["W"].shape[2:], attributes["strides"][0], arguments["pads"]
    rows, columns = ((sizes[i] + pads[2 + i] + pads[6 + i] - kernel[i]) // stride + 1 for i in (0, 1))
    size, step = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    given = window(draw, (int(rows), int(columns)), size, step)
    return {"pool_size": [size, size], "pool_strides": [step, step], "pool_pads": given}


def convolution(r: Random, name: Any, sizes: Any, channels: int, filters: int) -> Any:
    """Weights, pads and strides of a convolution."""
    kernel, stride = r.draw(st.sampled_from([1, 3, 5])), r.draw(st.integers(1, 2))
    top, left, bottom, right = window(r.draw, sizes, kernel, stride)
    pads = np.array([0, 0, top, left, 0, 0, bottom, right])
    attributes: dict[str, Any] = {"strides": [stride, stride]}
    if name.depthwise:
        weights, filters = r.weights(channels, 1, kernel, kernel), channels
        attributes["groups"] = channels
    else:
        weights = r.weights(filters, channels, kernel, kernel)
    return {"W": weights, "pads": pads}, attributes, filters


def transposed(r: Random, name: Any, sizes: Any, channels: int, filters: int) -> Any:
    """Weights, pads and strides of a transposed convolution."""
    kernel = r.draw(st.integers(2, 4))
    excess = kernel - 2
    pads = r.draw(st.sampled_from([[0] * 4, [excess // 2] * 2 + [excess - excess // 2] * 2]))
    attributes: dict[str, Any] = {"strides": [2, 2], "pads": pads} | ({"groups": channels} if name.depthwise else {})
    filters = channels if name.depthwise else filters
    return {"W": r.weights(channels, 1 if name.depthwise else filters, kernel, kernel)}, attributes, filters


def dense(r: Random, name: Any, sizes: Any, channels: int, units: int) -> Any:
    """Weights of a dense layer."""
    inputs = channels * sizes[0] * sizes[1] if name.flatten else channels
    return {"W": r.weights(units, inputs)}, {}, units


def over_time(r: Random, name: Any, sizes: Any, channels: int, filters: int) -> Any:
    """Weights of a convolution over time."""
    frames = r.draw(st.integers(1, 4))
    weights = r.weights(channels, frames, 1, 1) if name.depthwise else r.weights(filters, channels * frames, 1, 1)
    return {"W": weights}, FIFO | {"fifo_size": frames}, channels if name.depthwise else filters


LAYERS = {
    "Conv2D": convolution,
    "2D": convolution,
    "Conv2DTranspose": transposed,
    "2DTranspose": transposed,
    "Dense1D": dense,
    "BufferTempConv": over_time,
}
"""By the base without the words that do not change its arguments."""


@st.composite
def two_inputs(draw, name):
    """A model that adds or joins two maps of one input."""
    r = Random(draw)
    channels = draw(st.integers(1, 4))
    w = Writer(("N", channels, 4, 5))
    x = w.quantize(channels)
    y = w.call(
        "QuantizedConv2DScaled",
        {"X": x, "W": r.weights(channels, channels, 1, 1), "pads": np.zeros(8, np.int64)}
        | r.rescaling(channels, 4, 14, ("Scale", "Shift")),
        strides=[1, 1],
    )
    powers = {
        n: r.by_channel(2 ** r.numbers.integers(0, 5, channels), channels, 4).astype(np.int32) for n in ("Xs", "Ys")
    }
    down = r.by_channel(2.0 ** r.numbers.integers(-3, 8, channels), channels, 4).astype(np.float32)
    last = w.call(spelled(name), {"X": x, "Y": y, "Shift": down, **powers})
    return w.model(last, 2 * channels if name.base == "QuantizedConcat" else channels), (channels, 4, 5)


def models(name: Any) -> Any:
    """Models with a layer of a name taken apart."""
    return two_inputs(name) if name.base in ("QuantizedAdd", "QuantizedConcat") else one_layer(name)
