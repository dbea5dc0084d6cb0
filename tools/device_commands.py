"""The commands of `cnn2snn` about devices: `devices`, `map`, `simulate`."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from cnn2snn_ir.files import is_standard_output
from cnn2snn_ir.tools import console

Program = Annotated[Path, typer.Argument(help="Program (.fbz), IR (.c2s), or a model, which is converted first.")]
DeviceName = Annotated[
    str, typer.Option("--device", "-d", help="Name of a device (`cnn2snn devices`), or a .toml file.")
]
Mode = Annotated[str, typer.Option("--mode", help="minimal, all-nps, or hw-pr: more passes with more NPs each.")]
HwOnly = Annotated[bool, typer.Option("--hw-only", help="Refuse layers that the host would have to compute.")]
Passes = Annotated[int | None, typer.Option("--passes", min=1, help="At most so many passes in hw-pr.")]


def devices(
    name: Annotated[str | None, typer.Argument(help="A device, or a .toml file; without it, list all.")] = None,
) -> None:
    """List the devices, or all constants of one with their sources."""
    from cnn2snn_ir.tools.devices import describe, listing

    print(listing() if name is None else describe(name))


def map_command(
    model: Program,
    device: DeviceName = "AKD1500",
    mode: Mode = "all-nps",
    explain: Annotated[bool, typer.Option("--explain", help="Say what bound each layer, and what would help.")] = False,
    hw_only: HwOnly = False,
    passes: Passes = None,
    ir: Annotated[bool, typer.Option("--ir", help="Print the placed program as IR instead.")] = False,
) -> None:
    """Place a program on a device: sequences, passes, and the NPs of every layer."""
    from cnn2snn_ir.tools import mapping as tool

    with console.progress(f"mapping {model.name}"):
        mapping = tool.place(model, device, mode, hw_only, passes)
    if ir:
        from cnn2snn_ir.backends.mapping.lower import lower
        from cnn2snn_ir.text import print_module

        print(print_module(lower(mapping), annotations=False), end="")
    else:
        print(tool.render(mapping, explain))


def simulate(
    program: Program,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", "-i", help="Samples: .npz with x, or .npy; their events are counted.")
    ] = None,
    device: DeviceName = "AKD1500",
    mode: Mode = "all-nps",
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, max=100_000, help="Frames that follow each other.")] = 1,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Use so many samples; by default all.")] = None,
    density: Annotated[
        str | None,
        typer.Option("--density", help="What-if: assume 0.3 of all inputs, or 1,0.5,… one for each layer."),
    ] = None,
    handoff: Annotated[str | None, typer.Option("--handoff", help="single or double; by default the device's.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write a report (.html).")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace for Perfetto (.json).")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the whole result as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table of layers as CSV.")] = None,
    hw_only: HwOnly = False,
    passes: Passes = None,
) -> None:
    """Time and energy of a program on a device, from the events that samples cause."""
    from cnn2snn_ir.tools import simulation as tool

    if (inputs is None) is (density is None):
        raise typer.BadParameter("give samples, or a density to assume", param_hint="--inputs / --density")
    if handoff not in (None, "single", "double"):
        raise typer.BadParameter("single or double", param_hint="--handoff")
    assumed = None if density is None else tool.numbers(density)
    request = tool.Request(program, device, inputs, mode, batch, count, assumed, handoff, hw_only, passes)
    with console.progress(f"simulating {program.name}"):
        found = tool.simulate(request)
        if json is not None:
            tool.write_json(found, json)
        if csv is not None:
            tool.write_csv(found, csv)
        if report is not None:
            from cnn2snn_ir.runtime.report.html import write_report

            write_report(found, report)
        if trace is not None:
            from cnn2snn_ir.runtime.report.trace import write_trace

            write_trace(found, trace)
    outputs = [path for path in (report, trace, json, csv) if path is not None]
    printed = any(is_standard_output(path) for path in outputs)
    with redirect_stdout(sys.stderr) if printed else nullcontext():
        tool.show(found)
        for path in outputs:
            print(f"wrote {path}")


def declare(app: typer.Typer) -> None:
    """Add the commands to `cnn2snn`."""
    app.command()(devices)
    app.command("map")(map_command)
    app.command()(simulate)
