"""`qnn`: integer-exact, target-neutral ops; the arithmetic of QuantizeML with every constant computed.

A value is a tensor of integers.  Its real meaning is `integer / 2^frac_bits * scale`; the fractional bits and
scales that a frontend knows are annotations (`frac_bits`, `scale`), because no integer depends on them.
Every op saturates to the range of its result type.  Layout is NHWC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.builtin import Return, missing_return
from cnn2snn_ir.dialects.geometry import Padding, per_channel, spatial, transposed_spatial
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.ir import (
    F32,
    ElementType,
    Graph,
    Op,
    Tensor,
    TensorType,
    Value,
    attr,
    constant,
    operand,
    operands,
    region,
    si,
)

ACCUMULATOR = si(28)
"""Main accumulator of QuantizeML's convolutions and dense layers: min(28, buffer_bitwidth) bits, signed."""

PRODUCT = si(33)
"""Accumulator times mantissa: QuantizeML uses buffer_bitwidth = 32 as *value* bits, so 33 with the sign."""


def fault(op: Op, sentence: str) -> Iterator[Diagnostic]:
    """A diagnostic for a non-empty sentence."""
    if sentence:
        yield Diagnostic("IR-OP", sentence, where=op.op_name)


def fit_channels(op: Op, x: Value, *names: str) -> Iterator[Diagnostic]:
    """A fault for each constant that is neither one for all channels of `x` nor one for each."""
    for name in names:
        yield from fault(op, per_channel(getattr(op, name), x.type.channels, name))


def need_rank(x: Value, rank: int) -> TensorType:
    """The type of `x`; raises ValueError if it does not have `rank` dimensions."""
    if x.type.rank != rank:
        raise ValueError(f"needs {rank} dimensions, found {x.type}")
    return x.type


