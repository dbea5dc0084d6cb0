"""Input scaling: the program reads integers, and an op says which reals they stand for.

    %input = builtin.input {shape = [28, 28, 1], element = f32} : tensor<?x28x28x1xf32>
    %rescaling = nn.rescaling %input {scale = 0.00392156862745098} : tensor<?x28x28x1xf32>
▶
    %input = builtin.input {shape = [28, 28, 1], element = ui8} : tensor<?x28x28x1xui8>
    %rescaling = nn.input_scaling %input {scale = 255.0} : tensor<?x28x28x1xf32>

The integers are `scale · real + shift`.  A Rescaling layer `real = scale' · x + offset` at the model's input says
`scale = 1 / scale'` and `shift = -offset / scale'`, and its own input is the integer.  Without one the options say
it; without options the reals are the integers.  Without `to`, images of 1 or 3 channels are unsigned bytes, other
inputs have 4 bits.
What float32 blurred is made sharp: a scale or shift next to an integer is that integer.

Preconditions: the model reads one float input; not both a Rescaling layer and options.  Contract: relative(1e-06), for
inputs that are integers to begin with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.builtin import Input, Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import ElementType, Op, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import REAL, Pass, PassContext, option
from cnn2snn_ir.passes.legality.rule import named

IMAGE_CHANNELS = (1, 3)
"""Inputs of so many channels are read by the input layer of images."""

IMAGE, OTHER = ui(8), ui(4)
"""What an input of a legacy model holds, in Akida 1."""

BLUR = 5e-7
"""A number so near to an integer, in proportion, may be that integer after it went through float32."""


@dataclass(frozen=True)
class ApplyInputScaling(Pass):
    """Let the program read the integers that the model's real inputs stand for."""

    name = "apply-input-scaling"
    contract = REAL
    requires = Level.NN
    ensures = Level.NN
    changes_inputs = True

    scale: float | None = option(None, "integers a unit of the model's input, above 0")
    shift: float | None = option(None, "the integer of the real 0")
    to: str = option("", "what the program reads, such as si8; by default bytes for images, else 4 bits")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        inputs = [i for i in op.inputs if i.element.is_float]
        for source in inputs:
            rescaling = first_rescaling(source)
            found = Diagnostics(self.problems(source, rescaling))
            found.raise_errors("the input cannot be scaled")
            element = ElementType.parse(self.to) if self.to else input_type(source.shape)
            apply(source, rescaling, element, *self.relation(rescaling))
        if not inputs and (self.scale, self.shift) != (None, None):
            where = ", ".join(i.result.name or "input" for i in op.inputs)
            message, remedy = "the program reads integers already", "scale the input of the model as imported"
            raise CompileError(problem(where, message, f"{self.scale}, {self.shift}", remedy))
        return bool(inputs)

    def relation(self, rescaling: nn.Rescaling | None) -> tuple[float, float]:
        """Scale and shift from the reals that the first layer reads to integers."""
        if rescaling is None:
            return 1.0 if self.scale is None else float(self.scale), float(self.shift or 0.0)
        return sharp(1 / rescaling.scale), sharp(-rescaling.offset / rescaling.scale)

    def problems(self, source: Input, rescaling: nn.Rescaling | None) -> Iterator[Diagnostic]:
        """What is wrong with the scaling that was asked for."""
        if (self.scale is None) != (self.shift is None):
            yield problem(named(source), "scale and shift of the input go together", f"{self.scale}, {self.shift}")
        given = self.scale is not None or self.shift is not None
        if given and rescaling is not None:
            message = "the model's Rescaling layer and an argument both scale the input"
            yield problem(named(rescaling), message, f"{self.scale}, {self.shift}", "leave out the argument")
        scale = rescaling.scale if rescaling is not None else 1.0 if self.scale is None else self.scale
        where = source if rescaling is None else rescaling
        if not 0 < scale < math.inf:
            yield problem(named(where), "the scale of the input must be above 0", f"{scale:g}")
        offset = rescaling.offset if rescaling is not None else self.shift or 0.0
        if not math.isfinite(offset):
            yield problem(named(where), "the shift of the input must be finite", f"{offset:g}")

    def inputs_before(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        scale, shift = 1.0 if self.scale is None else self.scale, self.shift or 0.0
        return ((inputs - shift) / scale).astype(np.float32)


def problem(where: str, message: str, found: str, help: str = "scale the input with a Rescaling layer") -> Diagnostic:
    """A diagnostic about the scaling of the input."""
    return Diagnostic("INPUT-SCALING", message, where, found=found, help=help)


def first_rescaling(source: Input) -> nn.Rescaling | None:
    """The Rescaling layer that reads the input, if one does."""
    users = source.result.users
    return users[0] if len(users) == 1 and isinstance(users[0], nn.Rescaling) else None


def apply(source: Input, rescaling: nn.Rescaling | None, element: ElementType, scale: float, shift: float) -> None:
    """Put an integer input and its meaning in the place of a float input."""
    rewriter = Rewriter()
    integers = Input(source.shape, element, loc=source.loc)
    rewriter.insert_before(source, integers)
    old: Op = rescaling or source
    reals = nn.InputScaling(integers.result, scale, shift, loc=old.loc)
    rewriter.insert_before(old, reals)
    name = source.result.name
    if rescaling is not None:
        rewriter.replace_with(rescaling, reals.result)
        rewriter.erase(source)
    else:
        source.result.name = None
        rewriter.replace_with(source, reals.result)
    integers.result.name = name


def input_type(shape: tuple[int, ...]) -> ElementType:
    """The integers of an input of this shape."""
    return IMAGE if shape and shape[-1] in IMAGE_CHANNELS else OTHER


def sharp(number: float) -> float:
    """The integer that is meant, if the number is next to one."""
    nearest = float(round(number)) if math.isfinite(number) else number
    return nearest + 0.0 if abs(number - nearest) <= BLUR * abs(nearest) else number
