"""Events: what an event-driven layer has to work on, the elements of its input that are not zero.

outputs, events = count_events(model, samples)
events["conv2d_1"].density

They are counted while the network runs, chunk by chunk, so no activation is kept.  By rows, because layers are split
among NPs by rows of their input; by channels, to see which are worth their while.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.ir.names import NameAuthority
from cnn2snn_ir.reference.interpreter import Memory
from cnn2snn_ir.runtime.backend import Count
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.given import Inputs
from cnn2snn_ir.runtime.observer import Chunk
from cnn2snn_ir.runtime.storage import Array

if TYPE_CHECKING:
    from cnn2snn_ir.runtime.model import Model


@dataclass(frozen=True, eq=False)
class MapEvents:
    """The events of one value over the frames of a run; a frame is one sample."""

    rows: Array
    """int32 [frames, height]."""
    channels: Array
    """int64 [channels], of all frames together."""
    shape: tuple[int, int, int]
    """Height, width, channels.  The frames of a FIFO count as channels, as they do in the kernel that reads them."""

    @property
    def frames(self) -> int:
        """How many there were."""
        return len(self.rows)

    @property
    def size(self) -> int:
        """Elements of a frame."""
        return math.prod(self.shape)

    @property
    def total(self) -> Array:
        """Events of each frame, int64 [frames]."""
        return self.band(0, self.shape[0])

    def band(self, first: int, last: int) -> Array:
        """Events of each frame in the rows `[first, last)`, int64 [frames]."""
        found: Array = self.rows[:, first:last].sum(axis=1, dtype=np.int64)
        return found

    @property
    def mean(self) -> float:
        """Events of a frame; 0 of none."""
        return float(self.total.mean()) if self.frames else 0.0

    @property
    def density(self) -> float:
        """The fraction of all elements that are events; 0 of none."""
        return self.mean / self.size

    def histogram(self, bins: int = 20) -> tuple[int, ...]:
        """Rows of all frames by the fraction of the row that is not zero: `bins` equal bins over 0 to 1.

        A bin holds its lower end, the last one both.
        """
        length = self.shape[1] * self.shape[2]
        found = np.minimum(self.rows.astype(np.int64) * bins // length, bins - 1)
        return tuple(np.bincount(found.reshape(-1), minlength=bins).tolist())


class EventCounts(Mapping[str, MapEvents]):
    """The events of the maps of a program, by name of the value, in its order.

    These are the integers that hardware layers read, and those that they hand to the host.  A value without a name
    goes by its layer and the kind of hardware layer; any is found by itself with `of`.
    """

    def __init__(self, names: Iterable[str], maps: Mapping[Value, MapEvents]) -> None:
        self._maps = maps
        self._by_name = dict(zip(names, maps.values(), strict=True))

    def of(self, value: Value) -> MapEvents:
        """The events of a value of the program."""
        return self._maps[value]

    def __getitem__(self, name: str) -> MapEvents:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


class Counted:
    """What is counted in the runs of an engine: the maps, where their counts lie, and what counts in which memory."""

    _of: WeakKeyDictionary[Engine, Counted] = WeakKeyDictionary()

    def __init__(self, engine: Engine) -> None:
        self.shapes = {value: as_map(value) for value in counted(engine.source)}
        self.names = list(names_of(self.shapes))
        self.heights = [height for height, _, _ in self.shapes.values()]
        self.channels = [channels for _, _, channels in self.shapes.values()]
        self._backend = engine.backend
        self._bound: dict[int, tuple[Count, Chunk]] = {}

    @classmethod
    def of(cls, engine: Engine) -> Counted:
        """Worked out at the first run that is counted."""
        return cls._of.get(engine) or cls._of.setdefault(engine, cls(engine))

    def count(self, chunk: Chunk) -> Count:
        """What counts in the memory of `chunk`, which many chunks use one after the other."""
        key = id(chunk.buffers)
        if key not in self._bound:
            maps = [chunk.buffer(value) for value in self.shapes]
            count = self._backend.counting(maps, self.heights, self.channels)
            self._bound[key] = count, chunk  # while that lives, no other memory has its id
        return self._bound[key][0]

    def counts(self, rows: Array, totals: Array) -> EventCounts:
        """The counts, which lie one map behind the other."""
        maps, row, channel = {}, 0, 0
        for value, shape in self.shapes.items():
            last_row, last_channel = row + shape[0], channel + shape[2]
            maps[value] = MapEvents(rows[:, row:last_row], totals[channel:last_channel], shape)
            row, channel = last_row, last_channel
        return EventCounts(self.names, maps)


class EventCounter:
    """An `Observer` that counts the events of the runs of `engine`, one run after the other.

    The frames of a later run, the next step of a stream say, follow those of the ones before.
    """

    def __init__(self, engine: Engine) -> None:
        self._counted = Counted.of(engine)
        self._rows: list[Array] = []
        self._totals = np.zeros(sum(self._counted.channels), np.int64)
        self._lock = threading.Lock()

    def begin(self, samples: int) -> None:
        """See `Observer`."""
        self._rows.append(np.zeros((samples, sum(self._counted.heights)), np.int32))

    def __call__(self, chunk: Chunk) -> None:
        """See `Observer`.  Frames are each chunk's own; channels are shared."""
        totals = np.zeros_like(self._totals)
        self._counted.count(chunk)(self._rows[-1][chunk.start : chunk.end], totals)
        with self._lock:
            self._totals += totals

    @property
    def counts(self) -> EventCounts:
        """What was counted so far."""
        nothing = np.zeros((0, sum(self._counted.heights)), np.int32)
        rows = self._rows[0] if len(self._rows) == 1 else np.concatenate([nothing, *self._rows])
        return self._counted.counts(rows, self._totals.copy())


