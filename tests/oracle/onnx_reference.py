"""What QuantizeML's ONNX operators compute, in int64: an evaluator of operator names, with numpy and onnx alone.

It knows the operators by their names and never runs their functions, which compute in float32 and round sums beyond
2^24.  Maps are NCHW, as in the file.  Written as plainly as possible, and apart from the package under test.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]

NAME = re.compile(
    r"(?P<base>InputQuantizer|Dequantizer\d*|QuantizedInputConv2D|QuantizedConv2DTranspose"
    r"|QuantizedDepthwise2DTranspose|QuantizedConv2D|QuantizedDepthwise2D|QuantizedDense1D"
    r"|QuantizedDepthwiseBufferTempConv|QuantizedBufferTempConv|QuantizedAdd|QuantizedConcat)"
    r"(?P<flat>Flatten)?(?P<bias>Biased)?(?P<pool>MaxPool|GlobalAvgPool)?(?P<act>ReLUClipped|ReLU|LUT)?(?P<scaled>Scaled)?"
)


class Reference:
    """A model, and what its FIFOs hold; `largest` is the greatest |sum · scale| of each node of the last run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.formals = {f.name: list(f.input) for f in model.functions}
        self.fifos: dict[str, Array] = {}
        self.largest: dict[str, int] = {}

    def run(self, x: Array, given: dict[str, Array] | None = None) -> dict[str, Array]:
        """Every tensor up to the dequantized ones, for a batch; nodes read what is `given` in the place of others."""
        values = {self.graph.input[0].name: x}
        for node in self.graph.node:
            if node.domain == "com.brainchip":
                inputs = {**self.constants, **values, **(given or {})}
                values |= zip(node.output, self.node(node, inputs), strict=True)
        return values

    def node(self, node: onnx.NodeProto, values: dict[str, Array]) -> list[Array]:
        """The outputs of a node."""
        match = NAME.fullmatch(node.op_type)
        assert match, node.op_type
        name, attributes = match.groupdict(), {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = {formal: values[given] for formal, given in zip(self.formals[node.op_type], node.input, strict=True)}
        if name["base"] == "InputQuantizer":
            return [quantize(inputs, attributes["perm"])]
        if name["base"].startswith("Dequantizer"):
            return dequantize(inputs, len(node.output))
        if name["base"] == "QuantizedConcat":
            return [np.concatenate([inputs["X"], inputs["Y"]], axis=1)]
        sums = self.sums(name, inputs, attributes)
        self.largest[node.name] = int(np.abs(sums).max(initial=0)) * int(inputs.get("Scale", np.array(1)).max())
        return [output(sums, name, inputs)]

    def sums(self, name: dict[str, Any], inputs: dict[str, Array], attributes: dict[str, Any]) -> Array:
        """What an operator computes before it rescales."""
        x = inputs["X"].astype(np.int64)
        if name["base"] == "QuantizedAdd":
            return x * inputs["Xs"] + inputs["Y"].astype(np.int64) * inputs["Ys"]
        a = self.linear(name["base"], x, inputs, attributes)
        if name["bias"]:
            bias = inputs["bias"].astype(np.int64).reshape(-1)
            a = a + bias.reshape(-1, *(1,) * (a.ndim - 2))
        if name["pool"] == "MaxPool":
            a = max_pool(a, attributes["pool_size"], attributes["pool_strides"], attributes["pool_pads"])
        if name["act"] == "LUT":
            index = rescale(a, inputs["ActScale"], inputs["ActShift"], -1024, 1023)
            a = inputs["LUT_values"].astype(np.int64)[index]  # a negative index counts from the end
        elif name["act"]:
            a = np.maximum(a, 0)
        if name["act"] == "ReLUClipped":
            a = np.minimum(a, inputs["max_value"].astype(np.int64))
        return a.sum(axis=(2, 3), keepdims=True) if name["pool"] == "GlobalAvgPool" else a

    def linear(self, base: str, x: Array, inputs: dict[str, Array], attributes: dict[str, Any]) -> Array:
        """The linear operator of a base."""
        w = inputs["W"].astype(np.int64)
        if base == "QuantizedDense1D":
            return x.reshape(len(x), -1) @ w.T
        if base.endswith("BufferTempConv"):
            frames = self.push(attributes, x)
            if base == "QuantizedDepthwiseBufferTempConv":
                return (frames * w[None]).sum(axis=2)
            flat = frames.reshape(len(x), -1, *x.shape[2:])  # channels slowest, then time
            return np.einsum("nkhw,fk->nfhw", flat, w[:, :, 0, 0])
        groups = attributes.get("groups", 1)
        if base.endswith("Transpose"):
            return transposed(x, w, attributes["strides"], attributes["pads"], groups)
        fill = inputs.get("x_pad_value", np.zeros(1)).astype(np.int64).reshape(1, -1, 1, 1)
        _, _, top, left, _, _, bottom, right = inputs["pads"]
        padded = np.pad(x - fill, [(0, 0), (0, 0), (top, bottom), (left, right)]) + fill
        return convolve(padded, w, attributes["strides"], groups)

    def push(self, attributes: dict[str, Any], x: Array) -> Array:
        """The frames of a FIFO after the newest went in, oldest first [batch, channels, time, height, width]."""
        name, size = attributes["fifo_name"].decode(), int(np.reshape(attributes["fifo_size"], ()))
        before = self.fifos.get(name, np.zeros((*x.shape[:2], size, *x.shape[2:]), np.int64))
        self.fifos[name] = np.concatenate([before[:, :, 1:], x[:, :, None]], axis=2)
        return self.fifos[name]


def quantize(inputs: dict[str, Array], perm: list[int]) -> Array:
    """`clip(round_half_even(float32(x / scale)) + zero point)`."""
    x = np.transpose(inputs["X"].astype(np.float32), perm)
    scale, zero = (by_channel(inputs[name], x.ndim) for name in ("scale", "zp"))
    limits = np.iinfo(inputs["zp"].dtype)
    with np.errstate(over="ignore"):
        quotient = np.rint((x / scale).astype(np.float32)).astype(np.float64)
    return np.clip(quotient + zero, limits.min, limits.max).astype(inputs["zp"].dtype)


def dequantize(inputs: dict[str, Array], count: int) -> list[Array]:
    """`float32(x) · scale`."""
    pairs = [("X", "scale")] if count == 1 else [(f"X{i}", f"scale_{i}") for i in range(1, count + 1)]
    return [inputs[x].astype(np.float32) * by_channel(inputs[s], inputs[x].ndim) for x, s in pairs]


def by_channel(values: Array, rank: int) -> Array:
    """A scalar, or one number for each channel of a tensor."""
    return values.reshape(1, -1, *(1,) * (rank - 2)) if values.ndim else values


def output(a: Array, name: dict[str, Any], inputs: dict[str, Array]) -> Array:
    """Rescaled to int8, or int32 as it is."""
    if not name["scaled"]:
        return a.astype(np.int32)
    return rescale(a, inputs.get("Scale", np.array(1)), inputs["Shift"], -128, 127).astype(np.int8)


def rescale(a: Array, scale: Array, divisor: Array, low: int, high: int) -> Array:
    """`clip(floor(a · scale / divisor + 1/2))` for powers of two, exactly."""
    exponent = np.log2(divisor.astype(np.float64))
    assert (exponent == np.rint(exponent)).all()
    right = np.maximum(exponent, 0).astype(np.int64)
    left = np.minimum(np.maximum(-exponent, 0), 20).astype(np.int64)  # further left all but 0 saturates anyway
    product = a.astype(np.int64) * scale.astype(np.int64) << left
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return np.clip((product + half) >> right, low, high)


def convolve(x: Array, w: Array, strides: list[int], groups: int) -> Array:
    """Cross-correlation of a padded map with weights [out, in / groups, height, width]."""
    filters, depth, kh, kw = w.shape
    rows, columns = ((x.shape[2 + i] - w.shape[2 + i]) // strides[i] + 1 for i in (0, 1))
    grouped, weights = x.reshape(len(x), groups, depth, *x.shape[2:]), w.reshape(groups, -1, depth, kh, kw)
    total = np.zeros((len(x), groups, filters // groups, rows, columns), np.int64)
    for i in range(kh):
        for j in range(kw):
            seen = grouped[..., i : i + rows * strides[0] : strides[0], j : j + columns * strides[1] : strides[1]]
            seen = seen[..., :rows, :columns]
            total += np.einsum("ngchw,gfc->ngfhw", seen, weights[..., i, j])
    return total.reshape(len(x), filters, rows, columns)


def transposed(x: Array, w: Array, strides: list[int], pads: list[int], groups: int) -> Array:
    """Every position adds its weights [in, out / groups, height, width]; then the border is cropped."""
    samples, channels, height, width = x.shape
    _, filters, kh, kw = w.shape
    size = ((height - 1) * strides[0] + kh, (width - 1) * strides[1] + kw)
    total = np.zeros((samples, groups, filters, *size), np.int64)
    grouped = x.reshape(samples, groups, channels // groups, height, width)
    weights = w.reshape(groups, channels // groups, filters, kh, kw)
    for i in range(kh):
        for j in range(kw):
            rows = slice(i, i + (height - 1) * strides[0] + 1, strides[0])
            columns = slice(j, j + (width - 1) * strides[1] + 1, strides[1])
            total[..., rows, columns] += np.einsum("ngchw,gcf->ngfhw", grouped, weights[..., i, j])
    top, left, bottom, right = pads
    whole = total.reshape(samples, groups * filters, *size)
    return whole[:, :, top : size[0] - bottom, left : size[1] - right]


def max_pool(a: Array, size: list[int], strides: list[int], pads: list[int]) -> Array:
    """Maxima over windows; borders never win."""
    top, left, bottom, right = pads
    a = np.pad(a, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=np.iinfo(np.int64).min)
    seen = np.lib.stride_tricks.sliding_window_view(a, tuple(size), axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1]].max(axis=(-1, -2))
