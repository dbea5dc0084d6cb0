"""Small float networks, one function each, that `make_models.py` quantizes.

Every body takes the image (or vector) tensor after the input conditioning and returns the output
tensor. The networks are shaped like those people run on Akida (keyword spotting, MobileNet, VGG,
residual, detector head...) but with so few channels that a saved file stays small enough to commit.

Layer naming: `NAME` is the convolution or dense layer, `NAME_bn`, `NAME_pool` and `NAME_relu` are what
follows it. Names without '/' keep the HDF5 files small (each '/' is a group); `named_stages` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantizeml.layers import (
    Activation,
    Add,
    BufferTempConv,
    DepthwiseBufferTempConv,
    DepthwiseConv2DTranspose,
    ExtractToken,
    PicoPostProcessing,
    StatefulProjection,
    StatefulRecurrent,
)
from tf_keras import layers

Tensor = Any
"""A symbolic Keras tensor; tf_keras ships no type information."""


@dataclass(frozen=True)
class Relu:
    """A ReLU request: `limit` is its saturation value, None for an unbounded one."""

    limit: float | None = 6.0


@dataclass(frozen=True)
class Architecture:
    """`shape` of one sample, and the function from the conditioned input to the output."""

    shape: tuple[int, ...]
    body: Callable[[Tensor], Tensor]
    streams: int = 0
    """How many streams a model that remembers is given, one frame or sequence of each a call."""
    recurrent: bool = False
    """Samples are sequences, and the number of streams is fixed in the model."""


RELU6 = Relu(6.0)
RELU3 = Relu(3.75)
UNBOUNDED = Relu(None)


def _tail(x: Tensor, name: str, relu: Relu | None, bn: bool, pool: int | None) -> Tensor:
    """Batch normalization, max-pooling by `pool`, ReLU: in the order QuantizeML keeps."""
    if bn:
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
    if pool:
        x = layers.MaxPool2D(pool, padding="same", name=f"{name}_pool")(x)
    if relu:
        x = layers.ReLU(max_value=relu.limit, name=f"{name}_relu")(x)
    return x


def conv(
    x: Tensor,
    name: str,
    filters: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: str = "same",
    relu: Relu | None = RELU6,
    bn: bool = False,
    pool: int | None = None,
) -> Tensor:
    """Convolution block. The bias is left to the batch normalization where there is one."""
    made = layers.Conv2D(filters, kernel, strides=stride, padding=padding, use_bias=not bn, name=name)(x)
    return _tail(made, name, relu, bn, pool)


def depthwise(
    x: Tensor,
    name: str,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: str = "same",
    relu: Relu | None = None,
    bn: bool = False,
    pool: int | None = None,
) -> Tensor:
    """Depthwise convolution block; without `relu` it is followed by nothing, as in Akida 2 models."""
    made = layers.DepthwiseConv2D(
        kernel, strides=stride, padding=padding, use_bias=relu is not None and not bn, name=name
    )(x)
    return _tail(made, name, relu, bn, pool)


def transposed(x: Tensor, name: str, filters: int, kernel: int = 3, *, relu: Relu | None = RELU6) -> Tensor:
    """Transposed convolution that doubles the map."""
    made = layers.Conv2DTranspose(filters, kernel, strides=2, padding="same", name=name)(x)
    return _tail(made, name, relu, bn=False, pool=None)


def depthwise_transposed(x: Tensor, name: str, kernel: int = 3, *, relu: Relu | None = None) -> Tensor:
    """Depthwise transposed convolution that doubles the map."""
    made = DepthwiseConv2DTranspose(kernel, strides=2, padding="same", use_bias=relu is not None, name=name)(x)
    return _tail(made, name, relu, bn=False, pool=None)


def temporal(x: Tensor, name: str, filters: int, frames: int, *, relu: Relu | None = RELU6) -> Tensor:
    """Convolution over the last `frames` frames."""
    made = BufferTempConv(filters, frames, use_bias=True, name=name)(x)
    return _tail(made, name, relu, bn=False, pool=None)


def depthwise_temporal(x: Tensor, name: str, frames: int, *, relu: Relu | None = None) -> Tensor:
    """Depthwise convolution over the last `frames` frames."""
    made = DepthwiseBufferTempConv(frames, use_bias=relu is not None, name=name)(x)
    return _tail(made, name, relu, bn=False, pool=None)


def separable(x: Tensor, name: str, filters: int, *, stride: int = 1, relu: Relu = RELU3) -> Tensor:
    """Depthwise 3x3 then pointwise 1x1 with folded batch normalization."""
    x = depthwise(x, f"{name}_dw", stride=stride)
    return conv(x, f"{name}_pw", filters, 1, relu=relu, bn=True)


def fused_separable(
    x: Tensor, name: str, filters: int, kernel: int = 3, *, stride: int = 1, relu: Relu = RELU6, pool: int | None = None
) -> Tensor:
    """Separable convolution in one layer, as Akida 1 has it, with folded batch normalization."""
    made = layers.SeparableConv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return _tail(made, name, relu, bn=True, pool=pool)


def average_first(x: Tensor, name: str, filters: int) -> Tensor:
    """Convolution, global average, ReLU: the order of Akida 1."""
    x = layers.GlobalAveragePooling2D(name=f"{name}_gap")(conv(x, name, filters, 1, relu=None))
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def dense(x: Tensor, name: str, units: int, *, relu: Relu | None = None) -> Tensor:
    """Dense layer with an optional ReLU."""
    return _tail(layers.Dense(units, name=name)(x), name, relu, bn=False, pool=None)


def global_pool(x: Tensor) -> Tensor:
    """Global average pooling to a vector."""
    return layers.GlobalAveragePooling2D(name="gap")(x)


def add(name: str, a: Tensor, b: Tensor, relu: Relu | None = RELU6) -> Tensor:
    """Sum of two branches."""
    return _tail(layers.Add(name=name)([a, b]), name, relu, bn=False, pool=None)


def keyword_spotting(x: Tensor) -> Tensor:
    """Depthwise-separable network for a 49x10 spectrogram."""
    x = conv(x, "stem", 12, 5, stride=2, relu=RELU3, bn=True)
    for i in range(4):
        x = separable(x, f"ds{i}", 12)
    x = dense(global_pool(x), "words", 12)
    return layers.Activation("softmax", name="probabilities")(x)


def mobile(x: Tensor) -> Tensor:
    """MobileNet-like: the spatial size halves in depthwise layers that have their own ReLU."""
    x = conv(x, "stem", 6, stride=2, relu=RELU6, bn=True)
    for i, (filters, stride) in enumerate([(8, 2), (12, 1), (16, 2)]):
        x = depthwise(x, f"dw{i}", stride=stride, relu=RELU6, bn=True)
        x = conv(x, f"pw{i}", filters, 1, relu=RELU3 if i % 2 else RELU6, bn=True)
    return dense(global_pool(x), "classes", 10)


def vgg(x: Tensor) -> Tensor:
    """Pairs of 3x3 convolutions and max-pools, then two dense layers on a flattened map."""
    for i, filters in enumerate([6, 8, 10]):
        x = conv(x, f"c{i}a", filters)
        x = conv(x, f"c{i}b", filters, pool=2)
    x = layers.Flatten(name="flat")(x)
    x = dense(x, "hidden", 20, relu=RELU6)
    return dense(x, "classes", 10)


def residual(x: Tensor) -> Tensor:
    """One identity block and one with a strided projection on the shortcut."""
    x = conv(x, "stem", 8, stride=2, bn=True)
    x = conv(x, "pre", 8)
    y = conv(x, "a1", 8, bn=True)
    x = add("a_add", conv(y, "a2", 8, relu=None, bn=True), x)
    y = conv(x, "b1", 12, stride=2)
    y = conv(y, "b2", 12, relu=None)
    x = add("b_add", y, conv(x, "b_skip", 12, 1, stride=2, relu=None))
    x = conv(x, "last", 12, 1)
    return dense(global_pool(x), "classes", 8)


def deep_residual(x: Tensor) -> Tensor:
    """Residual sums chained so that ranges accumulate; ReLU only inside the branches."""
    x = conv(x, "stem", 6, stride=2)
    x = conv(x, "trunk", 6, relu=RELU6)
    for i in range(4):
        y = conv(x, f"r{i}", 6, relu=RELU3)
        x = add(f"add{i}", y, x, relu=None)
    x = conv(x, "last", 8, relu=UNBOUNDED)
    return dense(global_pool(x), "classes", 6)


def inverted(x: Tensor) -> Tensor:
    """MobileNetV2-like: linear bottlenecks, so convolutions without ReLU feed the sums."""
    x = conv(x, "stem", 8, stride=2, bn=True)
    x = conv(x, "neck", 6, 1, relu=None, bn=True)
    for i in range(2):
        y = conv(x, f"i{i}_up", 14, 1, bn=True)
        y = depthwise(y, f"i{i}_dw", relu=RELU6, bn=True)
        y = conv(y, f"i{i}_down", 6, 1, relu=None, bn=True)
        x = add(f"i{i}_add", x, y, relu=None)
    x = conv(x, "top", 16, 1)
    return dense(global_pool(x), "classes", 10)


def inception(x: Tensor) -> Tensor:
    """Branches of different kernels joined by a three-way and a two-way Concatenate."""
    x = conv(x, "stem", 6, stride=2, pool=2)
    x = conv(x, "trunk", 6)
    branches = [conv(x, f"k{k}", f, k, relu=RELU3 if k == 3 else RELU6) for k, f in ((1, 4), (3, 5), (5, 3))]
    # three consumers of one tensor and three inputs: QuantizeML splits both in steps of two
    x = layers.Concatenate(name="join3")(branches)
    x = conv(x, "mix", 8, 1)
    x = layers.Concatenate(name="join2")([conv(x, "main", 6), x])
    x = conv(x, "last", 10)
    return dense(global_pool(x), "classes", 7)


def vector_mlp(x: Tensor) -> Tensor:
    """Dense layers on a feature vector."""
    x = dense(x, "fc0", 24, relu=UNBOUNDED)
    x = dense(x, "fc1", 16, relu=RELU6)
    return dense(x, "classes", 5)


def ties(x: Tensor) -> Tensor:
    """The smallest net that requantizes: `make_models.craft_ties` chooses its numbers."""
    return dense(dense(x, "fc", 4, relu=UNBOUNDED), "classes", 3)


def image_mlp(x: Tensor) -> Tensor:
    """Dense layers on a flattened image, with dropout between them.

    For a float image: QuantizeML cannot run a Flatten right after a Rescaling.
    """
    x = layers.Flatten(name="flat")(x)
    x = dense(x, "fc0", 24, relu=RELU6)
    x = layers.Dropout(0.3, name="drop")(x)
    x = dense(x, "fc1", 12, relu=UNBOUNDED)
    x = dense(x, "classes", 4)
    return layers.Softmax(name="probabilities")(x)


def unbounded(x: Tensor) -> Tensor:
    """Every ReLU is unbounded, so all ranges come from calibration."""
    x = conv(x, "c0", 6, 5, stride=2, relu=UNBOUNDED)
    x = conv(x, "c1", 8, relu=UNBOUNDED, pool=2)
    x = depthwise(x, "c2_dw")
    x = conv(x, "c2", 10, 1, relu=UNBOUNDED)
    x = conv(x, "c3", 10, 3, relu=UNBOUNDED)
    return dense(global_pool(x), "classes", 5)


def wide_kernels(x: Tensor) -> Tensor:
    """7x7 and 5x5 kernels, valid padding, depthwise too, on a map that is not square."""
    x = conv(x, "w7", 6, 7, padding="valid")
    x = conv(x, "w5", 6, 5, stride=2, padding="valid", relu=RELU3)
    x = depthwise(x, "d5", 5)
    x = conv(x, "p0", 8, 1)
    x = depthwise(x, "d3v", 3, padding="valid", relu=RELU6)
    x = conv(x, "w7b", 6, 7)
    return dense(global_pool(x), "classes", 6)


def pools(x: Tensor) -> Tensor:
    """Max-pools of several sizes, strides and paddings, after normal and depthwise convolutions."""
    x = layers.Conv2D(6, 3, padding="same", name="c0")(x)
    x = layers.MaxPool2D(3, strides=2, padding="same", name="p0")(x)
    x = layers.ReLU(max_value=6.0, name="c0_relu")(x)
    x = layers.Conv2D(8, 3, padding="same", name="c1")(x)
    x = layers.MaxPool2D(3, strides=2, padding="valid", name="p1")(x)
    x = layers.ReLU(max_value=3.75, name="c1_relu")(x)
    x = depthwise(x, "d2", relu=RELU6, pool=2)
    x = layers.Conv2D(8, 1, name="c3")(x)
    x = layers.ReLU(name="c3_relu")(x)
    # ReLU first: QuantizeML swaps it behind the pool
    x = layers.MaxPool2D(2, strides=1, padding="same", name="p3")(x)
    x = conv(x, "c4", 8)
    return dense(global_pool(x), "classes", 6)


def reshapes(x: Tensor) -> Tensor:
    """A vector folded to a map, and the MobileNet head: 1x1 map, dropout, 1x1 convolution, Reshape."""
    x = layers.Reshape((12, 8, 2), name="to_map")(x)
    x = conv(x, "c0", 8, stride=2)
    x = conv(x, "c1", 10)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="gap")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    x = conv(x, "classes", 6, 1, relu=None)
    x = layers.Reshape((6,), name="to_vector")(x)
    return layers.Activation("softmax", name="probabilities")(x)


def rgb(x: Tensor) -> Tensor:
    """Batch normalization after every layer, strides of 2, depthwise and pool ones included."""
    x = conv(x, "c0", 8, stride=2, bn=True)
    x = conv(x, "c1", 8, bn=True, relu=RELU3, pool=2)
    x = depthwise(x, "d2", stride=2, relu=RELU6, bn=True)
    x = conv(x, "c2", 12, 1, bn=True)
    x = conv(x, "c3", 12, stride=2, bn=True, relu=UNBOUNDED)
    x = layers.Flatten(name="flat")(x)
    return dense(x, "classes", 10)


def conv_head(x: Tensor) -> Tensor:
    """The last convolution covers the whole map; independent sigmoid outputs."""
    x = conv(x, "c0", 6, 5, stride=2)
    x = conv(x, "c1", 8, stride=2)
    x = conv(x, "whole", 8, 5, padding="valid", relu=RELU6)
    x = conv(x, "labels", 5, 1, relu=None)
    x = layers.Flatten(name="flat")(x)
    return layers.Activation("sigmoid", name="scores")(x)


def detector(x: Tensor) -> Tensor:
    """Detection head: the output is a map of linear values, on a rectangular image."""
    x = conv(x, "c0", 6, stride=2)
    x = conv(x, "c1", 8, pool=2)
    x = separable(x, "s2", 10, relu=RELU6)
    x = conv(x, "c3", 12, relu=RELU3)
    return conv(x, "boxes", 7, 1, relu=None)


def float_tail(x: Tensor) -> Tensor:
    """Convolutional features, then a classifier that one scheme leaves in float."""
    x = conv(x, "c0", 6, stride=2)
    x = conv(x, "c1", 8, stride=2)
    x = global_pool(x)
    x = dense(x, "embedding", 10)
    x = layers.ReLU(max_value=4.0, name="float_relu")(x)
    x = dense(x, "float_classes", 5)
    return layers.Softmax(name="probabilities")(x)


def named_stages(x: Tensor) -> Tensor:
    """Names with '/', one inside another, and with the odd characters that TensorFlow lets through."""
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="block_1/conv")(x)
    x = layers.ReLU(max_value=6.0, name="block_1/conv/relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="block_2/dw.3>3-s1")(x)
    x = layers.Conv2D(8, 1, name="block_2/pw")(x)
    x = layers.ReLU(max_value=6.0, name="block_2/pw/relu")(x)
    x = layers.GlobalAveragePooling2D(name="HEAD/gap")(x)
    x = layers.Dense(4, name="HEAD/0")(x)
    return layers.Activation("softmax", name=".act>softmax_")(x)


def unet(x: Tensor) -> Tensor:
    """Nine layers with weights: an encoder, a decoder that doubles maps in two ways, a skip connection to each."""
    full = conv(x, "down0", 4)
    half = conv(full, "down1", 5, stride=2)
    quarter = conv(half, "down2", 6, pool=2)
    x = conv(quarter, "middle", 6)
    x = transposed(x, "up1", 5)
    x = layers.Concatenate(name="join1")([x, half])
    x = conv(x, "merge1", 6, relu=RELU3)
    x = depthwise_transposed(x, "up0_dw")
    x = conv(x, "up0_pw", 4, 1, relu=None)
    x = add("join0", x, full, relu=None)
    return conv(x, "labels", 3, 1, relu=None)


def spatiotemporal(x: Tensor) -> Tensor:
    """(2+1)D convolutions: over space with stride 2, then over time, full and depthwise, of 1, 3 and 5 frames."""
    x = conv(x, "space0", 4, stride=2, bn=True)
    x = temporal(x, "time0", 6, 5)
    x = conv(x, "space1", 8, stride=2, relu=RELU3)
    x = depthwise_temporal(x, "time1_dw", 3)
    x = temporal(x, "time1_pw", 6, 1)
    x = depthwise_temporal(x, "time2_dw", 5, relu=RELU6)
    x = depthwise_temporal(x, "now_dw", 1, relu=RELU3)
    x = temporal(x, "time2", 6, 3, relu=None)
    x = conv(x, "space3", 8, stride=2)
    return dense(global_pool(x), "gestures", 5)


def resnet18(x: Tensor) -> Tensor:
    """The layout of ResNet-18 with few channels: 17 convolutions, 3 more on shortcuts, a dense layer."""
    x = conv(x, "stem", 3, 7, stride=2, pool=2)
    for stage, filters in enumerate([3, 4, 4, 5]):
        for block in "ab":
            name, down = f"s{stage}{block}", stage > 0 and block == "a"
            shortcut = conv(x, f"{name}_skip", filters, 1, stride=2, relu=None, bn=True) if down else x
            x = conv(x, f"{name}1", filters, stride=2 if down else 1, bn=True)
            x = conv(x, f"{name}2", filters, relu=None, bn=True)
            x = add(f"{name}_add", x, shortcut)
    return dense(global_pool(x), "classes", 4)


def recurrent(x: Tensor) -> Tensor:
    """Two linear recurrences, each between two projections, the second of which also drops time steps."""
    for i, (states, units, subsample) in enumerate([(6, 5, 2), (5, 8, 4)]):
        # no bias in front of a recurrence
        x = StatefulProjection(states, use_bias=False, name=f"in{i}")(x)
        x = StatefulRecurrent(name=f"states{i}")(x)
        x = ExtractToken(token=0, axis=-1, name=f"real{i}")(x)
        x = StatefulProjection(units, subsample=subsample, name=f"out{i}")(x)
        x = layers.ReLU(max_value=6.0, name=f"out{i}_relu")(x)
    x = layers.Flatten(name="flat")(x)
    x = dense(x, "hidden", 8, relu=RELU6)
    return dense(x, "words", 5)


def anomaly(x: Tensor) -> Tensor:
    """A recurrence that predicts its own input, and whether it is far off; both are of the input's integers."""
    y = StatefulProjection(8, use_bias=False, name="in0")(x)
    y = StatefulRecurrent(name="states0")(y)
    y = ExtractToken(token=0, axis=-1, name="real0")(y)
    y = StatefulProjection(x.shape[-1], name="out0")(y)
    return PicoPostProcessing(threshold=2600, name="alarm")(y, x)


