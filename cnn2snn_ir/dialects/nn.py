"""`nn`: ops on real numbers: the networks of float-valued quantization, and the tail that a host computes.

A layer with a `weight_scale` has quantized weights: its constant holds integers, and the real weights are
`weights / weight_scale`.  Layers and rescalings compute in float64, so that what a threshold decides is not what
float32 rounded; a tail behind `qnn.dequantize` stays in float32, as Keras computes it.  Layout is NHWC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.geometry import Padding, per_channel, spatial
from cnn2snn_ir.dialects.qnn import fault, fit_channels, need_rank, reshaped
from cnn2snn_ir.ir import F32, Op, Tensor, TensorType, Value, attr, constant, operand


class Function(StrEnum):
    """Elementwise float functions."""

    LINEAR = "linear"
    SIGMOID = "sigmoid"
    TANH = "tanh"


class Softmax(Op, name="nn.softmax"):
    """`exp(x - max) / sum(exp(x - max))` along one dimension."""

    x: Value = operand("Float tensor.")
    axis: int = attr("The dimension; 0 is the batch.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        if self.axis >= self.x.type.rank:
            raise ValueError(f"needs an axis below {self.x.type.rank}, found {self.axis}")
        return (self.x.type,)


class Activation(Op, name="nn.activation"):
    """An elementwise function."""

    x: Value = operand("Float tensor.")
    function: Function = attr("Which function.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


class ReLU(Op, name="nn.relu"):
    """`max(x, 0)`, at most `max_value` if there is one."""

    x: Value = operand("Float tensor.")
    max_value: float | None = attr("Upper bound.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


# ---- layers with weights ----------------------------------------------------------------------------------------


def fit_filters(op: Op, filters: int) -> Iterator[Diagnostic]:
    """A fault for each constant of a weighted layer that is neither one for all filters nor one for each."""
    for name in ("weight_scale", "bias"):
        yield from fault(op, per_channel(getattr(op, name), filters, name))


class Conv2D(Op, name="nn.conv2d"):
    """2-D convolution: `sum over window and input channels of x · weights / weight_scale, + bias`."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out], integers if there is a weight_scale.")
    bias: Tensor | None = attr("Reals, one a filter.", default=None)
    weight_scale: Tensor | None = attr(
        "Integers a unit of the real weights, one for all filters or each.", default=None
    )
    strides: tuple[int, int] = attr("Vertical and horizontal step.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule; padded positions hold the real 0.", default=Padding.SAME)
    dilation: tuple[int, int] = attr("Vertical and horizontal spacing of the kernel.", default=(1, 1), minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 4:
            raise ValueError(f"needs weights [height, width, in, out], found {self.weights.type}")
        kh, kw, channels, filters = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} input channels, found {self.x.type}")
        rows, columns = spatial(self.x.type, (kh, kw), self.strides, self.padding, self.dilation)
        return (TensorType((self.x.type.shape[0], rows, columns, filters), self.x.type.element),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_filters(self, self.weights.type.channels)


class DepthwiseConv2D(Op, name="nn.depthwise_conv2d"):
    """2-D convolution of each channel with its own kernel; in front of a 1x1 convolution, a separable one."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, channels], integers if there is a weight_scale.")
    weight_scale: Tensor | None = attr("Integers a unit of a real weight, one for all channels.", default=None)
    strides: tuple[int, int] = attr("Vertical and horizontal step.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule; padded positions hold the real 0.", default=Padding.SAME)
    dilation: tuple[int, int] = attr("Vertical and horizontal spacing of the kernel.", default=(1, 1), minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 3:
            raise ValueError(f"needs weights [height, width, channels], found {self.weights.type}")
        kh, kw, channels = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} channels, found {self.x.type}")
        rows, columns = spatial(self.x.type, (kh, kw), self.strides, self.padding, self.dilation)
        return (TensorType((self.x.type.shape[0], rows, columns, channels), self.x.type.element),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fault(self, per_channel(self.weight_scale, 1, "weight_scale"))


class Dense(Op, name="nn.dense"):
    """Matrix product over the last dimension: `x @ (weights / weight_scale) + bias`."""

    x: Value = operand("Float tensor; the last dimension is summed over.")
    weights: Tensor = constant("Matrix [in, out], integers if there is a weight_scale.")
    bias: Tensor | None = attr("Reals, one a column.", default=None)
    weight_scale: Tensor | None = attr(
        "Integers a unit of the real weights, one for all columns or each.", default=None
    )

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 2 or self.x.type.channels != self.weights.type.shape[0]:
            raise ValueError(f"cannot multiply {self.x.type} by {self.weights.type}")
        return (TensorType((*self.x.type.shape[:-1], self.weights.type.shape[1]), self.x.type.element),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_filters(self, self.weights.type.channels)


class BatchNorm(Op, name="nn.batch_norm"):
    """Normalization of channels: `gamma · (x - mean) / sqrt(variance + epsilon) + beta`."""

    x: Value = operand("Float tensor; channels last.")
    gamma: Tensor = constant("One a channel.")
    beta: Tensor = constant("One a channel.")
    mean: Tensor = constant("One a channel.")
    variance: Tensor = constant("One a channel.")
    epsilon: float = attr("Added to the variance.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "gamma", "beta", "mean", "variance")


# ---- activations and pooling ------------------------------------------------------------------------------------


class QuantizedReLU(Op, name="nn.quantized_relu"):
    """Rectifier with few levels: `step · clip(ceil((x - step/2) / step), 0, 2^bits - 1)`.

    A tie, `x = (k - 1/2) · step`, stays on level k - 1.
    """

    x: Value = operand("Float tensor.")
    bits: int = attr("Bits of a level.", minimum=1, maximum=16)
    step: float = attr("The real distance of two levels.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fault(self, "" if 0 < self.step < math.inf else f"needs a step above 0, found {self.step}")


class MaxPool(Op, name="nn.max_pool"):
    """Maximum over a window; padded positions never win."""

    x: Value = operand("Feature map, NHWC.")
    size: tuple[int, int] = attr("Window height and width.", minimum=1)
    strides: tuple[int, int] = attr("Vertical and horizontal step.", minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.VALID)

    def infer(self) -> tuple[TensorType, ...]:
        rows, columns = spatial(self.x.type, self.size, self.strides, self.padding)
        batch, _, _, channels = self.x.type.shape
        return (TensorType((batch, rows, columns, channels), self.x.type.element),)


class GlobalAveragePool(Op, name="nn.global_average_pool"):
    """Mean over height and width."""

    x: Value = operand("Feature map, NHWC.")
    keepdims: bool = attr("Keep height and width as dimensions of 1.", default=False)

    def infer(self) -> tuple[TensorType, ...]:
        batch, _, _, channels = need_rank(self.x, 4).shape
        shape = (batch, 1, 1, channels) if self.keepdims else (batch, channels)
        return (TensorType(shape, self.x.type.element),)


# ---- the rest ---------------------------------------------------------------------------------------------------


class Rescaling(Op, name="nn.rescaling"):
    """A linear function of all elements: `x · scale + offset`."""

    x: Value = operand("Float tensor.")
    scale: float = attr("The factor.")
    offset: float = attr("What is added.", default=0.0)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


class InputScaling(Op, name="nn.input_scaling"):
    """The reals that integers stand for, `(x - shift) / scale`: the inverse of `x = scale · real + shift`."""

    x: Value = operand("Integers of the program's input.")
    scale: float = attr("Integers a unit of the reals, above 0.", default=1.0)
    shift: float = attr("The integer of the real 0.", default=0.0)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(F32),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fault(self, "" if 0 < self.scale < math.inf else f"needs a scale above 0, found {self.scale}")


class Dropout(Op, name="nn.dropout"):
    """A layer that acts while training only (dropout, noise); here it gives what it reads."""

    x: Value = operand("Float tensor.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


class Reshape(Op, name="nn.reshape"):
    """The same values in another shape, row-major; the batch stays first."""

    x: Value = operand("Float tensor.")
    shape: tuple[int, ...] = attr("Shape of one sample.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        return (reshaped(self.x.type, self.shape),)
