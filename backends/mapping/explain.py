"""What decided a mapping, in words: what bound each layer, what does not fit, what would help."""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.backends.mapping.plan import Mapping, PlacedLayer
from cnn2snn_ir.dialects.npu import Unit

Row = tuple[str, ...]

MUCH = 20
"""Percent of work in vain from which a layer is worth a word."""

HEADING: Row = ("pass", "layer", "unit", "NPs", "rows x filters", "weights", "input", "bound by")


def rows(mapping: Mapping) -> Iterator[Row]:
    """A row for each layer on the chip."""
    for number, plan in enumerate(mapping.passes):
        for layer in plan.layers:
            first = layer.parts[0]
            by_rows = len({part.rows for part in layer.parts})
            yield (
                str(number),
                layer.work.name,
                layer.unit.upper(),
                str(layer.nps),
                f"{by_rows} x {len(layer.parts) // by_rows}",
                f"{max(part.weight_bytes for part in layer.parts):,}",
                f"{max(part.input_bytes for part in layer.parts):,}" if first.input_bytes else "",
                "; ".join(layer.why),
            )


def advice(mapping: Mapping) -> Iterator[str]:
    """What the map costs, and what would help."""
    device = mapping.device
    passes = mapping.passes
    for refusal in mapping.refusals:
        yield f"{refusal.where}: {refusal.message}, so the host computes it ({refusal.found})"
    if len(passes) > 1:
        yield (
            f"{len(passes)} passes: their weights are put into the NPs again for every frame; in one pass this "
            f"division would need {mapping.nps} NPs, {device.name} has {device.nps}"
        )
    for layer in mapping.layers:
        yield from layer_advice(layer, int(device.limits.filters_at_once.value))
    idle = device.nps - (passes[0].nps if len(passes) == 1 else device.nps)
    if idle and mapping.mode == "minimal":
        yield f"{idle} of {device.nps} NPs are idle; --mode all-nps uses them"


def layer_advice(layer: PlacedLayer, at_once: int) -> Iterator[str]:
    """What would help one layer; an NP works on `at_once` filters at once."""
    work = layer.work
    if layer.unit is Unit.FNP2:
        yield (
            f"{work.name} reads {work.weight_bytes(work.filters):,} bytes of weights from external memory for every "
            "frame; fewer inputs (a pooling in front of it) or fewer units would keep them inside"
        )
    by_rows = len({part.rows for part in layer.parts})
    if by_rows > 1 and work.kernel[0] > 1:
        halo = sum(part.halo[0] + part.halo[1] for part in layer.parts if part.filters[0] == 0)
        extra = 100 * halo / work.rows
        if extra >= MUCH:
            yield f"{work.name}: {by_rows} parts by rows work on {extra:.0f} % more rows than there are (halo)"
    widest = max(part.filter_count for part in layer.parts)
    if layer.unit is Unit.CNP and widest % at_once and len(layer.parts) > 1:
        paid = -(-widest // at_once) * at_once
        if 100 * (paid / widest - 1) >= MUCH:
            yield f"{work.name}: {widest} filters an NP take the time of {paid}"
