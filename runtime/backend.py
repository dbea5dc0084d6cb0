"""What the engine asks of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.step import Call, Step
from cnn2snn_ir.runtime.storage import Array, Buffer, Layout

Count = Callable[[Array, Array], None]
"""Counts the elements of bound maps that are not zero, of as many samples as there are rows of its first array.

Sets `rows` int32 [samples, height] and adds to `channels` int64 [channels], both with one map behind the other.
"""


@dataclass(frozen=True, eq=False)
class Program:
    """What is known about a module when its steps are chosen."""

    ranges: Mapping[Value, Range]
    layers: Mapping[Op, tuple[Layer, ...]]
    """The prepared layers of an op."""
    layouts: Mapping[Value, Layout]


class Backend(Protocol):
    """Chooses number types and kernels."""

    name: str
    chunk_bytes: int
    """Memory of one chunk's largest layer, input and result: what its kernels like to work on."""

    def carrier(self, range: Range) -> np.dtype[Any]:
        """The type in which integers of this range are stored; holds every one of them exactly."""
        ...

    def steps(self, op: Op, program: Program) -> tuple[Step, ...]:
        """The fast steps that compute `op` together, or none if a shared one must do."""
        ...

    def border(self, buffer: Buffer) -> Call:
        """The call that writes the border of a map."""
        ...

    def link(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """The bound steps of a program in order, as few calls as possible."""
        ...

    def counting(self, maps: Sequence[Buffer], heights: Sequence[int], channels: Sequence[int]) -> Count:
        """Bind the memory of several maps, of so many rows and channels each."""
        ...
