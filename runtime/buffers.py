"""The memory of a chunk in flight: as few buffers as the values that live at once need.

Values take turns in any memory that is free.  A border is written when its memory is made, and again only where a
value of another kind had the memory before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.runtime.storage import NO_BORDER, Array, Buffer, Layout, memory_for

Kind = tuple[object, ...] | None
"""Values of one kind leave each other's border as it is; None is that of all without one."""


def kind(layout: Layout) -> Kind:
    """The kind of a value's memory."""
    if layout.border == NO_BORDER:
        return None
    return layout.shape, layout.dtype, layout.border, layout.fill.tobytes()


def shared(
    given: Iterable[Value], ops: Iterable[Op], layouts: Mapping[Value, Layout], kept: Collection[Value]
) -> dict[Value, int]:
    """The number of every value's buffer, when `ops` run in order and the values of `kept` must outlive all.

    `given` are there from the beginning.  A value gives its buffer back when its last reader has run.
    """
    ops = list(ops)
    last = {value: index for index, op in enumerate(ops) for value in (*op.results, *op.operands)}
    free: list[int] = []
    numbers: dict[Value, int] = {}
    sizes: list[int] = []
    kinds: list[Kind] = []

    def take(value: Value) -> None:
        mine, size = kind(layouts[value]), layouts[value].sample_bytes
        if not free:
            free.append(len(sizes))
            sizes.append(size)
            kinds.append(mine)
        best = min(free, key=lambda n: (max(0, size - sizes[n]), kinds[n] != mine, sizes[n]))
        free.remove(best)
        sizes[best], kinds[best] = max(sizes[best], size), mine
        numbers[value] = best

    for value in given:
        take(value)
    for index, op in enumerate(ops):
        for value in op.results:
            take(value)
        for value in dict.fromkeys((*op.operands, *op.results)):
            if last[value] == index and value not in kept:
                free.append(numbers[value])
    return numbers


def spoiled(numbers: Mapping[Value, int], layouts: Mapping[Value, Layout]) -> set[Value]:
    """The values whose border must be written in every run: one of another kind had their buffer before them.

    `numbers` are in the order in which values take their buffers.  An earlier run may have had fewer samples, so that
    its last value did not write the border of all: the first one relies on it only if the buffer never changes kind.
    """
    occupants: dict[int, list[Value]] = {}
    for value, number in numbers.items():
        occupants.setdefault(number, []).append(value)
    found: set[Value] = set()
    for values in occupants.values():
        kinds = [kind(layouts[value]) for value in values]
        if len(set(kinds)) > 1:
            found.add(values[0])
            found.update(
                value for value, (before, mine) in zip(values[1:], pairwise(kinds), strict=True) if before != mine
            )
    return {value for value in found if layouts[value].border != NO_BORDER}


@dataclass(eq=False)
class Buffers:
    """The memory of every value for up to `samples` samples, and what steps need besides while they run."""

    values: Mapping[Value, Buffer]
    samples: int
    _memory: tuple[Array, ...]
    _free: list[Array] = field(default_factory=list)
    _taken: list[Array] = field(default_factory=list)

    @classmethod
    def allocate(cls, layouts: Mapping[Value, Layout], numbers: Mapping[Value, int], samples: int) -> Buffers:
        """One buffer for each number."""
        most: dict[int, int] = {}
        for value, number in numbers.items():
            most[number] = max(most.get(number, 0), layouts[value].bytes_for(samples))
        memory = {number: memory_for(size) for number, size in most.items()}
        values = {value: layouts[value].on(memory[number], samples) for value, number in numbers.items()}
        return cls(values, samples, tuple(memory.values()))

    def __getitem__(self, value: Value) -> Buffer:
        """The buffer of a value."""
        return self.values[value]

    @property
    def nbytes(self) -> int:
        """Bytes of everything."""
        return sum(memory.nbytes for memory in (*self._memory, *self._free, *self._taken))

    def scratch(self, layout: Layout) -> Buffer:
        """Memory for the step that is being bound, which the next ones overwrite."""
        size = layout.bytes_for(self.samples)
        fitting = [memory for memory in self._free if memory.nbytes >= size]
        memory = min(fitting, key=lambda memory: memory.nbytes, default=None)
        if memory is None:
            memory = memory_for(size)
        else:
            self._free = [other for other in self._free if other is not memory]
        self._taken.append(memory)
        return layout.on(memory, self.samples)

    def bound(self) -> None:
        """The step is bound: its scratch memory may serve the next."""
        self._free += self._taken
        self._taken.clear()
