"""Random Akida 2 modules: every layer variant, and weights extreme enough to reach every saturation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation, Pool
from cnn2snn_ir.dialects.geometry import Padding, window_count
from cnn2snn_ir.ir import ElementType, Graph, Op, Tensor, Value, si, ui

ACCUMULATORS = [si(28), si(28), si(28), si(20), si(12), si(32)]
OUTPUTS = [si(8), si(8), ui(4), ui(8), si(16), None]


class Builder:
    """Grows a module op by op; structure is drawn from hypothesis, numbers from a seeded generator."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.graph = Graph()
        self.count = 0

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def add(self, op: Op) -> Value:
        self.graph.append(op)
        return op.results[0]

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def numbers(self, shape: tuple[int, ...], lo: int, hi: int, extreme: bool) -> np.ndarray:
        """Uniform integers, or only the two ends of the interval."""
        if extreme:
            return np.where(self.rng.random(shape) < 0.5, lo, hi)
        return self.rng.integers(lo, hi + 1, shape)

    def constant(self, channels: int, lo: int, hi: int, element: ElementType) -> Tensor:
        """One for all or one a channel."""
        shape = self.pick((), (channels,), (channels,))
        return Tensor.of(self.numbers(shape, lo, hi, False), element)

    def maybe(self, channels: int, lo: int, hi: int, element: ElementType) -> Tensor | None:
        return self.constant(channels, lo, hi, element) if self.pick(True, False) else None

    def weights(self, shape: tuple[int, ...]) -> Tensor:
        bits = self.pick(2, 4, 8, 8)
        element = si(bits)
        return Tensor.of(self.numbers(shape, element.lo, element.hi, self.pick(False, True)), element)

    def variables(self, channels: int, filters: int) -> dict[str, Any]:
        """Everything after the sums of products."""
        to = self.pick(*OUTPUTS)
        bias = self.maybe(filters, -128, 127, si(8))
        activation = self.pick(Activation.NONE, Activation.RELU, Activation.RELU, Activation.LUT)
        bound = self.maybe(filters, 0, 255, ui(8)) if activation is Activation.RELU else None
        right = self.pick(0, 6, 12, 20)
        acc = self.pick(*ACCUMULATORS)
        return {
            "input_shift": self.maybe(channels, 0, self.pick(0, 3, 9), ui(4)),
            "bias": bias,
            "bias_shift": self.maybe(filters, 0, self.pick(4, 16), ui(8)) if bias is not None else None,
            "activation": activation,
            "max_value": bound,
            "max_value_shift": self.maybe(filters, 0, self.pick(4, 14), ui(8)) if bound is not None else None,
            "output_scales": self.maybe(filters, 0, 255, ui(8)) if to else None,
            "output_shift": self.maybe(filters, -right - 2, -right + 2, si(8)) if to else None,
            "acc": acc,
            "post_op": self.pick(si(33), si(33), si(24)),
            "to": to,
            **(self.table(filters, acc) if activation is Activation.LUT else {}),
        }

    def table(self, filters: int, acc: ElementType) -> dict[str, Any]:
        """An activation by table, and the way to its index; scales of more than 1 saturate there.

        Without an output scale the values are the layer's results, which are of its accumulator's type.
        """
        bits, element = self.pick(2, 5, 8, 11), self.pick(si(8), si(16), si(16), si(20))
        right = self.pick(-3, 2, 8, 14)
        lo, hi = max(element.lo, acc.lo), min(element.hi, acc.hi)
        return {
            "lut_values": Tensor.of(self.numbers((1 << bits,), lo, hi, self.pick(False, False, True)), element),
            "activation_scales": self.maybe(filters, 0, 255, ui(8)),
            "activation_shift": self.maybe(filters, -right - 2, -right + 2, si(8)),
        }

    def geometry(self, x: Value, kernel: int) -> dict[str, Any]:
        """Stride, padding, pooling that fit the map."""
        rows, columns = x.type.per_sample[:2]
        padding = self.pick(Padding.SAME, Padding.SAME_UPPER, Padding.VALID)
        if padding is Padding.VALID and kernel > min(rows, columns):
            padding = Padding.SAME
        stride = self.pick(1, 1, 2, 3)
        size = tuple(window_count(n, kernel, stride, padding) for n in (rows, columns))
        pool = self.pick(Pool.NONE, Pool.NONE, Pool.MAX, Pool.AVERAGE)
        window = (self.pick(1, 2, 3), self.pick(1, 2, 3))
        if pool is Pool.MAX and padding is Padding.VALID and (window[0] > size[0] or window[1] > size[1]):
            pool = Pool.NONE
        step = (self.pick(1, 2, 3), self.pick(1, 2))
        return {"stride": stride, "padding": padding, "pool": pool, "pool_size": window, "pool_stride": step}

    def conv(self, x: Value) -> Value:
        kernel, channels, filters = self.pick(1, 1, 2, 3, 5), x.type.channels, self.pick(1, 3, 16, 17, 40)
        return self.add(
            akida2.Conv2D(
                x,
                self.weights((kernel, kernel, channels, filters)),
                **self.geometry(x, kernel),
                **self.variables(channels, filters),
                name=self.name("conv"),
            )
        )

    def input_conv(self, x: Value) -> Value:
        kernel, channels, filters = self.pick(1, 3, 4, 5), x.type.channels, self.pick(2, 8, 33)
        fill = self.maybe(channels, 0, 255, ui(8))
        return self.add(
            akida2.InputConv2D(
                x,
                self.weights((kernel, kernel, channels, filters)),
                padding_value=fill,
                **self.geometry(x, kernel),
                **self.variables(channels, filters),
                name=self.name("input_conv"),
            )
        )

    def depthwise(self, x: Value) -> Value:
        kernel, channels = self.pick(1, 2, 3, 3, 5), x.type.channels
        return self.add(
            akida2.DepthwiseConv2D(
                x,
                self.weights((kernel, kernel, channels)),
                **self.geometry(x, kernel),
                **self.variables(channels, channels),
                name=self.name("depthwise"),
            )
        )

    def transposed(self, x: Value) -> Value:
        """A transposed convolution, with kernels smaller and larger than the stride."""
        channels, kernel, depthwise = x.type.channels, self.pick(1, 2, 3, 3, 4, 5, 7), self.pick(False, True)
        filters = channels if depthwise else self.pick(1, 3, 16, 33)
        op = akida2.DepthwiseConv2DTranspose if depthwise else akida2.Conv2DTranspose
        return self.add(
            op(
                x,
                self.weights((kernel, kernel, channels) if depthwise else (kernel, kernel, channels, filters)),
                stride=self.pick(1, 2, 2, 3),
                padding=self.pick(*Padding),
                **self.variables(channels, filters),
                name=self.name("transposed"),
            )
        )

    def over_time(self, x: Value) -> Value:
        """A convolution over time, and its FIFO."""
        channels, frames, depthwise = x.type.channels, self.pick(1, 2, 3, 5), self.pick(False, True)
        filters = channels if depthwise else self.pick(1, 3, 16, 33)
        memory, shape = self.name("memory"), (*x.type.per_sample[:2], frames, channels)
        fifo = self.add(builtin.State(memory, shape, x.type.element, name=memory))
        pushed = self.add(akida2.FifoPush(fifo, x, name=self.name("push")))
        self.graph.append(builtin.Store(pushed, memory))
        taps = frames + 1
        weights = self.weights((taps, channels) if depthwise else (1, 1, taps * channels, filters))
        op = akida2.DepthwiseBufferTempConv if depthwise else akida2.BufferTempConv
        return self.add(op(x, fifo, weights, **self.variables(channels, filters), name=self.name("over_time")))

    def dense(self, x: Value) -> Value:
        rows, units = int(np.prod(x.type.per_sample)), self.pick(1, 10, 16, 48)
        return self.add(
            akida2.Dense1D(x, self.weights((rows, units)), **self.variables(rows, units), name=self.name("dense"))
        )

    def sum(self, a: Value, b: Value) -> Value:
        channels, to = a.type.channels, self.pick(si(8), ui(4), si(16), None)
        return self.add(
            akida2.Add(
                a,
                b,
                a_shift=self.maybe(channels, 0, self.pick(3, 12), ui(8)),
                b_shift=self.maybe(channels, 0, 3, ui(8)),
                output_shift=self.maybe(channels, -12, 3, si(8)) if to else None,
                acc=self.pick(si(32), si(32), si(12)),
                to=to,
                name=self.name("add"),
            )
        )

    def concatenate(self, *parts: Value) -> Value:
        return self.add(akida2.Concatenate(parts, name=self.name("concatenate")))

    def finish(self, x: Value) -> builtin.Module:
        """Return the last integers, or dequantize them first."""
        if self.pick(True, False):
            scales = Tensor.of(self.rng.random((x.type.channels,), np.float32), ElementType.parse("f32"))
            x = self.add(akida2.Dequantizer(x, scales, name=self.name("dequantizer")))
        self.add_return(x)
        return builtin.Module("random", self.graph)

    def add_return(self, x: Value) -> None:
        self.graph.append(builtin.Return((x,)))


