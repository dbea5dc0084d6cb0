"""The result of mapping: sequences of passes of placed layers, as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cnn2snn_ir.backends.mapping.work import Work
from cnn2snn_ir.device import Device
from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.npu import Place, Unit
from cnn2snn_ir.ir import Op, Value

Span = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """What one unit does for one layer: rows `[first, last)` of the input, `halo` rows beside them, and filters."""

    np: int
    rows: Span
    halo: Span
    filters: Span
    weight_bytes: int
    input_bytes: int

    @property
    def reach(self) -> Span:
        """The rows that it needs, halo included."""
        return self.rows[0] - self.halo[0], self.rows[1] + self.halo[1]

    @property
    def filter_count(self) -> int:
        """Its filters."""
        return self.filters[1] - self.filters[0]


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """A layer and the units that work on it."""

    work: Work
    unit: Unit
    parts: tuple[Part, ...]
    why: tuple[str, ...]
    """What each division is for, in words."""

    @cached_property
    def nps(self) -> int:
        """NPs that it uses; the input engine is none."""
        return 0 if self.unit in (Unit.HRC, Unit.DMA) else len(self.parts)

    @cached_property
    def held_bytes(self) -> int:
        """Weights in the NPs, copies included; those of a dense layer in external memory are not in an NP."""
        return 0 if self.unit is Unit.FNP2 else sum(part.weight_bytes for part in self.parts)


@dataclass(frozen=True, eq=False)
class PassPlan:
    """Layers that are in the NPs at the same time."""

    index: int
    layers: tuple[PlacedLayer, ...]
    spilled: tuple[Value, ...]
    """Values from earlier passes that it reads."""

    @cached_property
    def nps(self) -> int:
        """NPs in use."""
        return sum(layer.nps for layer in self.layers)

    @cached_property
    def held_bytes(self) -> int:
        """Weights in the NPs, copies included."""
        return sum(layer.held_bytes for layer in self.layers)

    @cached_property
    def spill_bytes(self) -> int:
        """What it reads from external memory, packed."""
        return sum(packed_bytes(value) for value in self.spilled)


@dataclass(frozen=True, eq=False)
class SequencePlan:
    """Consecutive ops in one place."""

    name: str
    place: Place
    ops: tuple[Op, ...]
    passes: tuple[PassPlan, ...]
    """Empty for the host."""


@dataclass(frozen=True, eq=False)
class Mapping:
    """A program on a device."""

    module: Module
    device: Device
    mode: str
    sequences: tuple[SequencePlan, ...]
    skips: tuple[Value, ...]
    """Values that a layer reads that is not the next one."""
    refusals: tuple[Diagnostic, ...] = ()
    """Why layers of the host are not on the chip."""

    @cached_property
    def passes(self) -> tuple[PassPlan, ...]:
        """The passes of all sequences, in order."""
        return tuple(p for sequence in self.sequences for p in sequence.passes)

    @cached_property
    def layers(self) -> tuple[PlacedLayer, ...]:
        """The layers on the chip, in order."""
        return tuple(layer for p in self.passes for layer in p.layers)

    @cached_property
    def nps(self) -> int:
        """NPs of all passes together, as the vendor's tables count them, without the input engine."""
        return sum(p.nps for p in self.passes)

    @cached_property
    def input_engine(self) -> bool:
        """Whether the input engine is in use."""
        return any(layer.unit is Unit.HRC for layer in self.layers)

    @cached_property
    def external_bytes(self) -> int:
        """Weights that stay in external memory."""
        return sum(layer.work.weight_bytes(layer.work.filters) for layer in self.layers if layer.unit is Unit.FNP2)

    @cached_property
    def program_bytes(self) -> int:
        """What the NPs, the input engine and external memory hold, all passes together."""
        return sum(p.held_bytes for p in self.passes) + self.external_bytes

    @property
    def host_ops(self) -> tuple[Op, ...]:
        """What the host computes."""
        return tuple(op for s in self.sequences if s.place is Place.HOST for op in s.ops)

    def __str__(self) -> str:
        engine = " and the input engine" if self.input_engine else ""
        return (
            f"{self.module.sym_name} on {self.device.name}, {self.mode}: {self.nps} NPs{engine}, {len(self.passes)} "
            f"pass{'es' if len(self.passes) != 1 else ''}, {len(self.sequences)} "
            f"sequence{'s' if len(self.sequences) != 1 else ''}"
        )


def packed_bytes(value: Value) -> int:
    """One sample of a value, packed."""
    size = 1
    for dimension in value.type.per_sample:
        size *= dimension
    return -(-size * value.type.element.bits // 8)
