"""The memory of a chunk in flight: as few buffers as the values that live at once need.

Values whose layouts are alike take turns in one buffer, and values without a border in any memory that is large
enough.  A border is written once, when its buffer is made, so only an equal one may follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.runtime.storage import NO_BORDER, Array, Buffer, Layout, memory_for

Kind = tuple[object, ...] | None
"""Values of one kind can share a buffer; None is that of all without a border."""


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
    free: dict[Kind, list[int]] = {}
    numbers: dict[Value, int] = {}
    sizes: list[int] = []

    def take(value: Value) -> None:
        waiting, size = free.setdefault(kind(layouts[value]), []), layouts[value].sample_bytes
        if waiting:
            best = min(waiting, key=lambda number: abs(sizes[number] - size))
            waiting.remove(best)
            sizes[best] = max(sizes[best], size)
        else:
            best = len(sizes)
            sizes.append(size)
        numbers[value] = best

    for value in given:
        take(value)
    for index, op in enumerate(ops):
        for value in op.results:
            take(value)
        for value in dict.fromkeys((*op.operands, *op.results)):
            if last[value] == index and value not in kept:
                free[kind(layouts[value])].append(numbers[value])
    return numbers


@dataclass(eq=False)
class Buffers:
    """The memory of every value for up to `samples` samples, and what steps need besides while they run."""

    values: Mapping[Value, Buffer]
    samples: int
    _free: list[Array] = field(default_factory=list)
    _taken: list[Array] = field(default_factory=list)

    @classmethod
    def allocate(cls, layouts: Mapping[Value, Layout], numbers: Mapping[Value, int], samples: int) -> Buffers:
        """One buffer for each number."""
        most: dict[int, int] = {}
        for value, number in numbers.items():
            most[number] = max(most.get(number, 0), layouts[value].bytes_for(samples))
        memory = {number: memory_for(size) for number, size in most.items()}
        first: dict[int, Buffer] = {}
        values = {}
        for value, number in numbers.items():
            layout = layouts[value]
            if layout.border == NO_BORDER:
                values[value] = layout.on(memory[number], samples)
            else:
                values[value] = first.setdefault(number, layout.on(memory[number], samples))
        return cls(values, samples)

    def __getitem__(self, value: Value) -> Buffer:
        """The buffer of a value."""
        return self.values[value]

    @property
    def nbytes(self) -> int:
        """Bytes of everything."""
        kept = {buffer.flat.ctypes.data: buffer.flat.nbytes for buffer in self.values.values()}
        return sum(kept.values()) + sum(memory.nbytes for memory in (*self._free, *self._taken))

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
