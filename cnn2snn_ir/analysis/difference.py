"""What differs between two modules, op by op: added, removed, changed, and by how much.

Ops are joined by the name of their result.  One without a name is called after the named value that it leads to.
Annotations of ops are facts that any pass may drop, so they do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import AttrValue, Op, Tensor, Value
from cnn2snn_ir.text.printer import attribute


@dataclass(frozen=True)
class Change:
    """One op that is not the same in both modules."""

    kind: str
    """`added`, `removed` or `changed`."""
    name: str
    op_name: str
    details: tuple[str, ...] = ()
    """What changed, a sentence each."""


@dataclass(frozen=True)
class ModuleDifference:
    """All changes from one module to another, in order."""

    changes: tuple[Change, ...]
    same: int
    """How many ops are the same."""
    notes: tuple[str, ...]
    """Annotations of the module that differ: where it came from and how.  They are no changes."""


def difference(old: Module, new: Module) -> ModuleDifference:
    """Compare two modules."""
    before, after = Names(old), Names(new)
    changes: list[Change] = []
    same = 0
    for name, op in before.ops.items():
        other = after.ops.get(name)
        if other is None:
            changes.append(Change("removed", name, op.op_name))
        elif details := tuple(changed(op, other, before, after)):
            changes.append(Change("changed", name, other.op_name, details))
        else:
            same += 1
    changes += [Change("added", name, op.op_name) for name, op in after.ops.items() if name not in before.ops]
    return ModuleDifference(tuple(changes), same, tuple(notes(old, new)))


class Names:
    """A name for every op of a module and for every value."""

    def __init__(self, module: Module) -> None:
        self.values: dict[Value, str] = {}
        self.ops: dict[str, Op] = {}
        counts: Counter[str] = Counter()
        for op in [op for op in module.walk() if op is not module]:
            base = self.base(op)
            counts[base] += 1
            name = base if counts[base] == 1 else f"{base} {counts[base]}"
            self.ops[name] = op
            self.values.update((value, value.name or name) for value in op.results)

    def base(self, op: Op) -> str:
        """The name of an op, but for a number that tells it from its like."""
        named = next((value.name for value in op.results if value.name), None)
        if named is not None:
            return named
        goal = leads_to(op)
        return f"{op.op_name} for {goal}" if goal else op.op_name

    def operands(self, op: Op) -> list[str]:
        """What an op reads."""
        return [self.values.get(value, "?") for value in op.operands]


def leads_to(op: Op) -> str:
    """The first named value that is computed from an op, or that holds it."""
    while True:
        users = [user for value in op.results for user in value.users]
        holder = op.graph.owner if op.graph is not None else None
        following = users[0] if users and users[0].op_name != "builtin.return" else holder
        if following is None:
            return ""
        if name := next((value.name for value in following.results if value.name), None):
            return name
        op = following


# ---- two ops --------------------------------------------------------------------------------------------------------


def changed(old: Op, new: Op, before: Names, after: Names) -> Iterator[str]:
    """What differs between two ops of one name."""
    if old.op_name != new.op_name:
        yield f"op: {old.op_name} ▶ {new.op_name}"
    if before.operands(old) != after.operands(new):
        yield f"reads: {', '.join(before.operands(old))} ▶ {', '.join(after.operands(new))}"
    types = [", ".join(str(value.type) for value in op.results) for op in (old, new)]
    if types[0] != types[1]:
        yield f"result: {types[0]} ▶ {types[1]}"
    for name in dict.fromkeys([*old.attributes, *new.attributes]):
        mine, theirs = old.attributes.get(name), new.attributes.get(name)
        if mine != theirs or type(mine) is not type(theirs):
            yield f"{name}: {how(mine, theirs)}"


def how(old: AttrValue, new: AttrValue) -> str:
    """How one value became another; constants of one shape in numbers, if their bytes are here."""
    if not (isinstance(old, Tensor) and isinstance(new, Tensor)):
        return f"{attribute(old)} ▶ {attribute(new)}"
    if old.type != new.type:
        return f"{old.type} ▶ {new.type}"
    if old.digest == new.digest:
        return f"called {old.name} ▶ {new.name}, the same values"
    if old.is_opaque or new.is_opaque:
        return f"the hashes differ: {old.digest} ▶ {new.digest} (the dump does not hold the values)"
    return numbers(old, new)


def numbers(old: Tensor, new: Tensor) -> str:
    """How many elements differ, and how far."""
    mine, theirs = old.array.reshape(-1), new.array.reshape(-1)
    differs = mine != theirs
    if not differs.any():
        return "the same numbers in other bits"  # -0.0 is 0.0
    steps = np.abs(theirs[differs].astype(np.float64) - mine[differs].astype(np.float64))
    first = int(np.argmax(differs))
    at = [int(i) for i in np.unravel_index(first, old.array.shape)]
    return (
        f"{int(differs.sum()):,} of {mine.size:,} values differ, by at most {steps.max():g}; "
        f"the first at {at}: {mine[first]} ▶ {theirs[first]}"
    )


def notes(old: Module, new: Module) -> Iterator[str]:
    """Annotations of the modules that differ."""
    mine, theirs = dict(old.annotations, name=old.sym_name), dict(new.annotations, name=new.sym_name)
    for key in dict.fromkeys([*mine, *theirs]):
        if mine.get(key) != theirs.get(key):
            yield f"{key}: {attribute(mine.get(key))} ▶ {attribute(theirs.get(key))}"
