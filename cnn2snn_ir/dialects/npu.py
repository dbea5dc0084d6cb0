"""`npu`: where the layers of a program run: sequences, passes, and what each neural processor does.

    %hw_0 = npu.sequence {sym_name = "hw_0", unit = hardware, device = "AKD1500", mode = minimal} {
      %pass_0 = npu.pass {index = 0, nps = 5, reload_bytes = 11368} {
        %conv = akida1.input_convolutional %input, …
        npu.assign %conv {unit = hrc, …}
        …
        builtin.return %fc
      }
      builtin.return %pass_0
    }

A sequence is consecutive layers in one place, on the chip or on the host.  The layers of a pass are in the NPs at the
same time.  Layers read values of the graphs around them; what later passes read, a pass returns.  The meaning of a
placed program is that of its layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.builtin import Return, missing_return
from cnn2snn_ir.dialects.qnn import fault
from cnn2snn_ir.ir import Graph, Op, TensorType, Value, attr, operand, region


class Place(StrEnum):
    """Where a sequence runs."""

    HARDWARE = "hardware"
    HOST = "host"


class Unit(StrEnum):
    """What a layer runs on: the input engine, a convolutional NP, or a dense NP with its weights outside or inside."""

    HRC = "hrc"
    CNP = "cnp"
    FNP2 = "fnp2"
    FNP3 = "fnp3"
    DMA = "dma"


def returned(body: Graph) -> tuple[TensorType, ...]:
    """The types of what a graph returns; raises ValueError if it does not."""
    if not isinstance(body.last, Return):
        raise ValueError("needs a graph that ends in builtin.return")
    return tuple(value.type for value in body.last.operands)


class Sequence(Op, name="npu.sequence", results=None, pure=False):
    """Consecutive layers in one place; on the chip, passes."""

    sym_name: str = attr("Name of the sequence.")
    unit: Place = attr("Where it runs.")
    device: str = attr("Name of the device; empty for the host.")
    mode: str = attr("How layers were divided: minimal, all-nps or hw-pr; empty for the host.")
    body: Graph = region("The passes, or the layers of the host.")

    def infer(self) -> tuple[TensorType, ...]:
        return returned(self.body)

    def verify(self) -> Iterator[Diagnostic]:
        yield from missing_return(self, self.body)
        for op in self.body:
            if self.unit is Place.HARDWARE and not isinstance(op, Pass | Return):
                yield from fault(self, f"runs on the chip, so it holds passes, found {op.op_name}")


class Pass(Op, name="npu.pass", results=None, pure=False):
    """Layers that are in the NPs at the same time."""

    index: int = attr("Place among the passes of the sequence.", minimum=0)
    nps: int = attr("NPs that it uses.", minimum=0)
    reload_bytes: int = attr("Weights that the NPs hold for it, copies included.", minimum=0)
    spill_bytes: int = attr("Activations that it reads from external memory.", minimum=0)
    body: Graph = region("The layers, each with its assignments.")

    def infer(self) -> tuple[TensorType, ...]:
        return returned(self.body)

    def verify(self) -> Iterator[Diagnostic]:
        yield from missing_return(self, self.body)
        assigned = [op for op in self.body if isinstance(op, Assign)]
        busy = Counter(op.np for op in assigned if op.unit not in (Unit.HRC, Unit.DMA))
        for number in sorted(number for number, count in busy.items() if count > 1):
            yield from fault(self, f"gives NP {number} more than one layer")
        if len(busy) != self.nps:
            yield from fault(self, f"says {self.nps} NPs, found {len(busy)}")
        by_layer: dict[Value, list[Assign]] = {}
        for op in assigned:
            by_layer.setdefault(op.layer, []).append(op)
        for parts in by_layer.values():
            yield from self._covered(parts)

    def _covered(self, parts: list[Assign]) -> Iterator[Diagnostic]:
        """The parts of a layer divide its rows and its filters, each place once."""
        rows, filters = (sorted({getattr(part, name) for part in parts}) for name in ("rows", "filters"))
        whole = all(spans[0][0] == 0 and all(a[1] == b[0] for a, b in pairwise(spans)) for spans in (rows, filters))
        tiles = {(part.rows, part.filters) for part in parts}
        if not whole or not len(tiles) == len(parts) == len(rows) * len(filters):
            name = parts[0].layer.name or "a layer"
            yield from fault(self, f"does not give each row and each filter of {name} to one NP")


class Assign(Op, name="npu.assign", results=0, pure=False):
    """What one unit does for one layer."""

    layer: Value = operand("The layer, by its result.")
    unit: Unit = attr("Kind of unit.")
    np: int = attr("Number of the NP in the device; 0 for the input engine.", minimum=0)
    rows: tuple[int, int] = attr("First row of the input, and the row behind the last.", minimum=0)
    halo: tuple[int, int] = attr("Rows above and below that it needs, too.", minimum=0)
    filters: tuple[int, int] = attr("First filter, and the filter behind the last.", minimum=0)
    weight_bytes: int = attr("Weights that it holds.", minimum=0)
    input_bytes: int = attr("Input that it holds, without the halo.", minimum=0)

    def infer(self) -> tuple[TensorType, ...]:
        return ()


class SkipDma(Op, name="npu.skip_dma", results=0, pure=False):
    """A value that waits in memory for a layer that is not the next."""

    value: Value = operand("What waits.")
    bytes: int = attr("Its size, packed.", minimum=0)

    def infer(self) -> tuple[TensorType, ...]:
        return ()
