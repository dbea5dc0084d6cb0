"""QONNX's operators for ONNX's reference, after the text of their specification."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

ROUND = {
    "ROUND": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.copysign(np.ceil(np.abs(x)), x),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "HALF_DOWN": lambda x: np.copysign(np.ceil(np.abs(x) - 0.5), x),
}
"""Names of roundings ▶ functions; halves and directions are those of the magnitude."""


class Quant(OpRun):  # type: ignore[misc]
    """`scale · (round(clamp(x / scale + zero, low, high)) - zero)`."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x: Any, scale: Any, zero: Any, bits: Any, signed: int, narrow: int, rounding_mode: str) -> Any:
        low = -(2.0 ** (bits - 1)) + narrow if signed else 0.0
        high = 2.0 ** (bits - 1) - 1 if signed else 2.0**bits - 1 - narrow
        levels = ROUND[rounding_mode](np.clip(x / scale + zero, low, high))
        return (((levels - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):  # type: ignore[misc]
    """`scale` where x is 0 or more, `-scale` elsewhere."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x: Any, scale: Any) -> Any:
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)
