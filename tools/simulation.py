"""`cnn2snn simulate`: what a program costs on a device, from the events of real samples."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.timing.result import LayerResult, Simulation
from cnn2snn_ir.runtime.timing.tables import COLUMNS, layer_rows, summary_lines
from cnn2snn_ir.tools.mapping import program_for
from cnn2snn_ir.tools.samples import read_samples


@dataclass(frozen=True)
class Request:
    """What is to be simulated."""

    program: Path
    device: str
    inputs: Path | None
    mode: str
    batch: int
    count: int | None
    density: tuple[float, ...] | None
    handoff: str | None
    hw_only: bool
    passes: int | None


def numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise fail(
            "RUN-DENSITY", "densities are numbers between commas", found=text, allowed="0.3 or 1,0.5,…"
        ) from None


def simulate(request: Request) -> Simulation:
    """The simulation of a program; raises `CompileError` for what cannot be simulated."""
    from cnn2snn_ir.device import load_device

    device = load_device(request.device)
    model = Model(program_for(request.program, device))
    model.map(device, request.mode, hw_only=request.hw_only, passes=request.passes)
    if request.density is not None:
        density = request.density if len(request.density) > 1 else request.density[0]
        return model.simulate(density=density, batch=request.batch, handoff=request.handoff)
    assert request.inputs is not None
    samples, _ = read_samples(request.inputs, model.module)
    chosen = samples[: request.count] if request.count else samples
    return model.simulate(chosen, batch=request.batch, handoff=request.handoff)


def show(simulation: Simulation) -> None:
    """Print the result: a table for a terminal, the same as plain text elsewhere."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    for line in summary_lines(simulation):
        console.print(line, highlight=False)
    grid = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        grid.add_column(column.title, justify="left" if column.text else "right", no_wrap=column.text)
    for row in layer_rows(simulation):
        grid.add_row(*row)
    console.print(grid)
    for note in simulation.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)


def write_json(simulation: Simulation, path: Path) -> None:
    """The whole result as JSON."""
    atomic_write(path, (json.dumps(simulation.as_json(), indent=1, allow_nan=False) + "\n").encode())


def write_csv(simulation: Simulation, path: Path) -> None:
    """The table of layers as CSV, with plain numbers."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.key for column in COLUMNS])
    for layer in simulation.layers:
        writer.writerow([plain(simulation, layer, column.key) for column in COLUMNS])
    atomic_write(path, buffer.getvalue().encode())


def plain(simulation: Simulation, layer: LayerResult, key: str) -> object:
    """One cell as a number or a text; empty where there is no data."""
    value = next(c for c in COLUMNS if c.key == key).value(simulation, layer)
    return "" if value is None else value