def upsampling(x: Tensor) -> Tensor:
    """Transposed convolutions, full and depthwise, of kernel 3 and 4, with ReLU and without; one is the last layer."""
    x = conv(x, "c0", 4, stride=2)
    x = transposed(x, "full3", 5, 3, relu=RELU3)
    x = conv(x, "c1", 6, stride=2)
    x = depthwise_transposed(x, "depth4", 4)
    x = conv(x, "c2", 4, stride=2)
    x = transposed(x, "full4", 5, 4, relu=None)
    x = conv(x, "c3", 6, stride=2, relu=UNBOUNDED)
    x = depthwise_transposed(x, "depth3", 3, relu=RELU6)
    x = conv(x, "c4", 4, stride=2)
    return transposed(x, "image", 3, 4, relu=None)


def table(x: Tensor, name: str, activation: str, alpha: float = 0.2) -> Tensor:
    """An activation that is computed by table."""
    return Activation(activation, alpha=alpha, name=f"{name}_{activation}")(x)


def tables(x: Tensor) -> Tensor:
    """Every activation by table, behind every kind of convolution and a max-pooling, and a sum that averages."""
    x = table(conv(x, "c0", 4, stride=2, relu=None), "c0", "hard_silu")
    x = table(conv(x, "c1", 6, relu=None), "c1", "gelu")
    y = table(depthwise(x, "d2"), "d2", "leaky_relu", 0.1)
    y = table(conv(y, "c3", 6, 1, relu=None), "c3", "swish")
    x = Add(average=True, name="mean")([x, y])
    x = table(conv(x, "c4", 6, pool=2, relu=None), "c4", "leaky_relu")
    x = table(transposed(x, "t5", 5, relu=None), "t5", "gelu")
    x = table(depthwise_transposed(x, "u6", 4), "u6", "hard_silu")
    x = table(conv(x, "c7", 6, relu=None), "c7", "swish")
    return dense(global_pool(x), "classes", 6)


