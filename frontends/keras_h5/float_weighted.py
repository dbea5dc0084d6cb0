"""Float layers with weights: convolutions of all kinds, dense layers, normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.floating import FLOAT, activated, refuse
from cnn2snn_ir.frontends.keras_h5.importer import Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.legacy import LEGACY, bias, window, without_multiplier
from cnn2snn_ir.frontends.keras_h5.quantizers import Floats
from cnn2snn_ir.frontends.keras_h5.steps import require, weight, window_strides
from cnn2snn_ir.ir import F32, F64, Tensor, Value

FLOAT["BatchNormalization"] = LEGACY["BatchNormalization"]

NORMALIZATION_EPSILON = 1e-7
"""What a Normalization layer's deviation is at least: the epsilon of Keras's backend."""


MAX_DENSE = 1 << 28
"""Weights of a kernel with the zeros between its groups written out."""


def kernel(imp: Importer, record: LayerRecord, values: Floats) -> Tensor:
    """A kernel as a constant."""
    return imp.constant(values, F32, "kernel")


def depthwise_kernel(imp: Importer, record: LayerRecord) -> Tensor:
    """A kernel [height, width, channels]; Keras 3 calls it `kernel`."""
    name = "depthwise_kernel" if "depthwise_kernel" in record.weights else "kernel"
    return imp.constant(without_multiplier(weight(record, name)), F32, "depthwise_kernel")


def grouped(values: Floats, channels: int) -> Floats:
    """A kernel of groups [height, width, channels / groups, filters] as one of all channels, zeros between groups."""
    height, width, depth, filters = values.shape
    groups = channels // max(depth, 1)
    if groups * depth != channels or filters % groups or height * width * channels * filters > MAX_DENSE:
        raise refuse(
            "its kernel does not fit its input", f"{values.shape} for {channels} channels", f"{MAX_DENSE} weights"
        )
    dense = np.zeros((height, width, channels, filters), values.dtype)
    for group in range(groups):
        outputs = slice(group * (filters // groups), (group + 1) * (filters // groups))
        dense[:, :, group * depth : (group + 1) * depth, outputs] = values[..., outputs]
    return dense


@registered(FLOAT, "Conv2D", "Convolution2D")
def conv2d(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Groups of one channel and one filter are a depthwise convolution, others are written out."""
    require(record, "data_format", "channels_last", None)
    values = weight(record, "kernel")
    channels = x.type.channels
    if values.shape[2:] == (1, channels) and channels > 1:
        depthwise = kernel(imp, record, values[:, :, 0])
        return activated(
            imp, record, imp.emit(nn.DepthwiseConv2D(x, depthwise, bias(imp, record), None, *window(record)))
        )
    op = nn.Conv2D(x, kernel(imp, record, grouped(values, channels)), bias(imp, record), None, *window(record))
    return activated(imp, record, imp.emit(op))


@registered(FLOAT, "DepthwiseConv2D")
def depthwise_conv2d(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    op = nn.DepthwiseConv2D(x, depthwise_kernel(imp, record), bias(imp, record), None, *window(record))
    return activated(imp, record, imp.emit(op))


@registered(FLOAT, "SeparableConv2D", "SeparableConvolution2D")
def separable_conv2d(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Depthwise, then pointwise."""
    require(record, "data_format", "channels_last", None)
    inner = imp.emit(nn.DepthwiseConv2D(x, depthwise_kernel(imp, record), None, None, *window(record)))
    pointwise = imp.constant(weight(record, "pointwise_kernel"), F32, "pointwise_kernel")
    return activated(imp, record, imp.emit(nn.Conv2D(inner, pointwise, bias(imp, record))))


@registered(FLOAT, "Conv2DTranspose", "Convolution2DTranspose")
def conv2d_transpose(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Keras stores the kernel as [height, width, out, in]."""
    strides, padding = transposed_window(record)
    values = kernel(imp, record, weight(record, "kernel").transpose(0, 1, 3, 2))
    op = nn.Conv2DTranspose(x, values, bias(imp, record), None, strides, padding)
    return activated(imp, record, imp.emit(op))


@registered(FLOAT, "DepthwiseConv2DTranspose")
def depthwise_conv2d_transpose(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """A layer of QuantizeML."""
    strides, padding = transposed_window(record)
    values = depthwise_kernel(imp, record)
    op = nn.DepthwiseConv2DTranspose(x, values, bias(imp, record), None, strides, padding)
    return activated(imp, record, imp.emit(op))


def transposed_window(record: LayerRecord) -> tuple[tuple[int, int], Padding]:
    """Strides and padding of a transposed convolution."""
    require(record, "data_format", "channels_last", None)
    require(record, "dilation_rate", (1, 1), 1)
    require(record, "output_padding", None)
    return window_strides(record), Padding(record.config.get("padding", "valid"))


@registered(FLOAT, "Dense")
def dense(imp: Importer, record: LayerRecord, x: Value) -> Value:
    op = nn.Dense(x, kernel(imp, record, weight(record, "kernel")), bias(imp, record))
    return activated(imp, record, imp.emit(op))


@registered(FLOAT, "Normalization")
def normalization(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """`(x - mean) / deviation` of channels; the moments were learned, or are in the configuration."""
    require(record, "invert", False)
    mean, variance = (moment(record, name) for name in ("mean", "variance"))
    axis = record.config.get("axis", -1)
    axes = [] if axis is None else [int(a) % x.type.rank for a in (axis if isinstance(axis, list) else [axis])]
    if axes not in ([], [x.type.rank - 1]):
        raise refuse("it does not normalize channels", f"axis {axis}", "the last axis, or none")
    deviation = np.maximum(np.sqrt(variance), NORMALIZATION_EPSILON)
    return imp.emit(affine(imp, x, 1 / deviation, -mean / deviation))


def moment(record: LayerRecord, name: str) -> Any:
    """A mean or variance as a vector or scalar, float64."""
    given = record.config.get(name)
    return numbers(given if given is not None else weight(record, name).tolist(), name)


@registered(FLOAT, "Rescaling")
def rescaling(imp: Importer, record: LayerRecord, x: Value) -> Value:
    scale, offset = numbers(record.config["scale"], "scale"), numbers(record.config.get("offset", 0.0), "offset")
    if scale.ndim == offset.ndim == 0:
        return imp.emit(nn.Rescaling(x, float(scale), float(offset)))
    return imp.emit(affine(imp, x, scale, offset))


def affine(imp: Importer, x: Value, scale: Any, offset: Any) -> nn.Affine:
    """A linear function of channels."""
    constants = [
        Tensor.of(values, F64, f"{imp.layer.name}/{name}") for values, name in ((scale, "scale"), (offset, "offset"))
    ]
    return nn.Affine(x, *constants)


def numbers(config: Any, what: str) -> Any:
    """A number, a list of them or an array, however Keras writes it: float64 without dimensions of 1."""
    while isinstance(config, dict):
        config = config.get("items", config.get("config", config.get("value")))
    found = np.squeeze(np.asarray(config, np.float64))
    if found.ndim > 1 or not np.isfinite(found).all():
        raise UnsupportedLayerError(f"its {what} must be one number, or one a channel", found=str(config)[:200])
    return found
