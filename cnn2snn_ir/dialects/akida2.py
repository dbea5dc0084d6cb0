"""`akida2`: the fused hardware layers of Akida 2, with the variables that the chip holds.

Integer semantics of a layer (research: QuantizeML's arithmetic as the vendor's converter maps it):

    x'  = x << input_shift                              saturated to `acc`
    a   = op(x', weights)                               saturated to `acc`
    a   = a + (bias << bias_shift)                      saturated to `acc`
    a   = max over the pooling window                   pool = max
    a   = min(max(a, 0), max_value << max_value_shift)  activation = relu
    i   = floor(a · activation_scales · 2^activation_shift + 1/2)   activation = lut, saturated to the table's index
    a   = lut_values[i - lowest index]                  activation = lut
    a   = sum over height and width                     pool = average, saturated to `post_op`
    y   = floor(a · output_scales · 2^output_shift + 1/2)   product saturated to `post_op`, result to `to`

Every value between layers is a map of rank 4, NHWC; vectors have height and width 1.
Without `to` the accumulator itself is the output.  Per-channel variables have no dimension when all channels
share one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.geometry import Padding, per_channel, transposed_spatial
from cnn2snn_ir.dialects.hardware import (
    DEPTHWISE_KERNEL,
    FULL_KERNEL,
    DequantizerLayer,
    InputLayer,
    LinearQuantizerLayer,
    Pool,
    QuantizerLayer,
    kernel_shape,
    pooled_size,
)
from cnn2snn_ir.dialects.qnn import ACCUMULATOR, PRODUCT, concatenated, fault, need_rank
from cnn2snn_ir.ir import ElementType, Op, Tensor, TensorType, Value, attr, constant, operand, operands, si

PER_FILTER = (
    "bias",
    "bias_shift",
    "max_value",
    "max_value_shift",
    "activation_scales",
    "activation_shift",
    "output_scales",
    "output_shift",
)
"""Variables with one value for all filters or one for each."""

TABLE_SHAPES = tuple((1 << bits,) for bits in range(2, 17))
"""Tables have an entry for every value of their signed index."""


class Activation(StrEnum):
    """What follows the accumulator."""

    NONE = "none"
    RELU = "relu"
    LUT = "lut"


class NeuralLayer(Op, kw_only=True):
    """What all layers with weights share."""

    input_shift: Tensor | None = attr("Left shift of the inputs, one for all or one a channel.", default=None)
    bias: Tensor | None = attr("Mantissa of the bias, one a filter.", default=None)
    bias_shift: Tensor | None = attr("Left shift of that mantissa.", default=None)
    activation: Activation = attr("What follows the accumulator.", default=Activation.NONE)
    max_value: Tensor | None = attr("Mantissa of the ReLU's upper bound.", default=None)
    max_value_shift: Tensor | None = attr("Left shift of that mantissa.", default=None)
    lut_values: Tensor | None = attr("Table of 2^b results, for the lowest b-bit index first.", default=None)
    activation_scales: Tensor | None = attr("Unsigned mantissa in front of the table; none is 1.", default=None)
    activation_shift: Tensor | None = attr("Left shift after that product, negative to the right.", default=None)
    output_scales: Tensor | None = attr("Unsigned mantissa of the output scale; none is 1.", default=None)
    output_shift: Tensor | None = attr("Left shift after that product, negative to the right; none is 0.", default=None)
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)
    post_op: ElementType = attr("Buffer of the scaled product and of the average's sum.", default=PRODUCT)
    to: ElementType | None = attr("Element type of the output; none passes the accumulator on.", default=None)


class ConvLayer(NeuralLayer, kw_only=True):
    """What the 2-D convolutions share."""

    stride: int = attr("Step in both directions.", default=1, minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)
    pool: Pool = attr("Pooling.", default=Pool.NONE)
    pool_size: tuple[int, int] = attr("Max-pooling window.", default=(2, 2), minimum=1)
    pool_stride: tuple[int, int] = attr("Max-pooling step.", default=(2, 2), minimum=1)


class TransposedLayer(NeuralLayer, kw_only=True):
    """What the transposed convolutions share."""

    stride: int = attr("Step in the output, in both directions.", default=2, minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)


def transposed_result(op: TransposedLayer, x: TensorType, weights: Tensor, filters: int) -> tuple[TensorType, ...]:
    """The result type of a transposed convolution."""
    kernel = (weights.type.shape[0] or 0, weights.type.shape[1] or 0)
    rows, columns = transposed_spatial(x, kernel, (op.stride, op.stride), op.padding)
    return (TensorType((x.shape[0], rows, columns, filters), op.to or op.acc),)


def table_index(op: NeuralLayer) -> ElementType:
    """The type of the index of a layer's table."""
    assert op.lut_values is not None
    return si((op.lut_values.type.shape[0] or 2).bit_length() - 1)


