"""NP counts and passes: the memory of an NP fitted to every other row of the zoo, all other published maps compared.

The sizes are searched on a grid, with and without blocks of filters; what the rows of the fit leave open is a range,
and the device has a size inside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from benchmarks.published import Akida1ZooEntry, akida1_zoo, full_models
from benchmarks.zoo import build
from cnn2snn_ir.backends.mapping import map_program
from cnn2snn_ir.backends.mapping.division import smallest_division
from cnn2snn_ir.backends.mapping.work import Work, work_of
from cnn2snn_ir.device import Confidence, Constant, Device, load_device
from cnn2snn_ir.runtime.model import table

BLOCKS = (1, 2, 4, 8)
SIZES = range(24 * 1024, 64 * 1024, 128)
"""Bytes that are tried for either memory."""


def np_rows() -> bool:
    """Print the fit and both comparisons; False if the device's sizes are not among the best."""
    device = load_device("AKD1500")
    rows = [row for row in akida1_zoo() if row.network]
    fit, held = rows[::2], rows[1::2]
    works = {row.network: [w for op in build(row.network).body if (w := work_of(op)) is not None] for row in rows}
    print(f"\nmemory of an NP, fitted to {len(fit)} of {len(rows)} rows of the zoo\n")
    agrees = show_fit(fit, works, device)
    show_counts("rows of the fit", fit, works, device)
    show_counts("other rows", held, works, device)
    show_maps()
    return agrees


def with_sizes(device: Device, weights: int, inputs: int, block: int) -> Device:
    """The device with other memories."""

    def size(value: int) -> Constant:
        return Constant(value, "tried", Confidence.ASSUMED)

    limits = dataclasses.replace(
        device.limits, np_weight_bytes=size(weights), np_input_bytes=size(inputs), filter_block=size(block)
    )
    return dataclasses.replace(device, limits=limits)


def count(works: Iterable[Work], device: Device) -> int:
    """NPs of a network in the map with the fewest."""
    return sum(smallest_division(work, device).nps for work in works)


def show_fit(fit: Sequence[Akida1ZooEntry], works: dict[str, list[Work]], device: Device) -> bool:
    """Which sizes explain most rows; True if those of the device do."""
    limits = device.limits
    mine = int(limits.np_weight_bytes.value), int(limits.np_input_bytes.value), int(limits.filter_block.value)

    def equal(weights: int, inputs: int, block: int) -> int:
        tried = with_sizes(device, weights, inputs, block)
        return sum(count(works[row.network], tried) == row.nps for row in fit)

    ours = equal(*mine)
    lines, best = [("memory", "blocks of", "rows equal", "sizes")], ours
    for block in BLOCKS:
        scores = {size: equal(size, mine[1], block) for size in SIZES}
        best = max(best, *scores.values())
        lines.append(("weights", str(block), f"{max(scores.values())} of {len(fit)}", span(scores)))
    scores = {size: equal(mine[0], size, mine[2]) for size in SIZES}
    best = max(best, *scores.values())
    lines.append(("input", "", f"{max(scores.values())} of {len(fit)}", span(scores)))
    print(table(lines))
    sizes = f"{mine[0]:,} bytes for weights, {mine[1]:,} for inputs, blocks of {mine[2]}"
    print(f"\nthe device has {sizes}: {ours} of {len(fit)}")
    return ours == best


def span(scores: dict[int, int]) -> str:
    """The sizes with the best score."""
    sizes = [size for size, score in scores.items() if score == max(scores.values())]
    return f"{sizes[0]:,} to {sizes[-1] + 127:,}"


def show_counts(title: str, rows: Sequence[Akida1ZooEntry], works: dict[str, list[Work]], device: Device) -> None:
    """Our count beside the published one."""
    counts = [(row, count(works[row.network], device)) for row in rows]
    equal = sum(ours == row.nps for row, ours in counts)
    print(f"\n{title}: {equal} of {len(rows)} counts are equal\n")
    cells = [
        (r.network, str(r.nps), str(n), "" if n == r.nps else f"{100 * (n / r.nps - 1):+.0f} %") for r, n in counts
    ]
    print(table([("network", "published", "ours", ""), *cells]))


def show_maps() -> None:
    """NPs and passes of every published map of Akida 1."""
    lines = [("network", "device", "mode", "NPs", "ours", "passes", "ours", "")]
    equal = total = 0
    for run in full_models():
        if run.nps is None or run.generation != 1 or "naive" in run.model or "batch" in run.model:
            continue
        mapping = map_program(build(run.network), load_device(run.device), run.mode)
        published = run.nps - (0 if run.device == "AKD1000" else 1)  # only the tables of the AKD1500 count the engine
        same = (mapping.nps, len(mapping.passes)) == (published, run.passes)
        equal, total = equal + same, total + 1
        passes = f"{run.passes}", f"{len(mapping.passes)}"
        lines.append(
            (run.network, run.device, run.mode, str(published), str(mapping.nps), *passes, "" if same else "differs")
        )
    print(f"\npublished maps: {equal} of {total} have the same NPs and passes\n")
    print(table(lines))
