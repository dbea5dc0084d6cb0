"""Networks of the sizes that people run on Akida, as `akida2` modules with random weights and realistic scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnn2snn_ir import convert
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation, Pool
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, ElementType, Graph, Op, Tensor, Value, si, ui

UI8 = ui(8)


class Net:
    """Grows a network layer by layer; every layer but the last is followed by a ReLU and 8-bit outputs."""

    def __init__(self, name: str, shape: tuple[int, ...], element: ElementType = UI8, seed: int = 0) -> None:
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.graph = Graph()
        self.x = self._add(builtin.Input(shape, element, name="input"))
        self.spread = 74.0  # standard deviation of a uniform byte

    def _add(self, op: Op) -> Value:
        self.graph.append(op)
        return op.results[0]

    def _weights(self, *shape: int) -> Tensor:
        return Tensor.of(np.clip(np.rint(self.rng.normal(0, 40, shape)), -127, 127).astype(np.int64), si(8))

    def _bias(self, filters: int) -> dict[str, Tensor]:
        mantissa = Tensor.of(self.rng.integers(-127, 128, filters), si(8))
        return {"bias": mantissa, "bias_shift": Tensor.of(self.rng.integers(0, 5, filters), ui(8))}

    def _output(self, filters: int, inputs: float, *, activation: bool = True) -> dict[str, object]:
        """Scales that bring sums of `inputs` products to three standard deviations at 127."""
        scale = 127 / (3 * math.sqrt(inputs) * 40 * self.spread)
        shift = math.floor(math.log2(scale)) - 7
        mantissa = np.clip(self.rng.normal(scale / 2.0**shift, 10, filters), 1, 255).astype(np.int64)
        self.spread = 25.0
        return {
            "output_scales": Tensor.of(mantissa, ui(8)),
            "output_shift": Tensor.of(shift, si(8)),
            "activation": Activation.RELU if activation else Activation.NONE,
            "to": si(8),
        }

    def conv(
        self, filters: int, kernel: int, *, pool: Pool = Pool.NONE, first: bool = False, **geometry: object
    ) -> Net:
        """A convolution; `first` reads the image."""
        channels = self.x.type.channels
        op = akida2.InputConv2D if first else akida2.Conv2D
        weights = self._weights(kernel, kernel, channels, filters)
        positions = math.prod(self.x.type.per_sample[:2]) if pool is Pool.AVERAGE else 1
        output = self._output(filters, kernel * kernel * channels * positions)
        name = f"{op.__name__.lower()}_{len(self.graph)}"
        self.x = self._add(op(self.x, weights, pool=pool, **geometry, **self._bias(filters), **output, name=name))
        return self

    def depthwise(self, kernel: int = 3, **geometry: object) -> Net:
        """A depthwise convolution."""
        channels = self.x.type.channels
        weights, output = self._weights(kernel, kernel, channels), self._output(channels, kernel * kernel)
        name = f"depthwise_{len(self.graph)}"
        layer = akida2.DepthwiseConv2D(self.x, weights, **geometry, **self._bias(channels), **output, name=name)
        self.x = self._add(layer)
        return self

    def transposed(self, filters: int, kernel: int = 3, stride: int = 2) -> Net:
        """A transposed convolution; about one in stride² of the kernel's taps meets any one result."""
        channels = self.x.type.channels
        weights = self._weights(kernel, kernel, channels, filters)
        output = self._output(filters, kernel * kernel * channels / stride**2)
        name = f"transposed_{len(self.graph)}"
        layer = akida2.Conv2DTranspose(self.x, weights, stride=stride, **self._bias(filters), **output, name=name)
        self.x = self._add(layer)
        return self

    def depthwise_transposed(self, kernel: int = 3, stride: int = 2) -> Net:
        """The same for each channel alone."""
        channels = self.x.type.channels
        variables = self._bias(channels) | self._output(channels, kernel * kernel / stride**2)
        weights, name = self._weights(kernel, kernel, channels), f"depthwise_transposed_{len(self.graph)}"
        layer = akida2.DepthwiseConv2DTranspose(self.x, weights, stride=stride, **variables, name=name)
        self.x = self._add(layer)
        return self

    def swish(self, filters: int, kernel: int) -> Net:
        """A convolution, and `x · sigmoid(x)` by a table of 2^11 values."""
        channels = self.x.type.channels
        weights, name = self._weights(kernel, kernel, channels, filters), f"swish_{len(self.graph)}"
        index = np.arange(-1024, 1024) / 128
        table = np.rint(index / (1 + np.exp(-index)) * 2**11).astype(np.int64)
        scale = self._output(
            filters, kernel * kernel * channels
        )  # to 127, so 2^3 times as much to the ends of the table
        variables = self._bias(filters) | {
            "activation": Activation.LUT,
            "lut_values": Tensor.of(table, si(16)),
            "activation_scales": scale["output_scales"],
            "activation_shift": Tensor.of(scale["output_shift"].int64 + 3, si(8)),
            "output_shift": Tensor.of(-7, si(8)),
            "to": si(8),
        }
        self.x = self._add(akida2.Conv2D(self.x, weights, **variables, name=name))
        return self

    def over_time(self, filters: int, frames: int) -> Net:
        """A convolution over the last `frames` frames."""
        fifo, inputs = self._fifo(frames), frames * self.x.type.channels
        variables = self._bias(filters) | self._output(filters, inputs)
        weights, name = self._weights(1, 1, inputs, filters), f"over_time_{len(self.graph)}"
        self.x = self._add(akida2.BufferTempConv(self.x, fifo, weights, **variables, name=name))
        return self

    def depthwise_over_time(self, frames: int) -> Net:
        """The same for each channel alone."""
        fifo, channels = self._fifo(frames), self.x.type.channels
        variables = self._bias(channels) | self._output(channels, frames)
        weights, name = self._weights(frames, channels), f"depthwise_over_time_{len(self.graph)}"
        self.x = self._add(akida2.DepthwiseBufferTempConv(self.x, fifo, weights, **variables, name=name))
        return self

    def _fifo(self, frames: int) -> Value:
        """The frames before this one, which goes in."""
        height, width, channels = self.x.type.per_sample
        name = f"fifo_{len(self.graph)}"
        fifo = self._add(builtin.State(name, (height, width, frames - 1, channels), self.x.type.element, name=name))
        pushed = self._add(akida2.FifoPush(fifo, self.x, name=f"{name}/pushed"))
        self.graph.append(builtin.Store(pushed, name))
        return fifo

    def recurrence(self, states: int, units: int) -> Net:
        """A linear recurrence along the width, between two projections."""
        channels, name = self.x.type.channels, f"recurrence_{len(self.graph)}"
        before = [self._add(builtin.State(f"{name}/{part}", (states,), si(16))) for part in ("real", "imaginary")]
        for part, state in zip(("real", "imaginary"), before, strict=True):
            state.name = f"{name}/{part}"
        angles = self.rng.uniform(0.2, 1.3, states)
        a = [Tensor.of(np.rint(0.8 * 2**15 * f(angles)).astype(np.int64), si(16)) for f in (np.cos, np.sin)]
        variables = self._bias(units) | self._output(units, states)
        op = akida2.StatefulRecurrent(
            self.x,
            *before,
            self._weights(channels, states),
            self._weights(states, units),
            *a,
            new_state_scales=Tensor.of(200, ui(8)),
            new_state_shift=Tensor.of(8, si(8)),
            state_shift=-15,
            **variables,
            name=name,
        )
        self.x = self._add(op)
        for state, after in zip(before, op.results[1:], strict=True):
            self.graph.append(builtin.Store(after, state.owner.sym_name))
        return self

    def separable(self, filters: int, stride: int = 1, pool: Pool = Pool.NONE) -> Net:
        """Depthwise 3x3, then pointwise."""
        return self.depthwise(stride=stride).conv(filters, 1, pool=pool)

    def add(self, other: Value) -> Net:
        """The average of this and an earlier map."""
        half = Tensor.of(-1, si(8))
        self.x = self._add(akida2.Add(self.x, other, output_shift=half, to=si(8), name=f"add_{len(self.graph)}"))
        return self

    def concatenate(self, other: Value) -> Net:
        """This and an earlier map side by side."""
        self.x = self._add(akida2.Concatenate((self.x, other), name=f"concatenate_{len(self.graph)}"))
        return self

    def residual(self, filters: int, stride: int = 1) -> Net:
        """Two 3x3 convolutions and an addition; where the shape changes, a 1x1 convolution on the way around."""
        around = start = self.x
        if stride != 1 or filters != start.type.channels:
            around = self.conv(filters, 1, stride=stride).x
        self.x = start
        return self.conv(filters, 3, stride=stride).conv(filters, 3).add(around)

    def classify(self, classes: int) -> builtin.Module:
        """A dense layer, and its accumulators as floats."""
        rows = math.prod(self.x.type.per_sample)
        weights = self._weights(rows, classes)
        self.x = self._add(akida2.Dense1D(self.x, weights, **self._bias(classes), name="dense"))
        return self.finish()

    def segment(self, classes: int) -> builtin.Module:
        """A 1x1 convolution at every pixel, and its accumulators as floats."""
        weights = self._weights(1, 1, self.x.type.channels, classes)
        self.x = self._add(akida2.Conv2D(self.x, weights, **self._bias(classes), name="classes"))
        return self.finish()

    def finish(self) -> builtin.Module:
        """The last integers as floats."""
        self.x = self._add(akida2.Dequantizer(self.x, Tensor.of(np.float32(2**-16), F32), name="dequantizer"))
        return self.module()

    def module(self) -> builtin.Module:
        """The last integers as they are."""
        self.graph.append(builtin.Return((self.x,)))
        return builtin.Module(self.name, self.graph)