def conv_result(op: ConvLayer, x: TensorType, weights: Tensor, filters: int) -> tuple[TensorType, ...]:
    """The result type of a convolution with its pooling."""
    rows, columns = pooled_size(op, x, weights)
    element = op.to or (op.post_op if op.pool is Pool.AVERAGE else op.acc)
    return (TensorType((x.shape[0], rows, columns, filters), element),)


def verify_conv(op: ConvLayer | TransposedLayer, x: TensorType, channels: int, filters: int) -> Iterator[Diagnostic]:
    """The kernel fits the map, and so do the variables."""
    if channels != x.channels:
        yield from fault(op, f"has weights for {channels} input channels, found {x}")
    yield from verify_variables(op, channels, filters)


def verify_variables(op: NeuralLayer, channels: int, filters: int) -> Iterator[Diagnostic]:
    """Every per-channel variable has the size of its channels; variables that depend on others have them."""
    yield from fault(op, per_channel(op.input_shift, channels, "input_shift"))
    for name in PER_FILTER:
        yield from fault(op, per_channel(getattr(op, name), filters, name))
    for name, needed in (("bias_shift", "bias"), ("max_value_shift", "max_value"), ("output_scales", "to")):
        if getattr(op, name) is not None and getattr(op, needed) is None:
            yield from fault(op, f"has {name} but no {needed}")
    if op.max_value is not None and op.activation is not Activation.RELU:
        yield from fault(op, "has max_value but no relu activation")
    if (op.lut_values is not None) is not (op.activation is Activation.LUT):
        yield from fault(op, "needs lut_values for a lut activation, and only for that")
    elif op.lut_values is not None and op.lut_values.type.shape not in TABLE_SHAPES:
        yield from fault(op, f"needs a table of 2^2 to 2^16 values, found {op.lut_values.type}")
    elif op.lut_values is not None and op.lut_values.type.element.bits > op.acc.bits:
        yield from fault(op, f"needs a table whose results fit the accumulator {op.acc}, found {op.lut_values.type}")


class InputData(InputLayer, name="akida2.input_data"):
    """Signed integers from outside, handed to the first layer as a feature map."""


class Quantizer(QuantizerLayer, name="akida2.quantizer", quantizes=True):
    """Float inputs to integers: `saturate(saturate(round_half_even(x · scales)) + zero_points)`."""


class LinearQuantizer(LinearQuantizerLayer, name="akida2.linear_quantizer", quantizes=True):
    """Float inputs to integers, by division: `saturate(round_half_even(float32(x / scales)) + zero_points)`.

    The vendor's layer multiplies by the reciprocal instead, so that ties and near ties may go to the other side.
    """


