"""SSA values and their uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cnn2snn_ir.ir.types import TensorType

if TYPE_CHECKING:
    from cnn2snn_ir.ir.op import Op


class Use(NamedTuple):
    """Operand number `position` of `op`."""

    op: Op
    position: int


class Value:
    """A result of an op.

    `uses` keeps insertion order (never a `set`: its order would leak into the output), adds and removes in
    constant time, and changes only through `Op.set_operand` and friends, so both directions always agree.
    """

    __slots__ = ("_name", "_uses", "index", "owner", "type")

    def __init__(self, type: TensorType, owner: Op, index: int, name: str | None = None) -> None:
        self.type = type
        self.owner = owner
        self.index = index
        self._name = name
        self._uses: dict[Use, None] = {}

    @property
    def name(self) -> str | None:
        """The name printed after `%`, unique in the module; `None` is printed as a number."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        names = self.owner.names()
        if names is None:
            self._name = name
            return
        if self._name is not None:
            names.release(self._name)
        self._name = names.claim(name) if name is not None else None

    @property
    def uses(self) -> tuple[Use, ...]:
        """A snapshot of the uses, safe to walk while they change."""
        return tuple(self._uses)

    @property
    def users(self) -> tuple[Op, ...]:
        """The ops that use this value, each once, in order of first use."""
        return tuple(dict.fromkeys(use.op for use in self._uses))

    @property
    def has_one_use(self) -> bool:
        """True if exactly one operand is this value."""
        return len(self._uses) == 1

    def replace_all_uses_with(self, other: Value) -> None:
        """Make every user of this value use `other`; uses that are `other`'s own operands included."""
        if other is not self:
            for use in self.uses:
                use.op.set_operand(use.position, other)

    def replace_uses_where(self, other: Value, condition: Callable[[Use], bool]) -> None:
        """Like `replace_all_uses_with`, for the uses that meet `condition`."""
        if other is not self:
            for use in self.uses:
                if condition(use):
                    use.op.set_operand(use.position, other)

    def __repr__(self) -> str:
        return f"%{self._name or '?'} : {self.type}"
