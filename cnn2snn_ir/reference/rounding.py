"""How reals become integers: the roundings of ONNX and QONNX, and the grid that they are applied on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnn2snn_ir.dialects.qnn import Rescale
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.reference.arithmetic import Array, Ints, values

ROUNDINGS: dict[Rounding, Callable[[Array], Array]] = {
    Rounding.HALF_EVEN: np.rint,
    Rounding.HALF_UP: lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    Rounding.HALF_DOWN: lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
    Rounding.HALF_CEIL: lambda x: np.floor(x + 0.5),
    Rounding.FLOOR: np.floor,
    Rounding.CEIL: np.ceil,
    Rounding.UP: lambda x: np.sign(x) * np.ceil(np.abs(x)),
    Rounding.DOWN: np.trunc,
}
"""Reals ▶ integers."""


def rescale(op: Rescale, x: Any) -> Ints:
    """`clip(round((x - zero) / step) + offset, low, high)`, every operation in float64."""
    quotient = (np.asarray(x, np.float64) - op.zero.array.astype(np.float64)) / op.step.array.astype(np.float64)
    far = 2.0**62  # what lies beyond is clipped anyway, and would not fit an integer
    rounded = ROUNDINGS[op.rounding](np.clip(quotient, -far, far)).astype(np.int64)
    found: Ints = np.clip(rounded + values(op.offset), *op.limits)
    return found
