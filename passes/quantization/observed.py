"""What `calibrate` has seen of a value: its range in every channel, as annotations of the op that gives it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.ir import Tensor, Value
from cnn2snn_ir.passes.legality.rule import named

MINIMUM, MAXIMUM = "observed_min", "observed_max"
"""Annotations: float tensors, one number a channel."""

Reals = npt.NDArray[np.float64]


def observed(value: Value) -> tuple[Reals, Reals]:
    """The smallest and the largest number in each channel; raises `CompileError` if nobody looked."""
    low, high = (value.owner.annotations.get(key) for key in (MINIMUM, MAXIMUM))
    if not isinstance(low, Tensor) or not isinstance(high, Tensor):
        raise fail(
            "QUANTIZE-RANGE",
            "the range of the value is not known",
            where=named(value.owner),
            help="run calibrate first",
        )
    return low.array.astype(np.float64), high.array.astype(np.float64)