def table_mlp(x: Tensor) -> Tensor:
    """Activations by table behind dense layers."""
    x = table(dense(x, "fc0", 10), "fc0", "gelu")
    x = table(dense(x, "fc1", 8), "fc1", "hard_silu")
    return dense(x, "classes", 5)


def neurons(x: Tensor) -> Tensor:
    """Every layer of Akida 1, averaged before the last activation."""
    x = conv(x, "stem", 8, stride=2, bn=True)
    x = fused_separable(x, "sep1", 12, pool=2)
    x = conv(x, "conv1", 10, pool=2)
    x = fused_separable(x, "sep2", 12, 5, relu=RELU3)
    x = average_first(x, "mix", 16)
    return dense(x, "classes", 5)


def flat_neurons(x: Tensor) -> Tensor:
    """Dense layers of Akida 1 behind a map."""
    x = conv(x, "stem", 6, 5, stride=2, padding="valid")
    x = fused_separable(x, "sep", 5)
    x = layers.Flatten(name="flatten")(x)
    x = dense(x, "hidden", 24, relu=RELU6)
    return dense(x, "classes", 7)


ARCHITECTURES: dict[str, Architecture] = {
    "kws": Architecture((49, 10, 1), keyword_spotting),
    "mobile": Architecture((24, 24, 3), mobile),
    "vgg": Architecture((16, 16, 3), vgg),
    "residual": Architecture((16, 16, 3), residual),
    "deep_residual": Architecture((16, 12, 1), deep_residual),
    "inverted": Architecture((16, 16, 3), inverted),
    "inception": Architecture((16, 16, 3), inception),
    "vector_mlp": Architecture((20,), vector_mlp),
    "ties": Architecture((11,), ties),
    "image_mlp": Architecture((8, 8, 1), image_mlp),
    "unbounded": Architecture((16, 16, 2), unbounded),
    "wide_kernels": Architecture((24, 18, 1), wide_kernels),
    "pools": Architecture((20, 20, 3), pools),
    "reshapes": Architecture((192,), reshapes),
    "rgb": Architecture((20, 20, 3), rgb),
    "conv_head": Architecture((20, 20, 1), conv_head),
    "detector": Architecture((24, 16, 3), detector),
    "float_tail": Architecture((12, 12, 3), float_tail),
    "named_stages": Architecture((10, 14, 1), named_stages),
    "unet": Architecture((8, 12, 3), unet),
    "resnet18": Architecture((20, 16, 1), resnet18),
    "recurrent": Architecture((8, 2), recurrent, streams=3, recurrent=True),
    "anomaly": Architecture((8, 3), anomaly, streams=3, recurrent=True),
    "upsampling": Architecture((8, 8, 3), upsampling),
    "tables": Architecture((8, 6, 1), tables),
    "table_mlp": Architecture((12,), table_mlp),
    "neurons": Architecture((20, 24, 3), neurons),
    "flat_neurons": Architecture((15, 13, 1), flat_neurons),
    "spatiotemporal": Architecture((10, 8, 1), spatiotemporal, streams=3),
}
