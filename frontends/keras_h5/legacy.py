"""Models quantized by the legacy cnn2snn API: Keras layers whose weights and activations are rounded on the fly.

Their arithmetic is that of real numbers, so they become `nn` ops; the integers are those of weights and levels.
Float layers are imported too: rules say where they may stand.

Source of the layers: cnn2snn 2.19.3 (Apache-2.0), restated as formulas.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.activations import apply
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import (
    TAIL,
    Importer,
    TailImporter,
    UnsupportedLayerError,
    described,
    fixed_shape,
    registered,
)
from cnn2snn_ir.frontends.keras_h5.legacy_quantizers import quantize_kernel
from cnn2snn_ir.frontends.keras_h5.quantizers import F
from cnn2snn_ir.frontends.keras_h5.steps import pair, require, weight, window_strides
from cnn2snn_ir.ir import F32, Tensor, Value, si

LEGACY: dict[str, TailImporter] = {}
"""Keras class ▶ function that emits the layer; those of `TAIL` come on top."""

TRAINING_ONLY = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
)
"""Layers that give what they read once the model is trained."""


class LegacyImporter(Importer):
    """Builds an `nn` module; every value is a float."""

    def import_layer(self, record: LayerRecord) -> None:
        if record.class_name == "InputLayer":
            shape = fixed_shape(record)
            self.floats[record.name] = self.emit(builtin.Input(shape, F32, name=record.name))
            return
        self.check_one_line(record)
        missing = [name for name in record.inbound if name not in self.floats]
        if missing:
            raise UnsupportedLayerError(f"it reads {missing[0]}, which does not come before it", code="KERAS-ORDER")
        importer = LEGACY.get(record.class_name) or TAIL.get(record.class_name)
        if importer is None:
            raise UnsupportedLayerError(f"{record.class_name} is not supported", allowed=", ".join(legacy_classes()))
        before = self.graph.last
        value = importer(self, record, self.floats[record.inbound[0]])
        self.floats[record.name] = value
        if self.graph.last is not before and value.name is None:
            value.name = record.name

    def check_one_line(self, record: LayerRecord) -> None:
        """A layer reads exactly one layer, as its only reader."""
        readers = [r for r in self.archive.layers if r is not record and set(record.inbound) & set(r.inbound)]
        if len(record.inbound) != 1:
            found = f"it reads {', '.join(record.inbound) or 'nothing'}"
        elif readers or record.inbound[0] in self.archive.outputs:
            others = ", ".join(map(described, readers)) or "the model's output"
            found = f"it reads {record.inbound[0]}, as does {others}"
        else:
            return
        raise UnsupportedLayerError(
            "legacy models are one straight line of layers",
            found=found,
            allowed="one input",
            help="quantize the float model with QuantizeML",
            code="KERAS-BRANCH",
        )


def legacy_classes() -> list[str]:
    """The Keras classes that legacy models may have."""
    return sorted({*LEGACY, *TAIL, "InputLayer"})


# ---- layers with weights --------------------------------------------------------------------------------------------


class Weights(NamedTuple):
    """The constants of a layer; without a scale the weights are floats."""

    values: Tensor
    scale: Tensor | None


def layer_weights(imp: Importer, record: LayerRecord, variable: str, *quantizers: str) -> Weights:
    """A kernel as integers with their scale, by the first of the quantizers that the layer has; else as floats."""
    kernel = weight(record, variable)
    quantizer = next((record.config[key] for key in quantizers if record.config.get(key)), None)
    depthwise = variable == "depthwise_kernel"
    if quantizer is None:
        return Weights(imp.constant(without_multiplier(kernel) if depthwise else kernel, F32, variable), None)
    found = quantize_kernel(kernel, quantizer)
    integers = without_multiplier(found.integers) if depthwise else found.integers
    scale = imp.constant(found.scale, F32, f"{variable}_scale")
    return Weights(imp.constant(integers, si(found.bits), variable), scale)


def without_multiplier(kernel: Any) -> Any:
    """A depthwise kernel [height, width, channels, 1] without its last axis."""
    if kernel.shape[-1] != 1:
        raise UnsupportedLayerError("depth_multiplier is not supported", found=str(kernel.shape[-1]), allowed="1")
    return kernel[..., 0]


def bias(imp: Importer, record: LayerRecord) -> Tensor | None:
    """The layer's bias, if it has one."""
    return imp.constant(weight(record, "bias"), F32, "bias") if record.config.get("use_bias", True) else None


