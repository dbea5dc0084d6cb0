"""Straight-through estimators: steps whose gradient is 1, so that training sees through them.

`x + (step(x) - x)` equals `step(x)` in float32: by Sterbenz's lemma the difference is exact where the step is within a
factor of two of x, and near zero the sum rounds to the step.  Only the gradient of the first x survives.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def round_through(x: Any) -> Any:
    """Round half to even; gradient 1."""
    return x + ops.stop_gradient(ops.round(x) - x)


def ceil_through(x: Any) -> Any:
    """Round up; gradient 1."""
    return x + ops.stop_gradient(ops.ceil(x) - x)
