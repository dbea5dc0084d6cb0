"""A border of zeros becomes the border rule of the layer that reads it.

    %pad = nn.pad %x {rows = [1, 1], columns = [1, 1]} : tensor<?x18x18x8xf32>
    %conv = nn.conv2d %pad, #w<kernel, f32[3, 3, 8, 8]> {strides = [2, 2], padding = valid}
▶
    %conv = nn.conv2d %x, #w<kernel, f32[3, 3, 8, 8]> {strides = [2, 2], padding = same_upper}

A rule fits if it has as many windows, and the first of them begin where they began.  Rows that no window reads may be
left out.  Max pooling ignores its own border, which is the same where zeros never win over what is there.

Preconditions: the layer itself pads nothing; in front of max pooling, no value is below 0.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding, borders, window_count
from cnn2snn_ir.ir import Value
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rule
from cnn2snn_ir.passes.affines import applied
from cnn2snn_ir.passes.base import RewritePass

WINDOWED = (nn.Conv2D, nn.DepthwiseConv2D, nn.MaxPool)


@rule(WINDOWED, "f(pad(x, 0), valid) = f(x, same), if the windows are the same")
def fold_pads(op: Any, rewriter: Rewriter) -> bool:
    pad = op.x.owner
    if not isinstance(pad, nn.Pad):
        return False
    if pad.value != 0:
        return rewriter.why_not(op, f"the border holds {pad.value:g}")
    if isinstance(op, nn.MaxPool) and not never_negative(pad.x):
        return rewriter.why_not(op, "zeros of the border may be the largest")
    fitting = [rule for rule in Padding if all(same_windows(axis, rule) for axis in axes(op, pad))]
    if op.padding is not Padding.VALID or not fitting:
        return rewriter.why_not(op, "no border rule has the same windows")
    op.padding = fitting[0]
    rewriter.replace(op, applied(op, pad.x), pad)
    return True


def axes(op: Any, pad: nn.Pad) -> Iterator[tuple[int, tuple[int, int], int, int, int]]:
    """Rows, then columns: their number, those added, and kernel, stride and dilation of a window."""
    kernel = op.size if isinstance(op, nn.MaxPool) else op.weights.type.shape[:2]
    dilation = (1, 1) if isinstance(op, nn.MaxPool) else op.dilation
    yield from zip(pad.x.type.per_sample, (pad.rows, pad.columns), kernel, op.strides, dilation, strict=False)


def same_windows(axis: tuple[int, tuple[int, int], int, int, int], padding: Padding) -> bool:
    """True if a border rule has the windows of an axis that was padded and is read without a rule."""
    size, added, kernel, stride, dilation = axis
    count = window_count(size + sum(added), kernel, stride, Padding.VALID, dilation)
    try:
        same = window_count(size, kernel, stride, padding, dilation) == count
    except ValueError:  # without a border no window fits
        return False
    return same and borders(size, kernel, stride, padding, dilation)[0] == added[0]


def never_negative(value: Value) -> bool:
    """True if a value is what a rectifier gave, perhaps pooled."""
    owner = value.owner
    if isinstance(owner, nn.MaxPool | nn.AveragePool | nn.Pad):
        return never_negative(owner.x) and not (isinstance(owner, nn.Pad) and owner.value < 0)
    return isinstance(owner, nn.ReLU | nn.QuantizedReLU)


class FoldPads(RewritePass):
    """Let layers pad what was padded in front of them."""

    name = "fold-pads"

    def rules(self) -> Sequence[Rule]:
        return (fold_pads,)
