"""What a function computes, as a term: the same for two bodies that differ in names and in the order of their nodes.

A term is an input of the function, a constant, or an operator applied to terms.  Nodes that contribute nothing to the
output are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn2snn_ir.frontends.onnx.graph import Function, Node, Reference, constant_value
from cnn2snn_ir.frontends.onnx.tensors import StoredTensor


@dataclass(frozen=True)
class Term:
    """`op` is an operator, with its domain in front of it if that is not the standard one.

    Inputs have the op `input`, absent optional arguments `none`, constants `constant`; their attributes say which.
    """

    op: str
    args: tuple[Term, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """As messages show it, to a depth of one."""
        match self.op:
            case "input":
                return f"input {self.attributes['name']}"
            case "none":
                return "nothing"
            case "constant":
                return f"constant {self.attributes['value']}"
            case _:
                named = ", ".join(f"{k}={shown(v)}" for k, v in sorted(self.attributes.items()))
                return f"{self.op}({named})" if named else self.op


NOTHING = Term("none")

RESERVED = ("input", "none", "constant")
"""Ops that are no operators; a node that is called so is another thing, and no function should have it."""


def given(name: str) -> Term:
    """An input of the function."""
    return Term("input", attributes={"name": name})


def shown(value: Any) -> str:
    """An attribute's value for a message."""
    return f"the attribute {value.attribute}" if isinstance(value, Reference) else str(value)


def call(op: str, *args: Term, **attributes: Any) -> Term:
    """An operator applied to terms."""
    return Term(op, args, attributes)


def constant(value: Any) -> Term:
    """A constant, as Python numbers."""
    return Term("constant", attributes={"value": value})


def terms_of(function: Function) -> list[Term]:
    """A term for each output; raises `CompileError` for a constant that cannot be read."""
    values: dict[str, Term] = {name: given(name) for name in function.inputs}
    values[""] = NOTHING
    for node in function.nodes:
        for name, term in node_terms(node, values):
            values[name] = term
    return [values.get(name, Term(f"a missing value {name}")) for name in function.outputs]


def node_terms(node: Node, values: Mapping[str, Term]) -> list[tuple[str, Term]]:
    """The results of a node, by name."""
    stored = constant_value(node)
    if stored is not None:
        array = stored.read() if isinstance(stored, StoredTensor) else stored
        return [(node.outputs[0], constant(plain(array)))]
    op = f"{node.domain}:{node.op}" if node.domain or node.op in RESERVED else node.op
    args = [values.get(name, Term(f"a missing value {name}")) for name in node.inputs]
    while args and args[-1] is NOTHING:  # trailing absent arguments may as well be left out
        args.pop()
    term = Term(op, tuple(args), dict(node.attributes))
    if len(node.outputs) == 1:
        return [(node.outputs[0], term)]
    return [(name, Term(f"result {i}", (term,))) for i, name in enumerate(node.outputs) if name]


def plain(array: np.ndarray[Any, Any]) -> Any:
    """An array as numbers or nested lists of them."""
    return array.tolist()


def difference(expected: Term, found: Term, path: str = "") -> tuple[str, str, str] | None:
    """The first place where terms differ, and what stands there in each; None if they are equal."""
    place = f"{path}{expected.op}"
    if expected.op != found.op or len(expected.args) != len(found.args) or expected.attributes != found.attributes:
        counts = len(expected.args), len(found.args)
        more = [f" of {n} arguments" if counts[0] != counts[1] and expected.op == found.op else "" for n in counts]
        return path.removesuffix(" ◀ ") or "the result", f"{expected}{more[0]}", f"{found}{more[1]}"
    for one, other in zip(expected.args, found.args, strict=True):
        if one is not other and (different := difference(one, other, f"{place} ◀ ")):
            return different
    return None