def ds_cnn() -> builtin.Module:
    """Keyword spotting on 49x10 features (Zhang et al. 2017, `Hello Edge`; 5x5 kernel at the input)."""
    net = Net("ds_cnn", (49, 10, 1)).conv(64, 5, first=True, stride=2)
    for _ in range(3):
        net.separable(64)
    return net.separable(64, pool=Pool.AVERAGE).classify(12)


def mnist() -> builtin.Module:
    """Digits, with a residual addition."""
    net = Net("mnist", (28, 28, 1)).conv(16, 3, first=True, stride=2, padding=Padding.VALID).separable(32)
    net.conv(32, 3, pool=Pool.MAX)
    before = net.x
    return net.separable(32).add(before).conv(64, 3, stride=2, pool=Pool.AVERAGE).classify(10)


def mobilenet(size: int = 64) -> builtin.Module:
    """MobileNet, width 0.25, on square images (Howard et al. 2017)."""
    net = Net("mobilenet_0.25", (size, size, 3)).conv(8, 3, first=True, stride=2)
    for filters, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2)]:
        net.separable(filters, stride)
    return net.separable(256, pool=Pool.AVERAGE).classify(10)


def mobilenet_128() -> builtin.Module:
    """The same on 128x128 images."""
    return mobilenet(128)


