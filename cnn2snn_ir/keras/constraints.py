"""A constraint for variables that must not fall below a value, such as the gammas of batch normalization."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class MinValueConstraint(keras.constraints.Constraint):
    """Values below `min_value` become `min_value`."""

    def __init__(self, min_value: float = 1e-2) -> None:
        self.min_value = min_value

    def __call__(self, w: Any) -> Any:
        """The variable, clipped from below."""
        return ops.maximum(w, self.min_value)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"min_value": self.min_value}