class InputConv2D(ConvLayer, name="akida2.input_conv2d"):
    """Convolution of an image of 1 or 3 unsigned 8-bit channels.  The kernel is stored as it is."""

    x: Value = operand("Image, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out].")
    padding_value: Tensor | None = attr("Integer at padded positions; none is 0.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return conv_result(self, self.x.type, self.weights, kernel_shape(self.weights, 4, FULL_KERNEL)[3])

    def verify(self) -> Iterator[Diagnostic]:
        _, _, channels, filters = kernel_shape(self.weights, 4, FULL_KERNEL)
        yield from verify_conv(self, self.x.type, channels, filters)
        yield from fault(self, per_channel(self.padding_value, channels, "padding_value"))


class Conv2D(ConvLayer, name="akida2.conv2d"):
    """Convolution.  The kernel is stored with both spatial axes reversed."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Reversed kernel [height, width, in, out].")

    def infer(self) -> tuple[TensorType, ...]:
        return conv_result(self, self.x.type, self.weights, kernel_shape(self.weights, 4, FULL_KERNEL)[3])

    def verify(self) -> Iterator[Diagnostic]:
        _, _, channels, filters = kernel_shape(self.weights, 4, FULL_KERNEL)
        yield from verify_conv(self, self.x.type, channels, filters)


class DepthwiseConv2D(ConvLayer, name="akida2.depthwise_conv2d"):
    """Convolution of each channel with its own kernel, stored with both spatial axes reversed."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Reversed kernel [height, width, channels].")

    def infer(self) -> tuple[TensorType, ...]:
        return conv_result(self, self.x.type, self.weights, kernel_shape(self.weights, 3, DEPTHWISE_KERNEL)[2])

    def verify(self) -> Iterator[Diagnostic]:
        channels = kernel_shape(self.weights, 3, DEPTHWISE_KERNEL)[2]
        yield from verify_conv(self, self.x.type, channels, channels)


class Conv2DTranspose(TransposedLayer, name="akida2.conv2d_transpose"):
    """Transposed convolution.  The kernel is stored as it is."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out].")

    def infer(self) -> tuple[TensorType, ...]:
        return transposed_result(self, self.x.type, self.weights, kernel_shape(self.weights, 4, FULL_KERNEL)[3])

    def verify(self) -> Iterator[Diagnostic]:
        _, _, channels, filters = kernel_shape(self.weights, 4, FULL_KERNEL)
        yield from verify_conv(self, self.x.type, channels, filters)


class DepthwiseConv2DTranspose(TransposedLayer, name="akida2.depthwise_conv2d_transpose"):
    """Transposed convolution of each channel with its own kernel, stored as it is."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, channels].")

    def infer(self) -> tuple[TensorType, ...]:
        return transposed_result(self, self.x.type, self.weights, kernel_shape(self.weights, 3, DEPTHWISE_KERNEL)[2])

    def verify(self) -> Iterator[Diagnostic]:
        channels = kernel_shape(self.weights, 3, DEPTHWISE_KERNEL)[2]
        yield from verify_conv(self, self.x.type, channels, channels)


def temporal_shape(x: TensorType, fifo: TensorType) -> tuple[int, int, int, int]:
    """Height, width, frames (the newest included) and channels; raises ValueError if map and FIFO do not fit."""
    if x.rank != 4 or fifo.rank != 5:
        raise ValueError(f"needs a feature map and a FIFO of feature maps, found {x} and {fifo}")
    height, width, channels = x.per_sample
    if fifo.per_sample[:2] != (height, width) or fifo.per_sample[3] != channels or fifo.element != x.element:
        raise ValueError(f"needs a FIFO of its feature map, found {x} and {fifo}")
    return height, width, fifo.per_sample[2] + 1, channels


