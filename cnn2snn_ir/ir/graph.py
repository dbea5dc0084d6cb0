"""Graphs: ordered lists of ops that can be edited while they are walked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cnn2snn_ir.ir.names import NameAuthority

if TYPE_CHECKING:
    from cnn2snn_ir.ir.op import Op
    from cnn2snn_ir.ir.values import Value


class Graph:
    """A single-block dataflow graph: ops in an order in which definitions precede uses.

    A doubly linked list: inserting and removing take constant time, and a walk goes on correctly when the op
    just visited is removed or when ops are inserted after it.
    """

    def __init__(self, ops: Iterable[Op] = ()) -> None:
        self.owner: Op | None = None
        self._names: NameAuthority | None = None
        self._first: Op | None = None
        self._last: Op | None = None
        self._count = 0
        for op in ops:
            self.append(op)

    # ---- reading --------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Op]:
        op = self._first
        while op is not None:
            if op.graph is self:
                yield op
            op = op._next  # a removed op still points forward

    def __reversed__(self) -> Iterator[Op]:
        op = self._last
        while op is not None:
            if op.graph is self:
                yield op
            op = op._previous

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> Op | None:
        """The first op."""
        return self._first

    @property
    def last(self) -> Op | None:
        """The last op: the terminator, in a complete graph."""
        return self._last

    def names(self) -> NameAuthority:
        """The name authority, shared by all graphs of a module."""
        if self.owner is not None and self.owner.graph is not None:
            return self.owner.graph.names()
        if self._names is None:
            self._names = NameAuthority()
        return self._names

    def walk(self) -> Iterator[Op]:
        """All ops, with those of nested regions."""
        for op in self:
            yield from op.walk()

    # ---- editing --------------------------------------------------------------------------------------------

    def append(self, op: Op) -> Op:
        """Put `op` last."""
        return self._link(op, self._last, None)

    def insert_before(self, anchor: Op, op: Op) -> Op:
        """Put `op` before `anchor`."""
        self._check_member(anchor)
        return self._link(op, anchor._previous, anchor)

    def insert_after(self, anchor: Op, op: Op) -> Op:
        """Put `op` after `anchor`."""
        self._check_member(anchor)
        return self._link(op, anchor, anchor._next)

    def remove(self, op: Op) -> Op:
        """Take `op` out without erasing it; it keeps its operands and may be inserted elsewhere."""
        self._check_member(op)
        before, after = op._previous, op._next
        if before is None:
            self._first = after
        else:
            before._next = after
        if after is None:
            self._last = before
        else:
            after._previous = before
        self._count -= 1
        names = self.names()
        for inner in op.walk():
            for value in inner.results:
                if value._name is not None:
                    names.release(value._name)
        op.graph = None
        return op

    def clear(self) -> None:
        """Erase every op, last first."""
        for op in reversed(self):
            op.erase()

    def adopt(self, owner: Op) -> None:
        """Become a region of `owner`."""
        if self.owner is not None:
            raise ValueError("a graph belongs to one op")
        self.owner = owner

    def clone(self, mapping: dict[Value, Value]) -> Graph:
        """A detached copy; see `Op.clone`."""
        return Graph(op.clone(mapping) for op in self)

    def _check_member(self, op: Op) -> None:
        if op.graph is not self:
            raise ValueError(f"{op.op_name} is not in this graph")

    def _link(self, op: Op, before: Op | None, after: Op | None) -> Op:
        if op.graph is not None:
            raise ValueError(f"{op.op_name} is already in a graph")
        op.graph, op._previous, op._next = self, before, after
        if before is None:
            self._first = op
        else:
            before._next = op
        if after is None:
            self._last = op
        else:
            after._previous = op
        self._count += 1
        names = self.names()
        for inner in op.walk():
            for value in inner.results:
                if value._name is not None:
                    value._name = names.claim(value._name)
        return op
