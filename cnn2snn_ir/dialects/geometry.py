"""Shape arithmetic shared by the dialects and the reference semantics (TensorFlow's conventions)."""

from __future__ import annotations

from enum import StrEnum

from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import TensorType

LARGEST_WINDOW = 1 << 20
"""Positions that a window may span: what it reads beyond the border of a map is memory, too."""


class Padding(StrEnum):
    """How a window treats borders: `same` pads, the odd row below and right; `same_upper` has it above and left.

    `valid` does not pad.  The chip's name for `same_upper` is SameUpper; models trained with symmetric padding and a
    stride of 2 have it.
    """

    SAME = "same"
    VALID = "valid"
    SAME_UPPER = "same_upper"


def extent(kernel: int, dilation: int = 1) -> int:
    """How many positions a dilated kernel spans."""
    return (kernel - 1) * dilation + 1


def borders(size: int, kernel: int, stride: int, padding: Padding, dilation: int = 1) -> tuple[int, int]:
    """Rows (or columns) that `padding` adds before and after: as even as possible."""
    if padding is Padding.VALID:
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + extent(kernel, dilation) - size, 0)
    smaller, larger = total // 2, total - total // 2
    return (smaller, larger) if padding is Padding.SAME else (larger, smaller)


def adds_border(
    x: TensorType,
    kernel: tuple[int | None, ...],
    strides: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
) -> bool:
    """True if a window of height and width `kernel` reads positions outside of an NHWC map."""
    sizes = zip(x.shape[1:3], kernel[:2], strides, dilation, strict=True)
    return any(any(borders(n or 0, k or 0, s, padding, d)) for n, k, s, d in sizes)


def window_count(size: int, kernel: int, stride: int, padding: Padding, dilation: int = 1) -> int:
    """Output positions along one axis; raises ValueError if the window does not fit."""
    if padding is not Padding.VALID:
        return -(-size // stride)
    count = (size - extent(kernel, dilation)) // stride + 1
    if count < 1:
        raise ValueError(f"a window of {extent(kernel, dilation)} does not fit in {size} positions")
    return count


def spatial(
    x: TensorType,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width after a window slides over an NHWC map; raises ValueError where that is impossible."""
    if x.rank != 4:
        raise ValueError(f"needs a feature map of 4 dimensions (NHWC), found {x}")
    _, height, width, _ = x.shape
    if height is None or width is None:
        raise ValueError(f"needs a static height and width, found {x}")
    sizes = zip((height, width), kernel, strides, dilation, strict=True)
    if extent(kernel[0], dilation[0]) * extent(kernel[1], dilation[1]) > LARGEST_WINDOW:
        raise ValueError(f"a window of {kernel} with a dilation of {dilation} is too large")
    rows, columns = (window_count(n, k, s, padding, d) for n, k, s, d in sizes)
    return rows, columns


def per_channel(tensor: Tensor | None, channels: int, what: str) -> str:
    """Why `tensor` is neither a scalar nor one value per channel; empty if it is one of them."""
    if tensor is None or tensor.type.shape in ((), (channels,)):
        return ""
    return f"{what} must have no dimension, or one of {channels} channels; found {tensor.type}"


def transposed_count(size: int, kernel: int, stride: int, padding: Padding) -> int:
    """Output positions of a transposed convolution along one axis."""
    return size * stride + (max(kernel - stride, 0) if padding is Padding.VALID else 0)


def transposed_spatial(
    x: TensorType, kernel: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> tuple[int, int]:
    """Height and width after a transposed convolution of an NHWC map."""
    if x.rank != 4:
        raise ValueError(f"needs a feature map of 4 dimensions (NHWC), found {x}")
    sizes = zip(x.per_sample[:2], kernel, strides, strict=True)
    rows, columns = (transposed_count(n, k, s, padding) for n, k, s in sizes)
    return rows, columns
