"""Every quantized value gets a grid that Akida 2 has.

    %y = nn.fake_quantize %x, #w<scale, f32[], 0.02> {to = ui8, zero_point = #w<…, 0>}
▶
    %y = nn.fake_quantize %x, #w<scale, f32[], 0.04> {to = si8}

Between layers integers are signed bytes whose 0 is the real 0; additions shift, so the steps around them are powers of
two apart; concatenations join integers of one step.  Where a model has another grid, its range decides on the step:
nothing that the model can represent is clipped.

* An unsigned byte with the zero point 128 is a signed one: exact.
* An unsigned byte with the zero point 0 loses its last bit; a rectifier clips what it clipped below.
* A float input may have any zero point, if it is an image: signed bytes become unsigned ones.
* Any other zero point, or more bits, lose what the remark says; the end of the model's range that is nearer to 0 does
  not clip any more.

Weights of more than 8 bits, as zero points make them, are rounded to 8, with one scale a filter.  A quantizer at the
model's end, which no layer reads, stays as it is: the host applies it.

In `exact` mode whatever is not exact is an error; in `bounded` mode a remark says how far results can move.

Preconditions: `simplify-quantizers`.  Contract: lossy, by what the remarks say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, Severity
from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import F32, F64, Op, Tensor, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.apply_input_scaling import IMAGE_CHANNELS
from cnn2snn_ir.passes.base import LOSSY, Pass, PassContext, option
from cnn2snn_ir.passes.fit_requantizers import Mode
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.quantization.grids import joint_steps
from cnn2snn_ir.passes.quantization.groups import Weighted, feeds_layer, never_negative
from cnn2snn_ir.passes.quantization.schemes import BYTE


@dataclass(frozen=True)
class FitGrids(Pass):
    """Move quantized values to grids of the chip."""

    name = "fit-grids"
    contract = LOSSY
    requires = Level.NN
    ensures = Level.NN

    mode: Mode = option(Mode.BOUNDED, "what to do about a grid that the chip does not have: refuse it, or fit it")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        found = Diagnostics()
        quantizers = [
            q for q in op.body if isinstance(q, nn.FakeQuantize) and not reads_input(q) and feeds_layer(q.result)
        ]
        inputs = [q for q in op.body if isinstance(q, nn.FakeQuantize) and reads_input(q) and feeds_layer(q.result)]
        quantizers += [q for q in inputs if not fit_input(q)]
        wide = [q for q in op.body if isinstance(q, Weighted) and narrow_weights(q, self.mode, found)]
        before = {q: step_of(q) for q in quantizers}
        moved = [q for q in quantizers if recentre(q, Rewriter())]
        fitted = joint_steps(op, {q.result: step_of(q) for q in quantizers if q.scale.array.ndim == 0})
        for value, step in fitted.items():
            quantizer = value.owner
            assert isinstance(quantizer, nn.FakeQuantize)
            if step != step_of(quantizer):
                set_step(quantizer, step)
        for quantizer in quantizers:
            if step_of(quantizer) != before[quantizer]:
                found.add(coarser(quantizer, before[quantizer], self.mode))
        context.diagnostics.extend(found)
        found.raise_errors(f"{op.sym_name}: its grids are not those of the chip")
        return bool(moved or wide) or any(step_of(q) != before[q] for q in quantizers)


def reads_input(op: nn.FakeQuantize) -> bool:
    """True for the quantizer of a float input."""
    return isinstance(op.x.owner, builtin.Input)


def fit_input(op: nn.FakeQuantize) -> bool:
    """Make signed bytes of an image unsigned ones, which have any zero point; True if the grid can stay then."""
    if op.x.type.channels not in IMAGE_CHANNELS or op.scale.array.ndim or op.to.bits != BYTE.bits:
        return False
    if op.to.lo < 0 and op.zero_point is not None and op.zero_point.int64.any():
        op.zero_point = Tensor.of(op.zero_point.int64 - op.to.lo, ui(8), op.zero_point.name)
        op.to = ui(8)
    return True


def step_of(op: nn.FakeQuantize) -> float:
    """The distance of two numbers of the grid, the largest of all channels."""
    return float(op.scale.array.max())


def set_step(op: nn.FakeQuantize, step: float) -> None:
    """Another distance."""
    op.scale = Tensor.of(np.float32(step), F32, op.scale.name)


def narrow_weights(op: Any, mode: Mode, found: Diagnostics) -> bool:
    """Give weights of more than 8 bits a type of 8, rounded where they do not fit; True if anything changed."""
    if op.weight_scale is None or op.weights.type.element.bits <= BYTE.bits:
        return False
    integers, name = op.weights.int64, op.weights.name
    if not BYTE.contains(integers):
        largest = np.abs(integers).reshape(-1, integers.shape[-1]).max(axis=0)
        factor = np.minimum(BYTE.hi / np.maximum(largest, 1), 1.0)
        integers = np.rint(integers * factor).astype(np.int64)
        scale = op.weight_scale.array.astype(np.float64) * factor
        op.weight_scale = Tensor.of(scale, F64, op.weight_scale.name)
        found.add(rounded(op, largest.max(), mode))
    op.weights = Tensor.of(integers, BYTE, name)
    return True


def rounded(op: Op, largest: int, mode: Mode) -> Diagnostic:
    """Weights that lost precision."""
    exact = mode is Mode.EXACT
    return Diagnostic(
        "AK2-WEIGHT-01",
        "its weights have more than 8 bits with their zero point taken off, and are rounded to 8",
        named(op),
        found=f"weights of up to {largest} become {BYTE.hi}; each moves by up to {largest / BYTE.hi / 2:.3g}",
        allowed="-128 to 127",
        help="convert in the mode bounded, or quantize weights symmetrically" if exact else "",
        severity=Severity.ERROR if exact else Severity.REMARK,
    )


def recentre(op: nn.FakeQuantize, rewriter: Rewriter) -> bool:
    """Put the real 0 on the integer 0 of a type that layers give; True if anything changed."""
    zero = 0 if op.zero_point is None else op.zero_point.int64
    low, high = (np.broadcast_to(limit - zero, op.x.type.channels) for limit in op.limits)
    if not np.any(zero) and op.to.bits <= BYTE.bits and op.to.hi <= BYTE.hi:
        return False
    scale = op.scale.array.astype(np.float64)
    largest = max(float((high * scale).max()) / BYTE.hi, float((low * scale).min()) / BYTE.lo)
    step = largest if largest > step_of(op) or op.scale.array.ndim else step_of(op)
    if not low.any() and not never_negative(op.x) and not reads_input(op):
        op.set_operand(0, rewriter.insert_before(op, nn.ReLU(op.x)).results[0])
    op.zero_point, op.to, op.narrow = None, BYTE, False
    set_step(op, step)
    return True


def coarser(op: nn.FakeQuantize, before: float, mode: Mode) -> Diagnostic:
    """A value that lost precision."""
    exact = mode is Mode.EXACT
    return Diagnostic(
        "AK2-GRID-02",
        "the chip does not have the grid of this value, and a coarser one takes its place",
        named(op),
        found=f"steps of {before:.6g} become {step_of(op):.6g}; results move by up to "
        f"{step_of(op) / 2 / before + 0.5:.3g} of the model's steps",
        allowed="signed bytes with the zero point 0; steps a power of two apart around additions, equal ones in a "
        "concatenation",
        help="convert in the mode bounded, or quantize symmetrically" if exact else "",
        severity=Severity.ERROR if exact else Severity.REMARK,
    )
