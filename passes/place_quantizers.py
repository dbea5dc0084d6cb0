"""Values between hardware layers get grids of integers.

    %conv = nn.conv2d %x, …
    %relu = nn.relu %conv meta {observed_min = …, observed_max = …}
    %next = nn.conv2d %relu, …
▶
    %conv = nn.conv2d %x, …
    %1 = nn.relu %conv
    %relu = nn.fake_quantize %1, #w<relu/scale, f32[], 0.031> {to = si8, rounding = half_ceil}
    %next = nn.conv2d %relu, …

A quantizer stands where a layer of the chip ends: behind a convolution or dense layer with its pooling and its
activation, and behind an addition.  What only the host reads stays real.  Steps come from the observed ranges; values
that an addition or a concatenation joins get steps that fit (`quantization/grids.py`).  An activation by table gets an
index of 11 bits in front of it, and a layer of its own if none is there.  They round as the chip does, half up.

Preconditions: `prepare-nn`, `calibrate`.  Contract: approximate, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.ir import F32, ElementType, Op, Tensor, Value, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import LOSSY, RATE, Pass, PassContext, option
from cnn2snn_ir.passes.quantization.grids import joint_steps
from cnn2snn_ir.passes.quantization.groups import Weighted, feeds_layer, is_half_separable, layer_end
from cnn2snn_ir.passes.quantization.observed import observed
from cnn2snn_ir.passes.quantization.schemes import INDEX, SCHEMES, Scheme, scheme_named

ANY = 1.0
"""The step of a value that is always 0."""


@dataclass
class Placer:
    """The quantizers placed so far, and the step that each would like to have."""

    scheme: Scheme
    rewriter: Rewriter = field(default_factory=Rewriter)
    ideal: dict[Value, float] = field(default_factory=dict)

    def walk(self, module: builtin.Module, power_of_two: bool) -> None:
        """Place all quantizers, then decide on their steps."""
        for op in list(module.body):
            if isinstance(op, builtin.Input) and op.element.is_float and feeds_layer(op.result):
                self.quantize_input(op)
            elif isinstance(op, Weighted) and not (self.scheme.neurons and is_half_separable(op)):
                self.end_layer(op)
            elif isinstance(op, nn.Add) and feeds_layer(op.result):
                self.quantize(op.result, range_of=rectified(op.result))
            elif isinstance(op, nn.GlobalAveragePool) and lone(op) and feeds_layer(op.result):
                self.quantize(op.result)
            elif isinstance(op, nn.Activation) and lone(op) and feeds_layer(op.result):
                self.give_layer(op)
        steps = joint_steps(module, self.ideal, power_of_two)
        for value, step in steps.items():
            quantizer = value.owner
            assert isinstance(quantizer, nn.FakeQuantize)
            quantizer.scale = Tensor.of(np.float32(step), F32, quantizer.scale.name)

    def end_layer(self, main: Op) -> None:
        """The quantizers of a layer with weights."""
        end = layer_end(main, self.scheme.neurons)
        if not feeds_layer(end.value):
            return
        if end.table is not None:
            self.quantize(end.table.x, to=INDEX)
        self.quantize(end.value)

    def give_layer(self, op: nn.Activation) -> None:
        """A layer that multiplies by 1, for a table behind an addition."""
        channels = op.x.type.channels
        ones = Tensor.of(np.ones((1, 1, channels)), F32, f"{op.result.name or 'table'}/identity")
        product = nn.DepthwiseConv2D(op.x, ones)
        source = op.x.owner
        product.annotations.update((source.x.owner if isinstance(source, nn.FakeQuantize) else source).annotations)
        op.set_operand(0, self.rewriter.insert_before(op, product).results[0])
        self.end_layer(product)

    def quantize_input(self, op: builtin.Input) -> None:
        """A float input: unsigned with a zero point for an image, else signed."""
        low, high = observed(op.result)
        image = op.shape[-1] in (1, 3) and len(op.shape) == 3 and reads_image(op.result)
        if not image:
            self.quantize(op.result, to=si(8))
            return
        least, greatest = min(low.min(), 0.0), max(high.max(), 0.0)
        step = (greatest - least) / 255 or ANY
        zero = Tensor.of(np.asarray(round(-least / step)), ui(8), "input/zero_point") if least < 0 else None
        self.insert(op.result, step, ui(8), zero, Rounding.HALF_EVEN)

    def quantize(self, value: Value, to: ElementType | None = None, range_of: Value | None = None) -> None:
        """One quantizer, with a step by the observed range."""
        low, high = observed(range_of or value)
        element = to or self.scheme.activation(bool(low.min() >= 0))
        step = max(high.max() / element.hi, (-low.min() / -element.lo) if element.lo else 0.0) or ANY
        rounding = Rounding.HALF_EVEN if isinstance(value.owner, builtin.Input) else Rounding.HALF_CEIL
        quantized = self.insert(value, step, element, None, rounding)
        self.ideal[quantized] = step

    def insert(self, value: Value, step: float, to: ElementType, zero: Tensor | None, rounding: Rounding) -> Value:
        """A quantizer that all readers of a value read instead; it takes the value's name."""
        op, name = value.owner, value.name
        scale = Tensor.of(np.float32(step), F32, f"{name or 'value'}/scale")
        quantizer = nn.FakeQuantize(value, scale, to, zero, rounding=rounding, loc=op.loc)
        if RATE in op.annotations:
            quantizer.annotations[RATE] = op.annotations[RATE]
        anchor = op.next
        assert anchor is not None
        self.rewriter.insert_before(anchor, quantizer)
        value.replace_uses_where(quantizer.result, lambda use: use.op is not quantizer)
        if not isinstance(op, builtin.Input):
            value.name = None
            quantizer.result.name = name
        return quantizer.result


def lone(op: Op) -> bool:
    """True for what no layer has taken: its operand is quantized, and not as the index of a table."""
    before = op.operands[0].owner
    return isinstance(before, nn.FakeQuantize) and before.to != INDEX


def rectified(value: Value) -> Value | None:
    """What a rectifier makes of a value, if nothing else reads it: what is below 0 needs no integers then."""
    reader = value.users[0] if value.has_one_use else None
    return reader.result if isinstance(reader, nn.ReLU) else None


def reads_image(value: Value) -> bool:
    """True if one convolution with an activation reads the input."""
    reader = value.users[0] if value.has_one_use else None
    if not isinstance(reader, nn.Conv2D):
        return False
    end = layer_end(reader)
    return end.table is not None or end.rectified


@dataclass(frozen=True)
class PlaceQuantizers(Pass):
    """Quantize the values between layers on grids that fit what was observed."""

    name = "place-quantizers"
    contract = LOSSY
    requires = Level.NN
    ensures = Level.NN

    scheme: str = option("8/8/8", f"one of {', '.join(SCHEMES)}")
    power_of_two: bool = option(False, "only steps that are powers of two")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        placer = Placer(scheme_named(self.scheme))
        placer.walk(op, self.power_of_two)
        return True