def akida2_module(draw: Callable[..., Any]) -> builtin.Module:
    """A random module of one to four layers, with an addition or a concatenation now and then."""
    b = Builder(draw)
    shape = b.pick((5, 5, 1), (4, 7, 3), (6, 3, 8), (1, 1, 16), (3, 8, 33), (2, 2, 70), (9,), (3, 5))
    kind = b.pick("image", "signed", "float") if shape[2:] in ((1,), (3,)) else b.pick("signed", "float")
    element = {"image": ui(8), "signed": si(8), "float": ElementType.parse("f32")}[kind]
    x = b.add(builtin.Input(shape, element, name="input"))
    if kind == "image":
        x = b.input_conv(x)
    elif kind == "signed":
        x = b.add(akida2.InputData(x, name="data"))
    else:
        to = b.pick(si(8), ui(8))
        scales = Tensor.of(np.ldexp(np.float32(1), b.rng.integers(0, 7, b.pick((), shape[-1:]))), element)
        zero_points = b.maybe(shape[-1], 0, 100, to)
        if b.pick(True, False):
            x = b.add(akida2.Quantizer(x, scales, to, zero_points, name="quantizer"))
        else:
            steps = Tensor.of(1 / (scales.array * np.float32(1.1)), element)
            x = b.add(akida2.LinearQuantizer(x, steps, to, zero_points, name="quantizer"))
    for _ in range(b.draw(st.integers(0, 3))):
        if x.type.element.bits > 16 or x.type.rank != 4:
            break
        x = layer(b, x)
    return b.finish(x)


