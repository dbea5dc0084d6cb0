"""The registry of reference semantics: op class ▶ function of the op and its operand arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.ir import Op

Array = npt.NDArray[Any]
Semantics = Callable[..., "Array | tuple[Array, ...]"]
TABLE: dict[type[Op], Semantics] = {}

_F = TypeVar("_F", bound=Semantics)


def meaning_of(op_class: type[Op]) -> Callable[[_F], _F]:
    """Register the decorated `f(op, *operands) -> result` as the meaning of `op_class`.

    Operand arrays are int64 for integer types and float32 for `f32`; so is the result.  An op of several results
    gives a tuple.
    """

    def register(function: _F) -> _F:
        if op_class in TABLE:
            raise ValueError(f"{op_class.op_name} has a meaning already")
        TABLE[op_class] = function
        return function

    return register


def carrier(array: Array) -> Array:
    """The array in the type that the reference semantics compute in."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)
