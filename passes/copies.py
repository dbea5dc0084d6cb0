"""Layers that have each of their channels several times: all of them, then all of them again, and so on.

Every copy is the model's layer, which is how such a layer is compared with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.ir import Op

COPIES = "copies"
"""The annotation that says how often."""

MOST_COPIES = 16
"""What can be asked for.  Every level of the models that tests have is right with 10; each copy costs as much again."""


def copies_of(op: Op) -> int:
    """How often the first result of an op has each of its channels; a number that cannot be, from a file, is none."""
    found = op.annotations.get(COPIES)
    can_be = isinstance(found, int) and found > 0 and op.results[0].type.channels % found == 0
    return int(found) if can_be else 1  # type: ignore[arg-type]


def in_copies(array: npt.NDArray[Any], copies: int, size: int) -> npt.NDArray[Any]:
    """`array` as a layer with so many copies of its channels, if `size` elements say that it is not yet."""
    return np.concatenate([array] * copies, axis=-1) if copies > 1 and array.size * copies == size else array