class Quantize(Op, name="qnn.quantize", quantizes=True):
    """Float to integer: `saturate(saturate(round_half_even(x · 2^frac_bits)) + zero_point)`."""

    x: Value = operand("Float input.")
    frac_bits: Tensor = constant("Fractional bits, one for all or one a channel.")
    to: ElementType = attr("Element type of the result.")
    zero_point: Tensor | None = attr("Added to every integer, one for all or one a channel.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "frac_bits", "zero_point")


class QuantizeLinear(Op, name="qnn.quantize_linear", quantizes=True):
    """Float to integer, as ONNX has it: `saturate(round_half_even(float32(x / scale)) + zero_point)`."""

    x: Value = operand("Float input.")
    scale: Tensor = constant("Positive float32, the real distance of two integers; one for all or one a channel.")
    to: ElementType = attr("Element type of the result.")
    zero_point: Tensor | None = attr("The integer of the real 0, one for all or one a channel.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "scale", "zero_point")
        yield from positive_reals(self, "scale")


def positive_reals(op: Op, name: str) -> Iterator[Diagnostic]:
    """A fault unless a constant holds positive, finite float32 numbers."""
    tensor: Tensor = getattr(op, name)
    if tensor.type.element != F32:
        yield from fault(op, f"needs a float32 {name}, found {tensor.type}")
    elif not tensor.is_opaque and not ((tensor.array > 0) & (tensor.array < float("inf"))).all():
        yield from fault(op, f"needs a positive, finite {name}")


class Dequantize(Op, name="qnn.dequantize"):
    """Integer to float32: `float32(float32(x / 2^frac_bits) · scale)`."""

    x: Value = operand("Integers.")
    frac_bits: Tensor = constant("Fractional bits, one for all or one a channel.")
    scale: Tensor | None = attr("Float scale, one for all or one a channel.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(F32),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "frac_bits", "scale")


class Shift(Op, name="qnn.shift"):
    """Times a power of two: `saturate(floor(x · 2^shift + 1/2))`.  A left shift is exact."""

    x: Value = operand("Integers.")
    shift: Tensor = constant("Left shift, negative to the right; one for all or one a channel.")
    to: ElementType = attr("Element type of the result.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "shift")


class Scale(Op, name="qnn.scale"):
    """Times an integer mantissa: `saturate(x · mantissa)`."""

    x: Value = operand("Integers.")
    mantissa: Tensor = constant("Unsigned mantissa, one for all or one a channel.")
    to: ElementType = attr("Element type of the product.", default=PRODUCT)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "mantissa")


class Requantize(Op, name="qnn.requantize"):
    """Scale and shift in one: `saturate(floor(saturate_buffer(x · mantissa) · 2^shift + 1/2))`."""

    x: Value = operand("Integers.")
    mantissa: Tensor = constant("Unsigned mantissa, one for all or one a channel.")
    shift: Tensor = constant("Left shift, negative to the right; one for all or one a channel.")
    to: ElementType = attr("Element type of the result.")
    buffer: ElementType = attr("Element type of the product.", default=PRODUCT)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "mantissa", "shift")


class Rescale(Op, name="qnn.rescale"):
    """Integers on the grid of others: `clip(round((x - zero) / step) + offset, low, high)`, in float64.

    What a `nn.fake_quantize` behind a layer does to its sums.  No target computes it: it is what they approximate,
    and say how well.
    """

    x: Value = operand("Integers.")
    zero: Tensor = constant("Where the real 0 is, float64; one for all or one a channel.")
    step: Tensor = constant("Distance of two results, float64 above 0; one for all or one a channel.")
    to: ElementType = attr("Element type of the result.")
    offset: Tensor | None = attr("The result at the real 0; one for all or one a channel, none is 0.", default=None)
    low: int | None = attr("The smallest result; none is the type's.", default=None)
    high: int | None = attr("The largest result; none is the type's.", default=None)
    rounding: Rounding = attr("How ties and rests are rounded.", default=Rounding.HALF_EVEN)

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest result."""
        return self.to.lo if self.low is None else self.low, self.to.hi if self.high is None else self.high

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "zero", "step", "offset")
        low, high = self.limits
        legal = self.to.lo <= low <= high <= self.to.hi
        yield from fault(self, "" if legal else f"needs limits within {self.to}, found {low} and {high}")
        if not self.step.is_opaque:
            steps = self.step.array
            positive = self.step.type.element.is_float and ((steps > 0) & (steps < math.inf)).all()
            yield from fault(self, "" if positive else "needs finite steps above 0")


class Threshold(Op, name="qnn.threshold"):
    """A monotone step function per channel: `base + number of thresholds t with x >= t`."""

    x: Value = operand("Integers.")
    thresholds: Tensor = constant("Thresholds [channels, levels], not decreasing along a row.")
    to: ElementType = attr("Element type of the result.")
    base: int = attr("The result below the first threshold.", default=0)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        shape = self.thresholds.type.shape
        if len(shape) != 2 or shape[0] not in (1, self.x.type.channels):
            yield from fault(self, f"thresholds must be [{self.x.type.channels}, levels], found {list(shape)}")


class Fire(Op, name="qnn.fire"):
    """The activation of an Akida 1 neuron: `clip(ceil((x - threshold) / (act_step · 2^(4 - b))), 0, 2^b - 1)`, exactly.

    `b` is the number of bits of the result; `act_step` is stored as if there were always 4.
    """

    x: Value = operand("Potentials.")
    threshold: Tensor = constant("Integers; one for all or one a channel.")
    act_step: Tensor = constant("Positive float32; one for all or one a channel.")
    to: ElementType = attr("Element type of the result, unsigned, of at most 4 bits.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type.with_element(self.to),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from verify_firing(self, self.threshold, self.act_step, self.to, self.x.type.channels)


def verify_firing(
    op: Op, threshold: Tensor | None, act_step: Tensor | None, to: ElementType, channels: int
) -> Iterator[Diagnostic]:
    """The registers of neurons have the size of their channels, and give levels that a type holds."""
    yield from fault(op, per_channel(threshold, channels, "threshold"))
    yield from fault(op, per_channel(act_step, channels, "act_step"))
    if to.is_float or to.lo != 0 or to.bits > 4:
        yield from fault(op, f"needs an unsigned result of at most 4 bits, found {to}")
    if act_step is not None and not act_step.is_opaque:
        steps = act_step.array
        if not act_step.type.element.is_float or not ((steps > 0) & (steps < float("inf"))).all():
            yield from fault(op, "needs positive, finite steps")


class Conv2D(Op, name="qnn.conv2d"):
    """2-D convolution: `saturate(sum over window and input channels of x · weights)`."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out].")
    strides: tuple[int, int] = attr("Vertical and horizontal step.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)
    dilation: tuple[int, int] = attr("Vertical and horizontal spacing of the kernel.", default=(1, 1), minimum=1)
    pad_value: Tensor | None = attr(
        "Integer at padded positions, one for all or one a channel; none is 0.", default=None
    )
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 4:
            raise ValueError(f"needs weights [height, width, in, out], found {self.weights.type}")
        kh, kw, channels, filters = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} input channels, found {self.x.type}")
        rows, columns = spatial(self.x.type, (kh, kw), self.strides, self.padding, self.dilation)
        return (TensorType((self.x.type.shape[0], rows, columns, filters), self.acc),)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "pad_value")


