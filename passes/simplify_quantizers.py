"""Quantizers that do nothing go, and what a layer computes anyway moves in front of its quantizer.

    %conv = nn.conv2d …
    %q = nn.fake_quantize %conv, #w<scale> {to = si8}
    %relu = nn.relu %q
    %pool = nn.max_pool %relu …
    %y = nn.fake_quantize %pool, #w<scale> {to = si8}
▶
    %conv = nn.conv2d …
    %0 = nn.relu %conv
    %1 = nn.max_pool %0 …
    %y = nn.fake_quantize %1, #w<scale> {to = si8}

Tools that insert quantizers do so around every op.  A value that is on a grid already stays where it is when it is
quantized to the same grid.  Rounding never decreases and keeps the 0, so a rectifier and a maximum may come before it.

Preconditions: none.  Contract: exact in real numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.ir import Op, Tensor, Value
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.base import REAL, RewritePass
from cnn2snn_ir.passes.quantization.groups import KEEPS_GRID, Weighted, never_negative


@rule(nn.FakeQuantize, "quantize(x) = x, if x is on the grid")
def on_the_grid(op: nn.FakeQuantize, rewriter: Rewriter) -> bool:
    if not is_on_grid(op.x, op):
        return False
    rewriter.replace_with(op, op.x)
    return True


def is_on_grid(value: Value, grid: nn.FakeQuantize) -> bool:
    """True if quantizing a value to a grid leaves every number as it is."""
    op = value.owner
    if isinstance(op, nn.FakeQuantize):
        same = equal(op.scale, grid.scale) and equal(op.zero_point, grid.zero_point)
        return same and grid.limits[0] <= op.limits[0] and op.limits[1] <= grid.limits[1]
    bounded = isinstance(op, nn.ReLU) and op.max_value is not None  # a bound need not be on the grid
    return isinstance(op, KEEPS_GRID) and not bounded and all(is_on_grid(v, grid) for v in op.operands)


def equal(a: Tensor | None, b: Tensor | None) -> bool:
    """True for the same numbers; no zero point is one of 0."""
    first, second = np.broadcast_arrays(*(np.zeros(()) if t is None else t.array for t in (a, b)))
    return np.array_equal(first, second)


@rule((nn.ReLU, nn.MaxPool), "f(quantize(x)) = quantize(f(x)), if f never decreases and keeps 0")
def before_quantizer(op: nn.ReLU | nn.MaxPool, rewriter: Rewriter) -> bool:
    quantizer = op.x.owner
    if not isinstance(quantizer, nn.FakeQuantize) or not op.x.has_one_use or not ends_layer(quantizer.x):
        return False
    if isinstance(op, nn.ReLU) and (op.max_value is not None or not keeps_zero(quantizer)):
        return False
    moved = op.clone({op.x: quantizer.x})
    moved.results[0].name = None
    value = rewriter.insert_before(op, moved).results[0]
    grid = (quantizer.scale, quantizer.to, quantizer.zero_point, quantizer.narrow, quantizer.rounding)
    rewriter.replace(op, nn.FakeQuantize(value, *grid), quantizer)
    return True


@rule(nn.ReLU, "relu(x) = x, if x is never negative")
def nothing_to_rectify(op: nn.ReLU, rewriter: Rewriter) -> bool:
    if op.max_value is not None or not never_negative(op.x):
        return False
    rewriter.replace_with(op, op.x)
    return True


@rule(nn.FakeQuantize, "quantize(relu(x)) = quantize(x), if the grid begins at 0")
def clips_at_zero(op: nn.FakeQuantize, rewriter: Rewriter) -> bool:
    relu = op.x.owner
    if not isinstance(relu, nn.ReLU) or relu.max_value is not None or not isinstance(relu.x.owner, builtin.Input):
        return False  # elsewhere a layer rectifies
    zero = 0 if op.zero_point is None else op.zero_point.int64
    if np.any(op.limits[0] != zero):
        return False
    op.set_operand(0, relu.x)
    rewriter.changed(op)
    rewriter.erase_if_unused(relu)
    return True


def keeps_zero(quantizer: nn.FakeQuantize) -> bool:
    """True if the real 0 is one of the numbers of the grid."""
    low, high = quantizer.limits
    zero = 0 if quantizer.zero_point is None else quantizer.zero_point.int64
    return bool(np.all((low <= zero) & (zero <= high)))


def ends_layer(value: Value) -> bool:
    """True for what a layer with weights computes before its output."""
    op: Op = value.owner
    while isinstance(op, nn.ReLU | nn.MaxPool):
        op = op.operands[0].owner
    return isinstance(op, Weighted)


class SimplifyQuantizers(RewritePass):
    """Drop quantizers that do nothing, and put rectifiers and poolings in front of them."""

    name = "simplify-quantizers"
    contract = REAL

    def rules(self) -> Sequence[Rule]:
        return (nothing_to_rectify, clips_at_zero, on_the_grid, before_quantizer)
