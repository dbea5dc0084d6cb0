"""Networks of the table as `qnn` modules with random weights, whose thresholds let a given part of the neurons fire."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from benchmarks.zoo_moments import (
    SPREAD,
    Firing,
    Floats,
    Moments,
    Taps,
    byte_image,
    through_conv,
    through_dense,
    through_depthwise,
)
from benchmarks.zoo_networks import Kind, LayerSpec, NetworkSpec
from benchmarks.zoo_sample import Sample
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, si, ui

POTENTIAL = si(32)
DEVIATIONS = {8: 40.0, 4: 2.5, 2: 0.8}
"""Standard deviations of weights by their bits: a third of the largest, about."""

CLASSES = {Kind.CONV: "Conv2D", Kind.SEPARABLE: "SeparableConv2D", Kind.DENSE: "Dense"}
"""What Keras calls the layers."""


def without_sum(layer: LayerSpec) -> LayerSpec:
    """The layer as far as its sums, which Akida 2 rectifies before it averages them."""
    return replace(layer, pool=Pool.NONE)


class Growing:
    """What the generations share: a graph that grows at its end, and what is known of the values there."""

    def __init__(self, name: str, network: NetworkSpec, seed: int, densities: tuple[float, ...]) -> None:
        self.name, self.network, self.densities = name, network, densities
        self.rng = np.random.default_rng(seed)
        self.graph = Graph()
        self.x = self.add(builtin.Input(network.shape, ui(8)), "input", "InputLayer")
        self.moments = byte_image(network.shape[2])

    def add(self, op: Op, name: str | None = None, kind: str = "") -> Value:
        """Append an op; a name is that of the layer that it comes from."""
        if name is not None:
            op.results[0].name = name
            op.loc = Layer(name, kind)
        self.graph.append(op)
        return op.results[0]

    def module(self) -> builtin.Module:
        """All layers, one behind the other."""
        for index, layer in enumerate(self.network.layers):
            self.layer(index, layer, f"{layer.kind}_{index}", index + 1 < len(self.network.layers))
        self.graph.append(builtin.Return((self.x,)))
        return builtin.Module(self.name, self.graph)

    def layer(self, index: int, layer: LayerSpec, name: str, fires: bool) -> None:
        """Append a layer; it ends in potentials if it does not fire."""
        raise NotImplementedError

    # ---- weights ------------------------------------------------------------------------------------------------

    def weights(self, name: str, bits: int, *shape: int) -> Tensor:
        """Random weights: 0 and 1, or normal around 0 and symmetric."""
        if bits == 1:
            return Tensor.of(self.rng.integers(0, 2, shape, np.int8), ui(1), name)
        most = 2 ** (bits - 1) - 1
        values = np.rint(self.rng.standard_normal(shape, np.float32) * np.float32(DEVIATIONS[bits]))
        return Tensor.of(np.clip(values, -most, most).astype(np.int8), si(bits), name)

    # ---- the parts of a layer -----------------------------------------------------------------------------------

    def conv(self, name: str, layer: LayerSpec, bits: int, acc: ElementType) -> None:
        """A full convolution."""
        kernel = self.weights(f"{name}/kernel", bits, layer.kernel, layer.kernel, self.x.type.channels, layer.filters)
        self.moments = through_conv(self.moments, kernel.array, self.taps(layer))
        op = qnn.Conv2D(self.x, kernel, (layer.stride, layer.stride), layer.padding, acc=acc)
        self.x = self.add(op, name, CLASSES[layer.kind])

    def depthwise(self, name: str, kind: str, layer: LayerSpec, bits: int, acc: ElementType, taps: Taps) -> None:
        """A kernel a channel."""
        kernel = self.weights(f"{name}/depthwise_kernel", bits, layer.kernel, layer.kernel, self.x.type.channels)
        self.moments = through_depthwise(self.moments, kernel.array, taps)
        op = qnn.DepthwiseConv2D(self.x, kernel, (layer.stride, layer.stride), layer.padding, acc=acc)
        self.x = self.add(op, name, kind)

    def pointwise(self, name: str, kind: str, layer: LayerSpec, bits: int, acc: ElementType) -> None:
        """A 1x1 convolution."""
        kernel = self.weights(f"{name}/pointwise_kernel", bits, 1, 1, self.x.type.channels, layer.filters)
        self.moments = through_conv(self.moments, kernel.array, Taps(np.ones((1, 1))))
        self.x = self.add(qnn.Conv2D(self.x, kernel, acc=acc, padding=layer.padding), name, kind)

    def dense(self, name: str, layer: LayerSpec, bits: int, acc: ElementType) -> None:
        """A matrix, of the whole map."""
        *positions, channels = self.x.type.per_sample
        size = math.prod(positions) * channels
        if positions:
            self.x = self.add(qnn.Reshape(self.x, (size,)))
        kernel = self.weights(f"{name}/kernel", bits, size, layer.filters)
        self.moments = through_dense(self.moments, kernel.array, math.prod(positions))
        self.x = self.add(qnn.Dense(self.x, kernel, acc=acc), name, CLASSES[layer.kind])

    def taps(self, layer: LayerSpec) -> Taps:
        """Where the window of a layer reads."""
        summed = layer.pool is Pool.AVERAGE
        return Taps.of(self.x.type.per_sample[:2], layer.kernel, layer.stride, layer.padding, summed)

    def max_pool(self, layer: LayerSpec) -> int:
        """The maximum of 2x2, if the layer pools; returns how many potentials it is of."""
        if layer.pool is not Pool.MAX:
            return 1
        self.x = self.add(qnn.MaxPool(self.x, (2, 2), (2, 2), layer.padding))
        return 4


class Akida1Network(Growing):
    """Layers whose neurons have a threshold and a step."""

    sample: Sample | None = None
    """What the thresholds are held against; without, they follow from the moments alone."""

    def layer(self, index: int, layer: LayerSpec, name: str, fires: bool) -> None:
        bits, before, start = self.network.weight_bits(index), self.x, len(list(self.graph))
        if layer.kind is Kind.CONV:
            self.conv(name, layer, bits, POTENTIAL)
        elif layer.kind is Kind.SEPARABLE:
            self.depthwise(name, CLASSES[layer.kind], layer, bits, POTENTIAL, self.taps(layer))
            self.x.name = None  # the layer is named after its second half
            self.pointwise(name, CLASSES[layer.kind], layer, bits, POTENTIAL)
        else:
            self.dense(name, layer, bits, POTENTIAL)
        pooled = self.max_pool(layer)
        if layer.pool is Pool.AVERAGE:
            self.x = self.add(qnn.SumPool(self.x, keepdims=True, acc=POTENTIAL))
        if not fires:
            return
        if self.sample is not None:
            self.sample.pass_through(list(self.graph)[start:], before)
        self.fire(f"{name}/relu", ui(self.network.activation_bits(index)), self.densities[index], pooled)

    def fire(self, name: str, to: ElementType, density: float, pooled: int) -> None:
        """Levels of `to.bits` bits; the step is stored as if there were 4."""
        firing, deviation = Firing.of(density, to.hi, pooled), np.sqrt(self.moments.variance)
        if self.sample is not None:
            firing = Firing.at(self.sample.threshold(self.moments, density), to.hi, pooled)
        threshold = np.rint(self.moments.mean + firing.threshold * deviation).astype(np.int64)
        step = np.maximum(np.rint(firing.step * deviation), 1) * 2.0 ** (to.bits - 4)
        op = qnn.Fire(self.x, Tensor.of(threshold, POTENTIAL, f"{name}/threshold"), Tensor.of(step, F32), to)
        self.x = self.add(op, name, "ReLU")
        self.moments = Moments.alike(self.x.type.channels, firing.mean, firing.variance)
        if self.sample is not None:
            self.moments = self.sample.fire(threshold, step, to)


class Akida2Network(Growing):
    """Layers with a bias, a rectifier and a scale; the halves of a separable layer are layers of their own."""

    bits: int = 8
    """Of weights and activations; the weights of the first layer always have 8."""
    rectified_depthwise: bool = False
    """A rectifier behind depthwise convolutions, too."""

    def layer(self, index: int, layer: LayerSpec, name: str, fires: bool) -> None:
        bits, density = self.bits if index else 8, self.densities[index] if fires else 0.0
        if layer.kind is Kind.CONV:
            self.conv(name, without_sum(layer), bits, qnn.ACCUMULATOR)
        elif layer.kind is Kind.SEPARABLE:
            self.first_half(f"dw_{name}", layer, bits, density or 0.5)
            name = f"pw_{name}"
            self.pointwise(name, "Conv2D", layer, bits, qnn.ACCUMULATOR)
        else:
            self.dense(name, layer, bits, qnn.ACCUMULATOR)
        if fires:
            self.rectify(name, layer, density)

    def first_half(self, name: str, layer: LayerSpec, bits: int, density: float) -> None:
        """The depthwise half: signed integers of 8 bits, three deviations wide, unless it has a rectifier."""
        taps = self.taps(without_sum(layer))
        self.depthwise(name, "DepthwiseConv2D", layer, bits, qnn.ACCUMULATOR, taps)
        if self.rectified_depthwise:
            self.rectify(name, LayerSpec(layer.kind, layer.filters), density)
            return
        scale = 127 / (SPREAD * np.maximum(self.moments.root_mean_square, 1.0))
        self.moments = self.moments * self.requantize(f"{name}/output", scale, si(8))

    def rectify(self, name: str, layer: LayerSpec, density: float) -> None:
        """A bias under which a part `density` of the sums gives something, the rectifier, and a scale to its levels."""
        to = si(8) if self.bits == 8 else ui(self.bits)
        pooled = 4 if layer.pool is Pool.MAX else 1
        firing, deviation = Firing.of(density, to.hi, pooled), np.sqrt(self.moments.variance)
        level = np.maximum(firing.step * deviation, 1.0)
        self.bias(name, level / 2 - self.moments.mean - firing.threshold * deviation)
        self.max_pool(layer)
        self.x = self.add(qnn.ReLU(self.x), f"{name}/relu", "ReLU")
        moments = Moments.alike(self.x.type.channels, firing.mean, firing.variance)
        scale, positions = 1 / level, math.prod(self.x.type.per_sample[:2])
        if layer.pool is Pool.AVERAGE:
            self.x = self.add(qnn.SumPool(self.x, keepdims=True), f"{name}/average", "GlobalAveragePooling2D")
            gain = to.hi / (firing.mean + SPREAD * math.sqrt(firing.variance / positions))
            scale, moments = scale * gain / positions, Moments(moments.mean, moments.variance / positions) * gain
        self.requantize(f"{name}/output", scale, to)
        self.moments = moments

    def bias(self, name: str, wanted: Floats) -> None:
        """A constant a channel, of which 7 bits are kept."""
        shift = np.maximum(np.ceil(np.log2(np.maximum(np.abs(wanted), 1) / 127)), 0).astype(np.int64)
        mantissa = np.clip(np.rint(wanted / 2.0**shift), -127, 127).astype(np.int64)
        bias = Tensor.of(mantissa, si(8), f"{name}/bias")
        self.x = self.add(qnn.BiasAdd(self.x, bias, Tensor.of(shift, ui(8), f"{name}/bias_shift")))

    def requantize(self, name: str, scale: Floats, to: ElementType) -> Floats:
        """Times a scale a channel, of which 8 bits are kept; returns it."""
        shift = (np.floor(np.log2(scale)) - 7).astype(np.int64)
        mantissa = np.clip(np.rint(scale / 2.0**shift), 128, 255).astype(np.int64)
        scaled = self.add(qnn.Scale(self.x, Tensor.of(mantissa, ui(8), f"{name}/scale")))
        self.x = self.add(qnn.Shift(scaled, Tensor.of(shift, si(8), f"{name}/shift"), to), name, "OutputQuantizer")
        kept: Floats = mantissa * 2.0**shift
        return kept
