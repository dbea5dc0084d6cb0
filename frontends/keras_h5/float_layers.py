"""Float layers without weights: activations, pooling, merges, shapes."""

from __future__ import annotations

from typing import Any

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.float_weighted import numbers
from cnn2snn_ir.frontends.keras_h5.floating import FLOAT, MERGES, activated, refuse
from cnn2snn_ir.frontends.keras_h5.importer import Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.legacy import LEGACY, TRAINING_ONLY
from cnn2snn_ir.frontends.keras_h5.steps import pair, require, weight
from cnn2snn_ir.frontends.keras_h5.tail import flatten, reshape
from cnn2snn_ir.ir import Value

SHARED = ("MaxPooling2D", "MaxPool2D", "GlobalAveragePooling2D", "GlobalAvgPool2D", *TRAINING_ONLY)
"""Layers that legacy models have too."""

FLOAT |= {name: LEGACY[name] for name in SHARED}
FLOAT |= {"Flatten": flatten, "Reshape": reshape}

# ---- activations ----------------------------------------------------------------------------------------------------


@registered(FLOAT, "Activation")
def activation(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return activated(imp, record, x)


@registered(FLOAT, "ReLU")
def relu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """A rectifier with an upper bound, or with a slope below 0."""
    bound, slope = record.config.get("max_value"), record.config.get("negative_slope") or 0.0
    if record.config.get("threshold") or (bound is not None and slope):
        found = f"threshold {record.config.get('threshold')}, max_value {bound}, negative_slope {slope}"
        raise refuse("there is no such rectifier", found, "no threshold; max_value or negative_slope")
    if slope:
        return leaky(imp, x, slope)
    return imp.emit(nn.ReLU(x, None if bound is None else float(bound)))


@registered(FLOAT, "LeakyReLU")
def leaky_relu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Keras 2 calls the slope alpha."""
    slope = record.config.get("negative_slope", record.config.get("alpha", 0.3))
    return leaky(imp, x, float(numbers(slope, "slope")))


@registered(FLOAT, "PReLU")
def prelu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """A learned slope below 0, if it is the same everywhere."""
    slopes = weight(record, "alpha")
    if slopes.size == 0 or (slopes != slopes.flat[0]).any():
        found = f"slopes from {slopes.min()} to {slopes.max()}"
        raise refuse("its slopes differ", found, "one slope", "train it with shared_axes, or use LeakyReLU")
    return leaky(imp, x, float(slopes.flat[0]))


def leaky(imp: Importer, x: Value, slope: float) -> Value:
    """A rectifier with a slope below 0, which may be 0."""
    return imp.emit(nn.Activation(x, Function.LEAKY_RELU, slope) if slope else nn.ReLU(x))


@registered(FLOAT, "ELU")
def elu(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return imp.emit(nn.Activation(x, Function.ELU, float(numbers(record.config.get("alpha", 1.0), "alpha"))))


@registered(FLOAT, "Softmax")
def softmax(imp: Importer, record: LayerRecord, x: Value) -> Value:
    axis = record.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if len(axes) != 1:
        raise refuse("it sums over several dimensions", f"axis {axis}", "one axis")
    return imp.emit(nn.Softmax(x, int(axes[0]) % x.type.rank))


# ---- pooling --------------------------------------------------------------------------------------------------------


@registered(FLOAT, "AveragePooling2D", "AvgPool2D")
def average_pool(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    size = pair(record.config.get("pool_size", (2, 2)))
    strides = pair(record.config.get("strides") or size)
    return imp.emit(nn.AveragePool(x, size, strides, Padding(record.config.get("padding", "valid"))))


@registered(FLOAT, "GlobalMaxPooling2D", "GlobalMaxPool2D")
def global_max_pool(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """Max pooling by a window of the size of the map."""
    require(record, "data_format", "channels_last", None)
    height, width, channels = x.type.per_sample
    largest = imp.emit(nn.MaxPool(x, (height, width), (height, width)))
    return largest if record.config.get("keepdims", False) else imp.emit(nn.Reshape(largest, (channels,)))


# ---- merges ---------------------------------------------------------------------------------------------------------


def several(record: LayerRecord, inputs: list[Value]) -> None:
    """Refuse a merge of one value: the others are constants of the configuration."""
    if len(inputs) < 2:
        raise UnsupportedLayerError(
            "it must read several values",
            found=", ".join(record.inbound) or "nothing",
            help="write activations as layers, such as Activation('hard_silu'), and not as sums",
            code="KERAS-BRANCH",
        )


@registered(MERGES, "Add")
def add(imp: Importer, record: LayerRecord, inputs: list[Value]) -> Value:
    """Sums of many values are added in order."""
    several(record, inputs)
    if len({x.type.shape for x in inputs}) != 1:
        raise refuse("it adds values of different shapes", ", ".join(str(x.type) for x in inputs), "one shape")
    total = inputs[0]
    for x in inputs[1:]:
        total = imp.emit(nn.Add(total, x))
    return total


@registered(MERGES, "Concatenate")
def concatenate(imp: Importer, record: LayerRecord, inputs: list[Value]) -> Value:
    several(record, inputs)
    return imp.emit(nn.Concat(tuple(inputs), int(record.config.get("axis", -1)) % inputs[0].type.rank))


# ---- shapes ---------------------------------------------------------------------------------------------------------


@registered(FLOAT, "Permute")
def permute(imp: Importer, record: LayerRecord, x: Value) -> Value:
    return imp.emit(nn.Transpose(x, (0, *(int(d) for d in record.config["dims"]))))


@registered(FLOAT, "ZeroPadding2D")
def zero_padding(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    rows, columns = edges(record.config.get("padding", 1))
    return imp.emit(nn.Pad(x, rows, columns))


def edges(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows above and below, columns left and right: one number, two, or two pairs."""
    if isinstance(padding, int):
        padding = (padding, padding)
    rows, columns = padding
    return pair(rows), pair(columns)


@registered(FLOAT, "UpSampling2D")
def up_sampling(imp: Importer, record: LayerRecord, x: Value) -> Value:
    require(record, "data_format", "channels_last", None)
    require(record, "interpolation", "nearest")
    return imp.emit(nn.Upsample(x, pair(record.config.get("size", (2, 2)))))
