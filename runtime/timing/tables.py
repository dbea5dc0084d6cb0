"""A simulation as tables: the columns of the list of layers, and the lines above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cnn2snn_ir.runtime.timing.result import LayerResult, Simulation

Cell = float | int | str | None


class Column(NamedTuple):
    """One column: its key in CSV, its title, its value, and how a number is written."""

    key: str
    title: str
    value: Callable[[Simulation, LayerResult], Cell]
    form: str = ""

    @property
    def text(self) -> bool:
        """Whether cells are words."""
        return not self.form


COLUMNS = (
    Column("layer", "layer", lambda s, x: x.name),
    Column("kind", "kind", lambda s, x: x.kind),
    Column("unit", "unit", lambda s, x: x.unit),
    Column("pass", "pass", lambda s, x: x.pass_index, "d"),
    Column("nps", "NPs", lambda s, x: 0 if x.unit in ("HRC", "DMA") else len(x.parts), "d"),
    Column("events", "events", lambda s, x: x.events, ",.0f"),
    Column("density", "density", lambda s, x: x.density, ".3f"),
    Column("clocks", "clocks", lambda s, x: x.clocks.total, ",.0f"),
    Column("share", "share", lambda s, x: x.clocks.total / s.latency_clocks if s.latency_clocks else 0.0, ".1%"),
    Column("reload_clocks", "reload", lambda s, x: x.clocks.reload, ",.0f"),
    Column("utilization", "util.", lambda s, x: x.utilization, ".0%"),
    Column("dynamic_uj", "dyn. uJ", lambda s, x: None if x.energy is None else x.energy.dynamic, ",.1f"),
    Column("energy_uj", "uJ", lambda s, x: None if x.energy is None else x.energy.total, ",.1f"),
    Column("bound", "bound by", lambda s, x: x.bound),
)
"""The list of layers, in a terminal, in CSV and in the documentation."""


def layer_rows(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    """The cells of each layer as text."""
    for layer in simulation.layers:
        cells = [(column, column.value(simulation, layer)) for column in COLUMNS]
        yield tuple("" if value is None else format(value, column.form) for column, value in cells)


def summary_lines(simulation: Simulation) -> Iterator[str]:
    """What the whole costs, in a few lines."""
    s = simulation
    engine = " + input engine" if s.input_engine else ""
    passes = f"{s.passes} pass{'es' if s.passes != 1 else ''}"
    yield f"{s.model} on {s.device.name} ({s.mode}): {s.assigned_nps} NPs{engine}, {passes}"
    source = f"events of {s.frames} frames" if s.what_if_density is None else f"WHAT-IF density {s.what_if_density:g}"
    confidence = {"low": "LOW CONFIDENCE", "assumed": "LOW CONFIDENCE"}.get(s.device.confidence, s.device.confidence)
    yield f"  timing model: {confidence}; {source}"
    clocks = f"{s.latency_clocks:,.0f} clocks; slowest frame {s.slowest_frame_clocks:,.0f}"
    yield f"  latency  {s.latency_ms:,.3f} ms ({clocks})"
    yield f"  batch    {s.batch} frames in {s.batch_ms:,.3f} ms, {s.fps:,.1f} frames/s, {s.handoff} hand-off"
    if s.total_mj is None or s.dynamic_mj is None or s.power_mw is None:
        yield f"  energy   no data for {s.device.name}"
    else:
        yield f"  energy   {s.total_mj:,.4f} mJ a frame, of which {s.dynamic_mj:,.4f} dynamic; {s.power_mw:,.1f} mW"
    for error in s.stated_errors:
        numbers = f"{error.mean_percent:.1f} % mean, {error.max_percent:.1f} % at most"
        yield f"  error    {error.what}: {numbers} ({error.rows} published rows)"
