"""Rewriting: rules that match one op, and a driver that applies them until none fires.

    @rule(qnn.Shift, "shift(x, 0) = x")
    def drop_zero_shift(op: qnn.Shift, rewriter: Rewriter) -> bool: ...

A rule either leaves everything as it is and returns False, or edits through the `Rewriter` and returns True.
New ops get the fused location of the ops they replace, and keep name and annotations of the result they
stand for, so provenance cannot be forgotten.  A rule whose rewrite legality needs says why it did not fire
with `Rewriter.why_not`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnn2snn_ir.ir.graph import Graph
from cnn2snn_ir.ir.location import Unknown, fuse
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.values import Value

Apply = Callable[[Any, "Rewriter"], bool]

STEPS_PER_OP = 64
"""More rule applications than this for each op of the graph mean that rules undo each other."""


class Rule(NamedTuple):
    """A rewrite of ops of the classes `roots`, with its algebra in a sentence."""

    name: str
    roots: tuple[type[Op], ...]
    algebra: str
    apply: Apply


def rule(roots: type[Op] | tuple[type[Op], ...], algebra: str) -> Callable[[Apply], Rule]:
    """Make a rule of the decorated function; its name is the function's."""

    def make(function: Apply) -> Rule:
        classes = roots if isinstance(roots, tuple) else (roots,)
        return Rule(function.__name__.replace("_", "-"), classes, algebra, function)

    return make


@dataclass
class Rewriter:
    """The hands of a rule: edits that keep uses, names and locations right and remember what they touched."""

    touched: list[Op] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    missed: dict[tuple[str, Op], str] = field(default_factory=dict)
    current: str = ""

    def insert_before(self, anchor: Op, op: Op) -> Op:
        """Insert a new op; it takes the anchor's location unless it has its own."""
        assert anchor.graph is not None
        if isinstance(op.loc, Unknown):
            op.loc = anchor.loc
        anchor.graph.insert_before(anchor, op)
        self.touched.append(op)
        return op

    def replace(self, op: Op, new: Op, *also: Op) -> Op:
        """Put `new` in the place of `op`; `also` are ops whose work `new` does too and that may die now."""
        new.loc = fuse(*(other.loc for other in (*also, op)))
        assert op.graph is not None
        op.graph.insert_before(op, new)
        self.touched.append(new)
        self.replace_with(op, *new.results)
        for other in also:
            self.erase_if_unused(other)
        return new

    def replace_with(self, op: Op, *values: Value) -> None:
        """Let every user of `op` use `values` instead, and erase it.

        The name and annotations go along, to a value that has none of its own.
        """
        for old, new in zip(op.results, values, strict=True):
            self.touched.extend(old.users)
            old.replace_all_uses_with(new)
            name = old.name
            if name is not None and new.name is None:
                old.name = None
                new.name = name
                for key, value in op.annotations.items():
                    new.owner.annotations.setdefault(key, value)
        self.erase(op)

    def erase(self, op: Op) -> None:
        """Erase an unused op; what it used may be dead now."""
        self.touched.extend(v.owner for v in op.operands)
        op.erase()

    def erase_if_unused(self, op: Op) -> None:
        """Erase an op if it is in a graph and nothing uses it."""
        if op.graph is not None and op.pure and op.is_unused:
            self.erase(op)

    def changed(self, op: Op) -> None:
        """Say that `op` was edited in place."""
        self.touched.append(op)
        for result in op.results:
            self.touched.extend(result.users)

    def why_not(self, op: Op, reason: str) -> bool:
        """Record why the current rule did not fire on `op`; returns False."""
        self.missed[self.current, op] = reason
        return False


def rewrite(graph: Graph, rules: Iterable[Rule], rewriter: Rewriter | None = None) -> bool:
    """Apply `rules` to every op of `graph` (not of its regions) until none fires; True if anything changed.

    Unused pure ops are erased on the way.  Raises RuntimeError, naming the rules, if they do not come to rest, or if
    one fires without an edit.
    """
    rewriter = rewriter or Rewriter()
    by_root: dict[type[Op], list[Rule]] = {}
    for item in rules:
        for root in item.roots:
            by_root.setdefault(root, []).append(item)
    worklist: dict[Op, None] = dict.fromkeys(reversed(list(graph)))
    budget = STEPS_PER_OP * (len(graph) + 16)
    recent: list[str] = []
    changed = False
    while worklist:
        op, _ = worklist.popitem()
        if op.graph is not graph:
            continue
        if op.pure and op.is_unused:
            rewriter.erase(op)
            fired: Rule | None = None
            changed = True
        else:
            fired = apply_first(op, by_root.get(type(op), ()), rewriter)
        if fired is not None:
            if not rewriter.touched:
                raise RuntimeError(f"the rule {fired.name} says that it fired and touched nothing")
            changed = True
            recent = [*recent[-7:], fired.name]
            budget -= 1
            if budget < 0:
                raise RuntimeError(f"rules do not come to rest: {', '.join(dict.fromkeys(recent))}")
        for other in rewriter.touched:
            if other.graph is graph:
                worklist.pop(other, None)
                worklist[other] = None
        rewriter.touched.clear()
    return changed


def apply_first(op: Op, rules: Iterable[Rule], rewriter: Rewriter) -> Rule | None:
    """The first rule that fires on `op`."""
    for item in rules:
        rewriter.current = item.name
        if item.apply(op, rewriter):
            rewriter.hits[item.name] = rewriter.hits.get(item.name, 0) + 1
            rewriter.missed.pop((item.name, op), None)
            return item
    return None