def count_events(
    program: Model | Engine, x: Inputs, batch_size: int | None = None, memory: Memory | None = None
) -> tuple[tuple[Array, ...], EventCounts]:
    """Run a program on samples and count the events of every map; the outputs are those of `Engine.run`.

    A program that remembers takes the batch as so many streams, as `Engine.run_values` does: without `memory` they
    begin with zeros, and a model's own streams are left alone.
    """
    engine = program if isinstance(program, Engine) else program.engine
    counter = EventCounter(engine)
    outputs = engine.run_values(x, engine.source.outputs, batch_size, memory, counter)
    return outputs, counter.counts


def counted(program: builtin.Module) -> tuple[Value, ...]:
    """The integers that hardware layers read, and those of their results that go to the host, in order."""
    operands = (value for op in program.body if on_hardware(op) for value in op.operands)
    results = (
        value
        for op in program.body
        if on_hardware(op)
        for value in op.results
        if not all(on_hardware(user) or isinstance(user, builtin.Store) for user in value.users)
    )
    wanted = {value for value in (*operands, *results) if not value.type.element.is_float}
    return tuple(value for op in program.body for value in op.results if value in wanted)


def on_hardware(op: Op) -> bool:
    """True for a layer of the chip."""
    return op.op_name.startswith(("akida1.", "akida2."))


def as_map(value: Value) -> tuple[int, int, int]:
    """Height, width and channels of a value: vectors have height and width 1, the frames of a FIFO are channels."""
    height, width, *channels = (*(1,) * (3 - len(value.type.per_sample)), *value.type.per_sample)
    return height, width, math.prod(channels)


def names_of(values: Iterable[Value]) -> Iterator[str]:
    """A name for each value, unique: its own, or that of its layer with the kind of hardware layer."""
    values, names = list(values), NameAuthority()
    for value in values:
        if value.name is not None:
            names.claim(value.name)
    for value in values:
        kind = value.owner.op_name.rpartition(".")[2]
        layer = value.owner.annotations.get("layer")
        yield value.name or names.claim(f"{layer} ({kind})" if layer else kind)