def activated(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """The activation that float layers can have built in."""
    return apply(imp, record.config.get("activation"), x)


@registered(LEGACY, "QuantizedConv2D", "Conv2D")
def conv2d(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    require(record, "groups", 1)
    kernel = layer_weights(imp, record, "kernel", "quantizer")
    op = nn.Conv2D(x, kernel.values, bias(imp, record), kernel.scale, *window(record))
    return activated(imp, record, imp.emit(op))


@registered(LEGACY, "QuantizedSeparableConv2D", "SeparableConv2D")
def separable_conv2d(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Depthwise, then pointwise.  Older files quantize both halves with one quantizer."""
    require(record, "data_format", "channels_last", None)
    depthwise = layer_weights(imp, record, "depthwise_kernel", "quantizer_dw", "quantizer")
    inner = imp.emit(nn.DepthwiseConv2D(x, depthwise.values, None, depthwise.scale, *window(record)))
    pointwise = layer_weights(imp, record, "pointwise_kernel", "quantizer")
    op = nn.Conv2D(inner, pointwise.values, bias(imp, record), pointwise.scale)
    return activated(imp, record, imp.emit(op))


def window(record: LayerRecord) -> tuple[tuple[int, int], Padding, tuple[int, int]]:
    """Strides, padding and dilation of a convolution."""
    dilation = pair(record.config.get("dilation_rate", (1, 1)))
    return window_strides(record), Padding(record.config.get("padding", "valid")), dilation


@registered(LEGACY, "QuantizedDense", "Dense")
def dense(imp: Importer, record: LayerRecord, x: Value) -> Value:
    kernel = layer_weights(imp, record, "kernel", "quantizer")
    return activated(imp, record, imp.emit(nn.Dense(x, kernel.values, bias(imp, record), kernel.scale)))


@registered(LEGACY, "BatchNormalization")
def batch_norm(imp: Importer, record: LayerRecord, x: Value) -> Value:
    axis = record.config.get("axis", -1)
    axes = [int(a) % x.type.rank for a in (axis if isinstance(axis, list) else [axis])]
    if axes != [x.type.rank - 1]:
        raise UnsupportedLayerError("it does not normalize channels", found=f"axis {axis}", allowed="the last axis")
    channels, epsilon = x.type.channels, float(record.config.get("epsilon", 1e-3))
    ones, zeros = np.ones(channels, F), np.zeros(channels, F)
    gamma = weight(record, "gamma") if record.config.get("scale", True) else ones
    beta = weight(record, "beta") if record.config.get("center", True) else zeros
    variance = weight(record, "moving_variance")
    if not (variance + F(epsilon) > 0).all():
        message = "its variances are not above 0"
        raise UnsupportedLayerError(message, found=str(np.min(variance)), code="KERAS-RANGE")
    return imp.emit(
        nn.BatchNorm(
            x,
            imp.constant(gamma, F32, "gamma"),
            imp.constant(beta, F32, "beta"),
            imp.constant(weight(record, "moving_mean"), F32, "mean"),
            imp.constant(variance, F32, "variance"),
            epsilon,
        )
    )


# ---- activations and pooling ----------------------------------------------------------------------------------------


@registered(LEGACY, "QuantizedReLU")
def quantized_relu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Levels up to `max_value`, by default that of the highest level at a step of 1."""
    bits = activation_bits(record)
    most = record.config.get("max_value")
    return levels(imp, x, bits, (1 << bits) - 1 if most is None else float(most))


@registered(LEGACY, "ActivationDiscreteRelu")
def activation_discrete_relu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Levels up to 6, at a step of at most 1."""
    bits = activation_bits(record)
    return levels(imp, x, bits, min((1 << bits) - 1, 6))


def levels(imp: Importer, x: Value, bits: int, most: float) -> Value:
    """A rectifier whose highest level is `most`."""
    if not 0 < most < math.inf:
        raise UnsupportedLayerError("max_value must be above 0", found=str(most))
    return imp.emit(nn.QuantizedReLU(x, bits, float(F(most / ((1 << bits) - 1)))))


def activation_bits(record: LayerRecord) -> int:
    """The bit width of a quantized activation."""
    bits = record.config.get("bitwidth", 1)
    if type(bits) is not int or not 1 <= bits <= 16:
        raise UnsupportedLayerError("there is no such bitwidth", found=str(bits), allowed="1, 2 or 4")
    return bits


@registered(LEGACY, "MaxPooling2D", "MaxPool2D")
def max_pool(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    size = pair(record.config.get("pool_size", (2, 2)))
    strides = pair(record.config.get("strides") or size)
    return imp.emit(nn.MaxPool(x, size, strides, Padding(record.config.get("padding", "valid"))))


@registered(LEGACY, "GlobalAveragePooling2D", "GlobalAvgPool2D")
def global_average_pool(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    return imp.emit(nn.GlobalAveragePool(x, bool(record.config.get("keepdims", False))))


# ---- the rest -------------------------------------------------------------------------------------------------------


@registered(LEGACY, *TRAINING_ONLY)
def training_only(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return imp.emit(nn.Dropout(x))


@registered(LEGACY, "Rescaling")
def rescaling(imp: Importer, record: LayerRecord, x: Value) -> Value:
    scale, offset = record.config["scale"], record.config.get("offset", 0.0)
    for name, number in (("scale", scale), ("offset", offset)):
        if type(number) not in (int, float) or not math.isfinite(number):
            raise UnsupportedLayerError(f"its {name} must be one number", found=str(number))
    return imp.emit(nn.Rescaling(x, float(scale), float(offset)))
