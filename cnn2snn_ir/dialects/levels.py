"""Levels: which dialects a module may hold at each stage, and where float ops may stand.

Entering a level checks its specification and lists everything that is left over from the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.verify import place


class Level(StrEnum):
    """A stage of compilation, called after its main dialect."""

    NN = "nn"
    QNN = "qnn"
    AKIDA1 = "akida1"
    AKIDA2 = "akida2"
    NPU = "npu"


class Specification(NamedTuple):
    """The dialects of a level, and those whose ops the host computes behind the last integer."""

    dialects: frozenset[str]
    host: frozenset[str] = frozenset()


SPECIFICATIONS = {
    Level.NN: Specification(frozenset({"builtin", "nn"})),
    Level.QNN: Specification(frozenset({"builtin", "qnn"}), host=frozenset({"nn"})),
    Level.AKIDA1: Specification(frozenset({"builtin", "akida1"}), host=frozenset({"nn"})),
    Level.AKIDA2: Specification(frozenset({"builtin", "akida2"}), host=frozenset({"nn"})),
    Level.NPU: Specification(frozenset({"builtin", "npu", "akida1", "akida2"}), host=frozenset({"nn"})),
}


def verify_level(module: Op, level: Level) -> Iterator[Diagnostic]:
    """Every op that has no place at `level`."""
    specification = SPECIFICATIONS[level]
    for op in module.walk():
        dialect = op.op_name.partition(".")[0]
        if dialect in specification.dialects or (dialect in specification.host and is_float(op)):
            continue
        allowed = ", ".join(sorted(specification.dialects))
        host = f"; {', '.join(sorted(specification.host))} on floats" if specification.host else ""
        message = f"the op does not belong to the level {level}"
        yield Diagnostic("IR-LEVEL", message, where=place(op), found=dialect, allowed=allowed + host)


def is_at(module: Op, level: Level) -> bool:
    """True if every op has a place at `level`."""
    return next(verify_level(module, level), None) is None


def is_float(op: Op) -> bool:
    """True if all that the op reads and gives is float."""
    return all(value.type.element.is_float for value in (*op.operands, *op.results))