def layer(b: Builder, x: Value) -> Value:
    """One more layer after the map `x`."""
    often = ("conv", "depthwise", "transposed", "over_time")
    match b.pick(*often, *often, "dense", "sum", "concatenate"):
        case "conv":
            return b.conv(x)
        case "depthwise":
            return b.depthwise(x)
        case "transposed":
            return b.transposed(x)
        case "over_time":
            return b.over_time(x)
        case "dense":
            return b.dense(x)
        case "sum":
            other = b.conv(x)
            return b.sum(x, other) if other.type.shape == x.type.shape else b.sum(other, other)
        case _:
            other = b.depthwise(x)
            same = other.type.shape[:-1] == x.type.shape[:-1]
            return b.concatenate(x, other) if same else b.concatenate(other, other)


def extreme_inputs(module: builtin.Module, samples: int, seed: int = 0) -> np.ndarray:
    """Uniform samples; from the fourth on also all-lowest, all-highest, and one-hot ones."""
    (op,) = module.inputs
    rng = np.random.default_rng(seed)
    if op.element.is_float:
        x = rng.normal(0, 3, (samples, *op.shape)).astype(np.float32)
        lo, hi = np.float32(-1e9), np.float32(np.inf)
    else:
        lo, hi = op.element.lo, op.element.hi
        x = rng.integers(lo, hi + 1, (samples, *op.shape)).astype(op.element.dtype)
    for i, special in enumerate((lo, hi)):
        x[3 + i : 4 + i] = special
    x[5:6] = 0
    x[5:6].reshape(-1)[: x[5:6].size : 7] = hi
    return x


@pytest.fixture(scope="session")
def modules() -> st.SearchStrategy[builtin.Module]:
    """The strategy of random modules."""
    return st.composite(akida2_module)()


@pytest.fixture(scope="session")
def inputs() -> Callable[..., np.ndarray]:
    """Extreme inputs for a module."""
    return extreme_inputs
