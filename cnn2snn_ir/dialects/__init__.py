"""Dialects: the vocabularies of the IR, one module each.  The table below is the only list of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnn2snn_ir.ir.op import Op

DIALECTS = {
    "builtin": "modules, graph inputs and returns, legal at every level",
    "nn": "ops on real numbers: legacy models as imported, and what runs on the host after the last integer",
    "qnn": "integer-exact, target-neutral quantized ops",
    "akida1": "fused hardware layers of Akida 1",
    "akida2": "fused hardware layers of Akida 2",
    "npu": "where the layers of a program run: sequences, passes and neural processors",
}


@cache
def ops_of(dialect: str) -> dict[str, type[Op]]:
    """The ops of a dialect by full name, in the order in which its module defines them."""
    from cnn2snn_ir.ir.op import Op

    module = import_module(f"cnn2snn_ir.dialects.{dialect}")
    found = (v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Op))
    return {op.op_name: op for op in found if op.op_name.startswith(f"{dialect}.")}


def lookup(op_name: str) -> type[Op] | None:
    """The op class called `op_name`, or None."""
    dialect = op_name.partition(".")[0]
    return ops_of(dialect).get(op_name) if dialect in DIALECTS else None


def all_ops() -> dict[str, type[Op]]:
    """Every op of every dialect by name."""
    return {name: op for dialect in DIALECTS for name, op in ops_of(dialect).items()}