class DepthwiseConv2D(Op, name="qnn.depthwise_conv2d"):
    """2-D convolution of each channel with its own kernel."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, channels].")
    strides: tuple[int, int] = attr("Vertical and horizontal step.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)
    dilation: tuple[int, int] = attr("Vertical and horizontal spacing of the kernel.", default=(1, 1), minimum=1)
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 3:
            raise ValueError(f"needs weights [height, width, channels], found {self.weights.type}")
        kh, kw, channels = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} channels, found {self.x.type}")
        rows, columns = spatial(self.x.type, (kh, kw), self.strides, self.padding, self.dilation)
        return (TensorType((self.x.type.shape[0], rows, columns, channels), self.acc),)


class Conv2DTranspose(Op, name="qnn.conv2d_transpose"):
    """Transposed convolution: every input position adds its kernel, scaled, to the output.

    `same` crops the sum to the input's size times the strides, `valid` keeps all of it.
    """

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, in, out].")
    strides: tuple[int, int] = attr("Vertical and horizontal step in the output.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 4:
            raise ValueError(f"needs weights [height, width, in, out], found {self.weights.type}")
        kh, kw, channels, filters = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} input channels, found {self.x.type}")
        rows, columns = transposed_spatial(self.x.type, (kh, kw), self.strides, self.padding)
        return (TensorType((self.x.type.shape[0], rows, columns, filters), self.acc),)


class DepthwiseConv2DTranspose(Op, name="qnn.depthwise_conv2d_transpose"):
    """Transposed convolution of each channel with its own kernel."""

    x: Value = operand("Feature map, NHWC.")
    weights: Tensor = constant("Kernel [height, width, channels].")
    strides: tuple[int, int] = attr("Vertical and horizontal step in the output.", default=(1, 1), minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.SAME)
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 3:
            raise ValueError(f"needs weights [height, width, channels], found {self.weights.type}")
        kh, kw, channels = (d or 0 for d in self.weights.type.shape)
        if self.x.type.channels != channels:
            raise ValueError(f"has weights for {channels} channels, found {self.x.type}")
        rows, columns = transposed_spatial(self.x.type, (kh, kw), self.strides, self.padding)
        return (TensorType((self.x.type.shape[0], rows, columns, channels), self.acc),)


class Dense(Op, name="qnn.dense"):
    """Matrix product over the last dimension: `saturate(x @ weights)`."""

    x: Value = operand("Integers; the last dimension is summed over.")
    weights: Tensor = constant("Matrix [in, out].")
    acc: ElementType = attr("Accumulator.", default=ACCUMULATOR)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 2:
            raise ValueError(f"needs weights [in, out], found {self.weights.type}")
        rows, columns = (d or 0 for d in self.weights.type.shape)
        if self.x.type.rank < 2 or self.x.type.channels != rows:
            raise ValueError(f"has weights for {rows} inputs, found {self.x.type}")
        return (TensorType((*self.x.type.shape[:-1], columns), self.acc),)


class BiasAdd(Op, name="qnn.bias_add"):
    """Add a constant per channel: `saturate(x + (bias << shift))`."""

    x: Value = operand("Integers.")
    bias: Tensor = constant("Mantissa of the bias, one a channel.")
    shift: Tensor = attr("Left shift of the mantissa, one for all or one a channel.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "bias", "shift")


class ReLU(Op, name="qnn.relu"):
    """Rectifier, bounded if `max` is given: `min(max(x, 0), max << shift)`."""

    x: Value = operand("Integers.")
    max: Tensor | None = attr("Mantissa of the upper bound, one for all or one a channel.", default=None)
    shift: Tensor | None = attr("Left shift of that mantissa; none is 0.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)

    def verify(self) -> Iterator[Diagnostic]:
        yield from fit_channels(self, self.x, "max", "shift")
        if self.max is None and self.shift is not None:
            yield from fault(self, "shift without max")


class Lookup(Op, name="qnn.lookup"):
    """A table of one entry for every value of a signed type: `table[x - lowest]`."""

    x: Value = operand("Signed integers.")
    table: Tensor = constant("Results for the lowest value, the one above it, …, the highest.")

    def infer(self) -> tuple[TensorType, ...]:
        element = self.x.type.element
        if element.is_float or element.bits > 16 or self.table.type.shape != (1 << element.bits,):
            raise ValueError(f"needs a table with an entry for each {element}, found {self.table.type}")
        return (self.x.type.with_element(self.table.type.element),)


class MaxPool(Op, name="qnn.max_pool"):
    """Maximum over a window; padded positions never win."""

    x: Value = operand("Feature map, NHWC.")
    size: tuple[int, int] = attr("Window height and width.", minimum=1)
    strides: tuple[int, int] = attr("Vertical and horizontal step.", minimum=1)
    padding: Padding = attr("Border rule.", default=Padding.VALID)

    def infer(self) -> tuple[TensorType, ...]:
        rows, columns = spatial(self.x.type, self.size, self.strides, self.padding)
        batch, _, _, channels = self.x.type.shape
        return (TensorType((batch, rows, columns, channels), self.x.type.element),)


class SumPool(Op, name="qnn.sum_pool"):
    """Sum over height and width.  An average is this sum with its 1/(H·W) in the scale that follows."""

    x: Value = operand("Feature map, NHWC.")
    keepdims: bool = attr("Keep height and width as dimensions of 1.", default=False)
    acc: ElementType = attr("Accumulator.", default=PRODUCT)

    def infer(self) -> tuple[TensorType, ...]:
        batch, _, _, channels = need_rank(self.x, 4).shape
        return (TensorType((batch, 1, 1, channels) if self.keepdims else (batch, channels), self.acc),)


class Add(Op, name="qnn.add"):
    """Elementwise sum: `saturate(a + b)`."""

    a: Value = operand("Integers.")
    b: Value = operand("Integers of the same shape.")
    acc: ElementType = attr("Element type of the sum.", default=si(32))

    def infer(self) -> tuple[TensorType, ...]:
        if self.a.type.shape != self.b.type.shape:
            raise ValueError(f"needs operands of one shape, found {self.a.type} and {self.b.type}")
        return (self.a.type.with_element(self.acc),)


def concatenated(parts: tuple[Value, ...], axis: int) -> TensorType:
    """The type of a concatenation; raises ValueError if the parts do not fit."""
    if not parts:
        raise ValueError("needs at least one operand")
    first = parts[0].type
    if not 0 < axis < first.rank:
        raise ValueError(f"needs an axis from 1 to {first.rank - 1}, found {axis}")
    for part in parts[1:]:
        if part.type.rank != first.rank or any(
            a != b for i, (a, b) in enumerate(zip(part.type.shape, first.shape, strict=True)) if i != axis
        ):
            raise ValueError(f"needs parts that differ in dimension {axis} only, found {first} and {part.type}")
    size = sum(part.type.shape[axis] or 0 for part in parts)
    widest = max((p.type.element for p in parts), key=lambda e: (e.hi, -e.lo))
    lowest = min(p.type.element.lo for p in parts)
    element = widest if widest.lo <= lowest else si(max(widest.hi.bit_length(), (-lowest - 1).bit_length()) + 1)
    return TensorType((*first.shape[:axis], size, *first.shape[axis + 1 :]), element)


class Concat(Op, name="qnn.concat"):
    """Join along one dimension; the narrowest type that holds all parts."""

    parts: tuple[Value, ...] = operands("What to join, in order.")
    axis: int = attr("The dimension; 0 is the batch.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        return (concatenated(self.parts, self.axis),)


def reshaped(x: TensorType, shape: tuple[int, ...]) -> TensorType:
    """`x` with samples of another shape; raises ValueError if the sizes differ."""
    if math.prod(shape) != math.prod(x.per_sample):
        raise ValueError(f"cannot make {list(shape)} of {x}")
    return TensorType((x.shape[0], *shape), x.element)


class Reshape(Op, name="qnn.reshape"):
    """The same values in another shape, row-major; the batch stays first."""

    x: Value = operand("Any tensor.")
    shape: tuple[int, ...] = attr("Shape of one sample.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        return (reshaped(self.x.type, self.shape),)


def transposed(x: TensorType, order: tuple[int, ...]) -> TensorType:
    """`x` with its dimensions in another order; raises ValueError if that is not one, or moves the batch."""
    if sorted(order) != list(range(x.rank)) or order[0] != 0:
        raise ValueError(f"needs an order of {x.rank} dimensions that begins with 0")
    return TensorType(tuple(x.shape[d] for d in order), x.element)


class Transpose(Op, name="qnn.transpose"):
    """The same values with the dimensions in another order; the batch stays first."""

    x: Value = operand("Any tensor.")
    order: tuple[int, ...] = attr("For every dimension of the result, the operand's; 0 is the batch.", minimum=0)

    def infer(self) -> tuple[TensorType, ...]:
        return (transposed(self.x.type, self.order),)


class Take(Op, name="qnn.take"):
    """One position of a dimension, which disappears."""

    x: Value = operand("Any tensor.")
    index: int = attr("The position.", minimum=0)
    axis: int = attr("The dimension; 0 is the batch.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        shape = self.x.type.shape
        if self.axis >= len(shape) or self.index >= (shape[self.axis] or 0):
            raise ValueError(f"cannot take position {self.index} of dimension {self.axis} of {self.x.type}")
        return (TensorType((*shape[: self.axis], *shape[self.axis + 1 :]), self.x.type.element),)


class Slice(Op, name="qnn.slice"):
    """Every `step`-th position of one dimension, from `start` on."""

    x: Value = operand("Any tensor.")
    axis: int = attr("The dimension; 0 is the batch.", minimum=1)
    start: int = attr("The first position taken.", default=0, minimum=0)
    step: int = attr("Positions from one taken to the next.", default=1, minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        shape = self.x.type.shape
        size = shape[self.axis] or 0 if self.axis < len(shape) else 0
        if self.start >= size:
            raise ValueError(f"nothing of dimension {self.axis} of {self.x.type} lies behind position {self.start}")
        taken = -(-(size - self.start) // self.step)
        return (TensorType((*shape[: self.axis], taken, *shape[self.axis + 1 :]), self.x.type.element),)


class Recurrence(Op, name="qnn.recurrence", results=3):
    """A complex linear recurrence over time, `s[t] = round(A · s[t-1] + x[t])`, one state a channel.

    Each product, difference and sum saturates to `acc`; the new state is shifted with rounding and saturated to `to`.
    Results: the states of all steps, real and imaginary parts on a new last dimension; the last real part; the last
    imaginary part.
    """

    x: Value = operand("Inputs [batch, time, channels], on the accumulator's grid.")
    real: Value = operand("Real part of the state before the first step [batch, channels].")
    imaginary: Value = operand("Its imaginary part.")
    a_real: Tensor = constant("Real part of A, one a channel.")
    a_imaginary: Tensor = constant("Imaginary part of A, one a channel.")
    shift: int = attr("Left shift from the accumulator to the state, negative to the right.")
    to: ElementType = attr("Element type of the state.", default=si(16))
    acc: ElementType = attr("Accumulator.", default=si(32))

    def infer(self) -> tuple[TensorType, ...]:
        batch, time, channels = need_rank(self.x, 3).shape
        state = TensorType((batch, channels), self.to)
        if self.real.type != state or self.imaginary.type != state:
            raise ValueError(f"needs states {state}, found {self.real.type} and {self.imaginary.type}")
        return (TensorType((batch, time, channels, 2), self.to), state, state)

    def verify(self) -> Iterator[Diagnostic]:
        channels = self.x.type.channels
        yield from fault(self, per_channel(self.a_real, channels, "a_real"))
        yield from fault(self, per_channel(self.a_imaginary, channels, "a_imaginary"))


class Deviation(Op, name="qnn.deviation"):
    """Whether a prediction is far from its target: `floor(mean over time of |x - target|) >= threshold`, as 0 or 1.

    The difference and its absolute value saturate to `acc`.
    """

    x: Value = operand("Prediction [batch, time, channels].")
    target: Value = operand("What it is compared with, of the same shape.")
    threshold: int = attr("The smallest mean that counts as far.")
    to: ElementType = attr("Element type of the result.", default=si(2))
    acc: ElementType = attr("Element type of the differences.", default=si(16))

    def infer(self) -> tuple[TensorType, ...]:
        batch, _, channels = need_rank(self.x, 3).shape
        if self.target.type.shape != self.x.type.shape:
            raise ValueError(f"needs a target of one shape, found {self.x.type} and {self.target.type}")
        return (TensorType((batch, channels), self.to),)


class BlockKind(StrEnum):
    """The hardware layer that a block becomes."""

    INPUT_CONV2D = "input_conv2d"
    CONV2D = "conv2d"
    DEPTHWISE_CONV2D = "depthwise_conv2d"
    CONV2D_TRANSPOSE = "conv2d_transpose"
    DEPTHWISE_CONV2D_TRANSPOSE = "depthwise_conv2d_transpose"
    BUFFER_TEMP_CONV = "buffer_temp_conv"
    DEPTHWISE_BUFFER_TEMP_CONV = "depthwise_buffer_temp_conv"
    FIFO_PUSH = "fifo_push"
    STATEFUL_RECURRENT = "stateful_recurrent"
    PICO_POST_PROCESSING = "pico_post_processing"
    DENSE1D = "dense1d"
    INPUT_CONVOLUTIONAL = "input_convolutional"
    CONVOLUTIONAL = "convolutional"
    SEPARABLE_CONVOLUTIONAL = "separable_convolutional"
    FULLY_CONNECTED = "fully_connected"
    ADD = "add"
    CONCATENATE = "concatenate"
    QUANTIZER = "quantizer"
    DEQUANTIZER = "dequantizer"


class Block(Op, name="qnn.block", results=None):
    """Ops that one hardware layer computes together; uses values from around it.

    It returns the layer's output, and behind that what a recurrence hands to its next call.
    """

    kind: BlockKind = attr("The hardware layer.")
    layer: str = attr("Name of the block's main source layer.")
    body: Graph = region("The ops, ending in `builtin.return`.")

    def infer(self) -> tuple[TensorType, ...]:
        last = self.body.last
        if not isinstance(last, Return) or not last.operands:
            raise ValueError("needs a body that returns something")
        return tuple(value.type for value in last.operands)

    def verify(self) -> Iterator[Diagnostic]:
        yield from missing_return(self, self.body)
