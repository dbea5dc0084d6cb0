"""ONNX's explicit pads as one of our border rules."""

from __future__ import annotations

from cnn2snn_ir.dialects.geometry import Padding, borders, extent

RULES = (Padding.SAME, Padding.SAME_UPPER, Padding.VALID)
"""In the order of preference: where none adds a border, `same` is what the chip has."""


def padding_of(
    sizes: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Padding | None:
    """The rule under which windows see what they see with `pads` (top, left, bottom, right); None if there is none.

    Rows and columns behind the last window do not count: symmetric pads often have such.
    """
    return next(
        (rule for rule in RULES if all(fits(rule, *axis) for axis in axes(sizes, kernel, strides, pads, dilation))),
        None,
    )


def axes(
    sizes: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> list[tuple[int, int, int, int, int, int]]:
    """Size, kernel, stride, dilation, pad before and behind, for rows and for columns."""
    before, behind = pads[:2], pads[2:]
    return [(sizes[i], kernel[i], strides[i], dilation[i], before[i], behind[i]) for i in (0, 1)]


def fits(rule: Padding, size: int, kernel: int, stride: int, dilation: int, before: int, behind: int) -> bool:
    """True if along one axis a rule gives the same windows as pads."""
    count = (size + before + behind - extent(kernel, dilation)) // stride + 1
    first, last = borders(size, kernel, stride, rule, dilation)
    counted = (size + first + last - extent(kernel, dilation)) // stride + 1
    return count >= 1 and (first, counted) == (before, count)
