"""How to look at the values of a run while it runs, without keeping them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cnn2snn_ir.ir import Value
from cnn2snn_ir.runtime.storage import Buffer


@dataclass(frozen=True, eq=False)
class Chunk:
    """Samples `[start, end)` of a run, and every value of the module for them.

    The memory is the engine's: when the observer has returned, the next chunk overwrites it.
    """

    start: int
    end: int
    buffers: Mapping[Value, Buffer]
    twins: Mapping[Value, Value]
    """Values of the module as it was given ▶ those that have buffers, where they are others."""

    def buffer(self, value: Value) -> Buffer:
        """The memory of a value; its first `end - start` samples are the chunk's."""
        return self.buffers[self.twins.get(value, value)]


class Observer(Protocol):
    """What `Engine.run_values` shows its values to."""

    def begin(self, samples: int) -> None:
        """A run of so many samples begins."""
        ...

    def __call__(self, chunk: Chunk) -> None:
        """All values of a chunk are computed: look, and keep no reference.

        Calls come from several threads at once, in any order; the chunks of a run hold each sample once.
        """
        ...
