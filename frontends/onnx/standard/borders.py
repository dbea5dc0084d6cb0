"""ONNX's paddings as the border rules of the module, or as a border of its own where no rule says the same."""

from __future__ import annotations

from typing import NamedTuple

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding, borders, extent, window_count
from cnn2snn_ir.frontends.onnx.standard.call import Call
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.ir import Value

AUTOMATIC = {"SAME_UPPER": Padding.SAME, "SAME_LOWER": Padding.SAME_UPPER, "VALID": Padding.VALID}
"""ONNX's names say at which end of an axis the odd position lies, those of the module on which side of the map."""


class Line(NamedTuple):
    """One axis that a window slides over: sizes, the border asked for, and whether a last, partial window counts."""

    size: int
    kernel: int
    stride: int
    dilation: int = 1
    begin: int = 0
    end: int = 0
    ceil: bool = False

    @property
    def windows(self) -> int:
        """Positions of the window; a partial one must begin inside of the map or of the border before it."""
        room = self.size + self.begin + self.end - extent(self.kernel, self.dilation)
        if not self.ceil:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        return count - (1 if (count - 1) * self.stride >= self.size + self.begin else 0)

    @property
    def border(self) -> tuple[int, int]:
        """The positions before and after the axis that some window really reads."""
        last = (self.windows - 1) * self.stride + extent(self.kernel, self.dilation)
        return self.begin, max(last - self.size - self.begin, 0)

    def obeys(self, padding: Padding) -> bool:
        """True if the rule gives the same windows."""
        before, _ = borders(self.size, self.kernel, self.stride, padding, self.dilation)
        try:
            count = window_count(self.size, self.kernel, self.stride, padding, self.dilation)
        except ValueError:
            return False
        return before == self.begin and count == self.windows


class Window(NamedTuple):
    """How a window slides over both axes of a map."""

    lines: tuple[Line, Line]

    @property
    def strides(self) -> tuple[int, int]:
        return self.lines[0].stride, self.lines[1].stride

    @property
    def dilation(self) -> tuple[int, int]:
        return self.lines[0].dilation, self.lines[1].dilation

    @property
    def size(self) -> tuple[int, int]:
        return self.lines[0].kernel, self.lines[1].kernel

    @property
    def has_border(self) -> bool:
        """True if some window reads outside of the map."""
        return any(any(line.border) for line in self.lines)

    def rule(self) -> Padding | None:
        """The border rule that gives the same windows, if there is one."""
        rules = (Padding.VALID, Padding.SAME, Padding.SAME_UPPER)
        return next((rule for rule in rules if all(line.obeys(rule) for line in self.lines)), None)


def both(values: tuple[int, ...], default: int) -> tuple[int, int]:
    """Vertical and horizontal of what a sequence has once."""
    return (default, values[0]) if len(values) == 1 else (values[0], values[1])


def window(call: Call, x: Value, kernel: tuple[int, int], sequence: bool) -> Window:
    """The window that a node's strides, dilations and paddings describe, over a map in the module's order."""
    axes = 1 if sequence else 2
    strides = both(call.ints("strides", axes, default=1, least=1), 1)
    dilation = both(call.ints("dilations", axes, default=1, least=1), 1)
    ceil = bool(call.attribute("ceil_mode", 0))
    pads = border(call, x, kernel, strides, dilation, axes)
    sizes = zip(x.type.per_sample[:2], kernel, strides, dilation, *pads, strict=True)
    lines = [Line(n, k, s, d, b, e, ceil) for n, k, s, d, b, e in sizes]
    for line in lines:
        room = f"{line.size} + {line.begin} + {line.end} positions"
        spans = extent(line.kernel, line.dilation)
        require(line.windows > 0, f"a window of {spans} does not fit", found=room, code="ONNX-SHAPE")
    return Window((lines[0], lines[1]))


def border(
    call: Call, x: Value, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int], axes: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Positions before both axes, and behind both."""
    automatic = call.attribute("auto_pad", "NOTSET")
    pads = call.ints("pads", 2 * axes)
    if automatic == "NOTSET":
        require(min(pads) >= 0, "paddings below 0", found=list(pads), help="crop with Slice, before", code="ONNX-NODE")
        return both(pads[:axes], 0), both(pads[axes:], 0)
    if automatic not in AUTOMATIC:
        allowed = ", ".join(["NOTSET", *AUTOMATIC])
        raise UnsupportedNodeError("auto_pad has a value that ONNX does not know", found=automatic, allowed=allowed)
    exclusive = not any(pads)
    require(exclusive, "pads and auto_pad exclude each other", found=f"{automatic}, {list(pads)}", code="ONNX-NODE")
    sizes = zip(x.type.per_sample[:2], kernel, strides, dilation, strict=True)
    rows, columns = (borders(n, k, s, AUTOMATIC[automatic], d) for n, k, s, d in sizes)
    return (rows[0], columns[0]), (rows[1], columns[1])


def padded(call: Call, x: Value, slide: Window, value: float) -> tuple[Value, Padding]:
    """The map and the border rule for a window; a border of `value` is made where no rule gives the same windows."""
    rule = slide.rule()
    if rule is not None:
        return x, rule
    rows, columns = (line.border for line in slide.lines)
    return call.emit(nn.Pad(x, rows, columns, value)), Padding.VALID


def kernel_size(call: Call, stored: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a kernel as the weights have it, which the attribute must not contradict."""
    stated = call.ints("kernel_shape", default=0, least=1)
    agree = not stated or stated == stored
    require(
        agree, "kernel_shape differs from the weights", found=list(stated), allowed=str(list(stored)), code="ONNX-SHAPE"
    )
    return both(stored, 1)
