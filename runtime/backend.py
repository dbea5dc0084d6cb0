"""What the engine asks of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.step import Call, Step


@dataclass(frozen=True, eq=False)
class Program:
    """What is known about a module when its steps are chosen: proven ranges, and the prepared layers of an op."""

    ranges: Mapping[Value, Range]
    layers: Mapping[Op, tuple[Layer, ...]]


class Backend(Protocol):
    """Chooses number types and kernels."""

    name: str

    def carrier(self, range: Range) -> np.dtype[Any]:
        """The type in which integers of this range are stored; holds every one of them exactly."""
        ...

    def steps(self, op: Op, program: Program) -> tuple[Step, ...]:
        """The fast steps that compute `op` together, or none if a shared one must do."""
        ...

    def link(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """The bound steps of a program in order, as few calls as possible."""
        ...