def golden() -> builtin.Module:
    """The example that this repository carries, as QuantizeML quantized it: digits, 28x28."""
    module = convert(str(Path(__file__).parent.parent / "examples" / "mnist_v2_i8_w8_a8.h5")).module
    module.inputs[0].result.name, module.outputs[0].name = "input", "output"  # as the twin in ONNX has them
    return module


def vgg() -> builtin.Module:
    """A plain convolutional network on 32x32 images."""
    net = Net("vgg", (32, 32, 3)).conv(32, 3, first=True).conv(32, 3, pool=Pool.MAX).conv(64, 3)
    return net.conv(64, 3, pool=Pool.MAX).conv(128, 3, pool=Pool.MAX).classify(10)


def resnet() -> builtin.Module:
    """18 layers, 14 of them in residual blocks, on 32x32 images (He et al. 2016, as wide as theirs for CIFAR-10)."""
    net = Net("resnet", (32, 32, 3)).conv(16, 3, first=True)
    for filters, stride in [(16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2)]:
        net.residual(filters, stride)
    return net.conv(64, 3).conv(64, 3, pool=Pool.AVERAGE).classify(10)


def unet() -> builtin.Module:
    """Segmentation on three levels, 32x32 images (Ronneberger et al. 2015; strides instead of pooling)."""
    net = Net("unet", (32, 32, 3)).conv(16, 3, first=True).conv(16, 3)
    high = net.x
    middle = net.conv(32, 3, stride=2).conv(32, 3).x
    net.conv(64, 3, stride=2).conv(64, 3)
    net.transposed(32).concatenate(middle).conv(32, 3).conv(32, 3)
    return net.transposed(16).concatenate(high).conv(16, 3).conv(16, 3).segment(4)


def stream() -> builtin.Module:
    """Convolutions over time and over space in turn, on frames of 32x32 events (Pei et al. 2024, `TENNs`)."""
    net = Net("stream", (32, 32, 2)).conv(16, 3, first=True, stride=2)
    for filters in (32, 64, 128):
        net.depthwise_over_time(5).conv(filters, 1).depthwise(stride=2).over_time(filters, 3)
    return net.conv(64, 3, pool=Pool.AVERAGE).classify(10)


NETS: dict[str, Callable[[], builtin.Module]] = {
    net.__name__: net for net in (ds_cnn, mnist, golden, mobilenet, mobilenet_128, vgg, resnet, unet, stream)
}
