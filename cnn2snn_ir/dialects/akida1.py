"""`akida1`: the fused hardware layers of Akida 1, with the variables that the chip holds.

Integer semantics of a layer (as the vendor's converter uses the chip, restated; research: behaviour of cnn2snn 2.19.3):

    p = op(x, weights)                                                       saturated to `acc`
    p = max over the pooling window             pool = max
    p = sum over height and width               pool = average, saturated to `acc`
    y = p - threshold                           without `to`: the potential itself, saturated to `acc`
    y = clip(ceil((p - threshold) / (act_step · 2^(4 - b))), 0, 2^b - 1)     `to`, of b bits

The levels are exact: `act_step` is a float32, an integer times a power of two.  It is stored as if activations always
had 4 bits.  Every value between layers is a map of rank 4, NHWC; vectors have height and width 1.  Variables that all
neurons share have no dimension.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.geometry import Padding, per_channel
from cnn2snn_ir.dialects.hardware import (
    DEPTHWISE_KERNEL,
    FULL_KERNEL,
    DequantizerLayer,
    InputLayer,
    Pool,
    QuantizerLayer,
    kernel_shape,
    pooled_size,
)
from cnn2snn_ir.dialects.qnn import fault, verify_firing
from cnn2snn_ir.ir import ElementType, Op, Tensor, TensorType, Value, attr, constant, operand, si

POTENTIAL = si(32)
"""What a potential is computed in."""


class NeuralLayer(Op, kw_only=True):
    """What all layers with weights share."""

    threshold: Tensor | None = attr("What a potential must exceed to fire; one for all or one a neuron.", default=None)
    act_step: Tensor | None = attr("Potential from one of 16 levels to the next, float32.", default=None)
    acc: ElementType = attr("Potential.", default=POTENTIAL)
    to: ElementType | None = attr("Element type of the levels; none passes the potential on.", default=None)


class ConvLayer(NeuralLayer, kw_only=True):
    """What the convolutions share."""

    stride: int = attr("Step in both directions.", default=1, minimum=1)
    padding: Padding = attr("Border rule, of the pooling too.", default=Padding.SAME)
    pool: Pool = attr("Pooling.", default=Pool.NONE)
    pool_size: tuple[int, int] = attr("Max-pooling window.", default=(2, 2), minimum=1)
    pool_stride: tuple[int, int] = attr("Max-pooling step.", default=(2, 2), minimum=1)


def conv_result(op: ConvLayer, x: TensorType, weights: Tensor, filters: int) -> tuple[TensorType, ...]:
    """The result type of a convolution with its pooling."""
    rows, columns = pooled_size(op, x, weights)
    return (TensorType((x.shape[0], rows, columns, filters), op.to or op.acc),)


def verify_neurons(op: NeuralLayer, x: TensorType, channels: int, filters: int) -> Iterator[Diagnostic]:
    """The weights fit the map, and the variables the neurons."""
    if channels != x.channels:
        yield from fault(op, f"has weights for {channels} input channels, found {x}")
    if (op.act_step is None) is not (op.to is None):
        yield from fault(op, "has either act_step and to, or neither")
    if op.to is not None:
        yield from verify_firing(op, op.threshold, op.act_step, op.to, filters)
    else:
        yield from fault(op, per_channel(op.threshold, filters, "threshold"))


class InputData(InputLayer, name="akida1.input_data"):
    """Integers from outside, handed to the first layer as a feature map."""


class Quantizer(QuantizerLayer, name="akida1.quantizer", quantizes=True):
    """Float inputs to integers: `saturate(saturate(round_half_even(x · scales)) + zero_points)`."""


class InputConvolutional(ConvLayer, name="akida1.input_convolutional"):
    """Convolution of an image of 1 or 3 unsigned 8-bit channels.  The kernel is stored as it is."""

    x: Value = operand("Image, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out].")
    padding_value: int = attr("Integer at padded positions.", default=0)

    def infer(self) -> tuple[TensorType, ...]:
        return conv_result(self, self.x.type, self.weights, kernel_shape(self.weights, 4, FULL_KERNEL)[3])

    def verify(self) -> Iterator[Diagnostic]:
        _, _, channels, filters = kernel_shape(self.weights, 4, FULL_KERNEL)
        yield from verify_neurons(self, self.x.type, channels, filters)


class Convolutional(ConvLayer, name="akida1.convolutional"):
    """Convolution.  The kernel is stored with both spatial axes reversed."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Reversed kernel [height, width, in, out].")

    def infer(self) -> tuple[TensorType, ...]:
        return conv_result(self, self.x.type, self.weights, kernel_shape(self.weights, 4, FULL_KERNEL)[3])

    def verify(self) -> Iterator[Diagnostic]:
        _, _, channels, filters = kernel_shape(self.weights, 4, FULL_KERNEL)
        yield from verify_neurons(self, self.x.type, channels, filters)


class SeparableConvolutional(ConvLayer, name="akida1.separable_convolutional"):
    """Convolution of each channel with its own kernel, then of all channels position by position."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Reversed kernel [height, width, channels].")
    weights_pw: Tensor = constant("Pointwise kernel [1, 1, channels, out].")

    def infer(self) -> tuple[TensorType, ...]:
        filters = kernel_shape(self.weights_pw, 4, FULL_KERNEL)[3]
        return conv_result(self, self.x.type, self.weights, filters)

    def verify(self) -> Iterator[Diagnostic]:
        channels = kernel_shape(self.weights, 3, DEPTHWISE_KERNEL)[2]
        rows, columns, between, filters = kernel_shape(self.weights_pw, 4, FULL_KERNEL)
        if (rows, columns, between) != (1, 1, channels):
            yield from fault(self, f"needs a pointwise kernel for {channels} channels, found {self.weights_pw.type}")
        yield from verify_neurons(self, self.x.type, channels, filters)


class FullyConnected(NeuralLayer, name="akida1.fully_connected"):
    """Matrix product with the whole sample.  Its rows are ordered by channel, then row, then column of the map."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Matrix [1, 1, channels · height · width, out].")

    def infer(self) -> tuple[TensorType, ...]:
        units = kernel_shape(self.weights, 4, "[1, 1, in, out]")[3]
        return (TensorType((self.x.type.shape[0], 1, 1, units), self.to or self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        rows, columns, inputs, units = kernel_shape(self.weights, 4, "[1, 1, in, out]")
        size = 1
        for dimension in self.x.type.per_sample:
            size *= dimension
        if (rows, columns, inputs) != (1, 1, size):
            yield from fault(self, f"needs weights [1, 1, {size}, out], found {self.weights.type}")
        yield from verify_neurons(self, self.x.type, self.x.type.channels, units)


class Dequantizer(DequantizerLayer, name="akida1.dequantizer"):
    """Potential to float32: `float32(x) · scales`."""