class BufferTempConv(NeuralLayer, name="akida2.buffer_temp_conv"):
    """Convolution over time: the frames of the FIFO and the newest one at each position, oldest first."""

    x: Value = operand("The newest feature map, NHWC.")
    fifo: Value = operand("The frames before it, oldest first [batch, height, width, frames, channels].")
    weights: Tensor = constant("Kernel [1, 1, frames · in, out], frames slowest, the newest last.")

    def infer(self) -> tuple[TensorType, ...]:
        height, width, _, _ = temporal_shape(self.x.type, self.fifo.type)
        filters = kernel_shape(self.weights, 4, "[1, 1, frames · in, out]")[3]
        return (TensorType((self.x.type.shape[0], height, width, filters), self.to or self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        _, _, frames, channels = temporal_shape(self.x.type, self.fifo.type)
        kernel = kernel_shape(self.weights, 4, "[1, 1, frames · in, out]")
        if kernel[:3] != (1, 1, frames * channels):
            yield from fault(self, f"needs weights for {frames} frames of {channels} channels, found {list(kernel)}")
        yield from verify_variables(self, channels, kernel[3])


class DepthwiseBufferTempConv(NeuralLayer, name="akida2.depthwise_buffer_temp_conv"):
    """Convolution over time of each channel with its own kernel."""

    x: Value = operand("The newest feature map, NHWC.")
    fifo: Value = operand("The frames before it, oldest first [batch, height, width, frames, channels].")
    weights: Tensor = constant("Kernel [frames, channels], the newest frame last.")

    def infer(self) -> tuple[TensorType, ...]:
        height, width, _, channels = temporal_shape(self.x.type, self.fifo.type)
        return (TensorType((self.x.type.shape[0], height, width, channels), self.to or self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        _, _, frames, channels = temporal_shape(self.x.type, self.fifo.type)
        kernel = kernel_shape(self.weights, 2, "[frames, channels]")
        if kernel != (frames, channels):
            yield from fault(self, f"needs weights for {frames} frames of {channels} channels, found {list(kernel)}")
        yield from verify_variables(self, channels, channels)


class FifoPush(Op, name="akida2.fifo_push"):
    """The FIFO of the next call: the newest frame goes in at the end, the oldest falls out."""

    fifo: Value = operand("Frames, oldest first [batch, height, width, frames, channels].")
    x: Value = operand("The newest feature map, NHWC.")

    def infer(self) -> tuple[TensorType, ...]:
        temporal_shape(self.x.type, self.fifo.type)
        return (self.fifo.type,)


class StatefulRecurrent(NeuralLayer, name="akida2.stateful_recurrent", results=3):
    """A complex linear recurrence over time between two projections; time is the width of the map.

        p    = saturate((x << input_shift) @ in_weights)                 to `acc`
        u    = floor(p · new_state_scales · 2^new_state_shift + 1/2)     product and u saturated to `state_acc`
        s[t] = floor((A · s[t-1] + u[t]) · 2^state_shift + 1/2)          saturated to `state`
        a    = part(s) @ weights                                         every `subsample`-th step

    and then as every layer with weights.  Results: the layer's output, and the real and the imaginary part of the last
    state, which the next call begins with.
    """

    x: Value = operand("Map [batch, 1, time, channels].")
    real: Value = operand("Real part of the state before the first step [batch, states].")
    imaginary: Value = operand("Its imaginary part.")
    in_weights: Tensor = constant("Matrix [in, states] of the projection in (the vendor's in_proj).")
    weights: Tensor = constant("Matrix [states, out] of the projection out (the vendor's out_proj).")
    a_real: Tensor = constant("Real part of A, one a state.")
    a_imaginary: Tensor = constant("Imaginary part of A, one a state.")
    new_state_scales: Tensor | None = attr("Unsigned mantissa of the new inputs' scale; none is 1.", default=None)
    new_state_shift: Tensor | None = attr("Left shift after that product, negative to the right.", default=None)
    state_shift: int = attr("Left shift to the state, negative to the right.", default=0)
    part: int = attr("What is projected out: 0 the real part, 1 the imaginary one.", default=0, minimum=0, maximum=1)
    subsample: int = attr("Steps from one projected out to the next.", default=1, minimum=1)
    state: ElementType = attr("Element type of the state.", default=si(16))
    state_acc: ElementType = attr("Buffer of the recurrence.", default=si(32))

    def infer(self) -> tuple[TensorType, ...]:
        states, units = kernel_shape(self.weights, 2, "[states, out]")
        batch, height, steps, _ = need_rank(self.x, 4).shape
        state = TensorType((batch, states), self.state)
        if height != 1 or (steps or 0) < self.subsample:
            raise ValueError(f"needs a map of height 1 and at least {self.subsample} steps, found {self.x.type}")
        if self.real.type != state or self.imaginary.type != state:
            raise ValueError(f"needs states {state}, found {self.real.type} and {self.imaginary.type}")
        return (TensorType((batch, 1, (steps or 0) // self.subsample, units), self.to or self.acc), state, state)

    def verify(self) -> Iterator[Diagnostic]:
        states, units = kernel_shape(self.weights, 2, "[states, out]")
        channels = self.x.type.channels
        if kernel_shape(self.in_weights, 2, "[in, states]") != (channels, states):
            yield from fault(self, f"needs in_weights [{channels}, {states}], found {self.in_weights.type}")
        for name in ("a_real", "a_imaginary", "new_state_scales", "new_state_shift"):
            yield from fault(self, per_channel(getattr(self, name), states, name))
        yield from verify_variables(self, channels, units)


class PicoPostProcessing(Op, name="akida2.pico_post_processing"):
    """Whether a prediction is far from its target, for each channel; time is the width of the maps.

    p = floor(x · input_scales · 2^input_shift + 1/2)          product saturated to `buffer`, p to `acc`
    y = floor(mean over time of |p - target|) >= threshold     differences and absolute values saturated to `acc`
    """

    x: Value = operand("Prediction, a map [batch, 1, time, channels].")
    target: Value = operand("What it is compared with, of the same shape.")
    threshold: int = attr("The smallest mean that counts as far.")
    input_scales: Tensor | None = attr("Unsigned mantissa of the prediction's scale; none is 1.", default=None)
    input_shift: Tensor | None = attr("Left shift after that product, negative to the right.", default=None)
    buffer: ElementType = attr("Buffer of the product.", default=si(45))
    acc: ElementType = attr("Element type of the differences.", default=si(16))
    to: ElementType = attr("Element type of the result.", default=si(2))

    def infer(self) -> tuple[TensorType, ...]:
        batch, height, _, channels = need_rank(self.x, 4).shape
        if height != 1 or self.target.type.shape != self.x.type.shape:
            raise ValueError(f"needs maps of height 1 and one shape, found {self.x.type} and {self.target.type}")
        return (TensorType((batch, 1, 1, channels), self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        for name in ("input_scales", "input_shift"):
            yield from fault(self, per_channel(getattr(self, name), self.x.type.channels, name))


class Dense1D(NeuralLayer, name="akida2.dense1d"):
    """Matrix product with the whole sample, flattened row-major."""

    x: Value = operand("Any shape; one sample has as many values as `weights` has rows.")
    weights: Tensor = constant("Matrix [in, out].")

    def infer(self) -> tuple[TensorType, ...]:
        _, units = kernel_shape(self.weights, 2, "[in, out]")
        return (TensorType((self.x.type.shape[0], 1, 1, units), self.to or self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        rows, units = kernel_shape(self.weights, 2, "[in, out]")
        size = 1
        for dimension in self.x.type.per_sample:
            size *= dimension
        if size != rows:
            yield from fault(self, f"has weights for {rows} inputs, found {self.x.type}")
        yield from verify_variables(self, rows, units)


class Add(Op, name="akida2.add"):
    """`saturate(floor(saturate((a << a_shift) + (b << b_shift)) · 2^output_shift + 1/2))`."""

    a: Value = operand("Integers.")
    b: Value = operand("Integers of the same shape.")
    a_shift: Tensor | None = attr("Left shift of `a`; none is 0.", default=None)
    b_shift: Tensor | None = attr("Left shift of `b`; none is 0.", default=None)
    output_shift: Tensor | None = attr("Left shift of the sum, negative to the right; none is 0.", default=None)
    acc: ElementType = attr("Accumulator.", default=si(32))
    to: ElementType | None = attr("Element type of the output; none passes the sum on.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        if self.a.type.shape != self.b.type.shape:
            raise ValueError(f"needs operands of one shape, found {self.a.type} and {self.b.type}")
        return (self.a.type.with_element(self.to or self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        for name in ("a_shift", "b_shift", "output_shift"):
            yield from fault(self, per_channel(getattr(self, name), self.a.type.channels, name))


class Concatenate(Op, name="akida2.concatenate"):
    """Join along the last dimension."""

    parts: tuple[Value, ...] = operands("What to join, in order.")

    def infer(self) -> tuple[TensorType, ...]:
        if not self.parts:
            raise ValueError("needs at least one operand")
        return (concatenated(self.parts, self.parts[0].type.rank - 1),)


class Dequantizer(DequantizerLayer, name="akida2.dequantizer"):
    """Integer to float32: `float32(x) · scales`."""
