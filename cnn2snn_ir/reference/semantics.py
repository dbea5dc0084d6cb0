"""The registry of reference semantics: op class ▶ function of the op and its operand arrays."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.ir import Op

Array = npt.NDArray[Any]
Semantics = Callable[..., "Array | tuple[Array, ...]"]
TABLE: dict[type[Op], Semantics] = {}
"""What has been registered so far; the module of a dialect registers its own when it is imported."""

DIALECTS = ("akida1", "akida2", "nn", "qnn")
"""Those with semantics, each in a module of its name beside this one."""

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


def meaning(op_class: type[Op]) -> Semantics | None:
    """The meaning of an op, if it has one; that of a dialect is imported when it is first asked for."""
    dialect = op_class.op_name.partition(".")[0]
    if op_class not in TABLE and dialect in DIALECTS:
        import_module(f"cnn2snn_ir.reference.{dialect}")
    return TABLE.get(op_class)


def carrier(array: Array) -> Array:
    """The array in the type that the reference semantics compute in."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)
