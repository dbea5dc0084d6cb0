"""The names of roundings, which reals and integers share."""

from __future__ import annotations

from enum import StrEnum


class Rounding(StrEnum):
    """How a real becomes an integer: the roundings of ONNX and QONNX, and the chip's."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    """Ties away from 0 (QONNX's HALF_UP is of the magnitude)."""
    HALF_DOWN = "half_down"
    """Ties toward 0."""
    HALF_CEIL = "half_ceil"
    """Ties toward +infinity, as the chip rounds."""
    FLOOR = "floor"
    CEIL = "ceil"
    UP = "up"
    """Away from 0."""
    DOWN = "down"
    """Toward 0."""
