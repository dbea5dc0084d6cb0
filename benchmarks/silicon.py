"""How far the timing and energy model is from published measurements of the chips, row by row.

    python -m benchmarks.silicon               calibration, then validation on other rows, then NP counts

Calibration and validation share no row:

    calibration   the vendor's constants; layers of AkidaNet 0.5/224 and KWS, and of AkidaNet 1.0/160 (its first pass,
                  its later passes for new weights, its classifier), all in the map with the fewest NPs; dynamic
                  energy of AkidaNet 0.25/224, 0.5/224 and 1.0/160; what BrainChip says of KWS in several passes;
                  NP counts of every other row of the zoo
    validation    layers of all other networks; totals of all maps but those three; AKD1000; dynamic energy of the
                  other networks; NP counts of the other rows of the zoo, and of all other published maps

Densities are the published ones of each layer.  Rows of networks for which only a mean is published (VWW, UORED, YOLO)
count for NPs and passes only.  The exit code is 1 if a constant of the device is not what the fit says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from benchmarks.published import LayerMeasurement, ModelMeasurement, full_models, per_layer
from benchmarks.silicon_fit import Fit, fitted
from benchmarks.silicon_nps import np_rows
from benchmarks.zoo import build
from cnn2snn_ir.backends.mapping import map_program
from cnn2snn_ir.device import load_device
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.runtime.model import table
from cnn2snn_ir.runtime.timing.activity import assumed
from cnn2snn_ir.runtime.timing.result import Simulation
from cnn2snn_ir.runtime.timing.simulate import simulate

TIMED = ("akidanet_0.5_224", "kws_33")
"""Networks whose layers calibrate events, the input engine and external weights."""

RELOADED = "akidanet_1.0_160"
"""The network whose map with the fewest NPs calibrates new weights."""

CHARGED = ("akidanet_0.25_224", "akidanet_0.5_224", "akidanet_1.0_160")
"""Networks whose dynamic energy calibrates that."""

RANDOM = "AKD1000, random frame"
"""Rows that cannot be compared, because what ran is not known."""

WANTED = {
    "layers": (6.0, "mean"),
    "totals in one pass": (5.0, "max"),
    "totals, all-nps": (10.0, "max"),
    "totals in several passes": (15.0, "max"),
    "AKD1000, one frame": (10.0, "max"),
    "AKD1000, ten frames": (15.0, "max"),
    "dynamic energy": (8.0, "max"),
}
"""Group of rows ▶ the error that the project wants, in percent, of the mean or of every row."""

REASONS = {
    "input engine and dense layers": "dense layers of a few thousand clocks: below the noise of the measurement (a few "
    "hundred clocks each time), and their sum is under 1 % of any network",
    "layers": "the largest are 5x5 separable layers, of which no calibration row exists: the vendor says that they "
    "cost what a full convolution does (2.24 clocks), the published ones cost 1.8",
    "totals in one pass": "arrhythmia, which is made of those 5x5 separable layers; the others are within 2 %",
    "totals, all-nps": "arrhythmia again; the others are within 3 %",
    "dynamic energy": "arrhythmia again, and KWS, published as 0.010 mJ: its last digit is 10 %",
    RANDOM: "the frame was random data, whose densities are not published; 0.45 everywhere would explain it",
}
"""What is to be said of a group whose errors are large."""

LARGE = 10.0
"""Percent, from which an error needs a word although nothing is wanted of it."""

SAME_ACTIVITY = {"kws_12": "kws_33"}
"""Networks whose layers were measured under another head."""


@dataclass(frozen=True)
class Row:
    """One published number beside ours."""

    group: str
    what: str
    published: float
    ours: float

    @property
    def error(self) -> float:
        """Signed, in percent."""
        return 100 * (self.ours / self.published - 1)


@cache
def program(network: str, generation: int = 1, bits: int = 8) -> Module:
    """A network of the table; its weights do not matter here."""
    return build(network, generation=generation, bits=bits)


@cache
def densities(network: str) -> tuple[float, ...] | None:
    """The published density of each layer's input; None where they are not published."""
    rows = [row for row in per_layer() if row.network == SAME_ACTIVITY.get(network, network)]
    return tuple(1 - row.input_sparsity for row in rows) or None


@cache
def simulated(network: str, device: str, mode: str, batch: int = 1) -> Simulation:
    """A network on a device, with the published densities."""
    known = densities(network)
    assert known is not None
    mapping = map_program(program(network), load_device(device), mode)
    return simulate(mapping, assumed(mapping, known), batch=batch)


def is_calibration(row: LayerMeasurement) -> bool:
    """Whether a layer's time was used to fit constants."""
    return row.network in (*TIMED, RELOADED)


def layer_rows(calibration: bool) -> Iterator[Row]:
    """Each layer's clocks."""
    for row in per_layer():
        if is_calibration(row) is calibration:
            layer = simulated(row.network, "AKD1500", "minimal").layers[row.index]
            group = "layers" if row.kind in ("conv", "sep") else "input engine and dense layers"
            yield Row(group, f"{row.network} {layer.name} ({layer.unit})", row.clocks, layer.clocks.total)


def totals() -> Iterator[Row]:
    """Clocks of whole networks, but those that calibrated."""
    for run in full_models():
        if run.clocks is None or run.generation != 1 or densities(run.network) is None or "naive" in run.model:
            continue
        frames = 10 if "batch 10" in run.model else 1
        mode = "all-nps" if run.device == "AKD1000" else run.mode
        ours = simulated(run.network, run.device, mode, frames)
        group = group_of(run, frames)
        if group is not None:
            yield Row(group, f"{run.model}, {run.device}, {run.mode}", run.clocks, ours.batch_clocks)


def group_of(run: ModelMeasurement, frames: int) -> str | None:
    """The group of a total; None for those that calibrated."""
    if run.device == "AKD1000":
        if run.network != TIMED[0]:
            return RANDOM
        return "AKD1000, ten frames" if frames > 1 else "AKD1000, one frame"
    if run.mode == "Minimal" and SAME_ACTIVITY.get(run.network, run.network) in (*TIMED, RELOADED):
        return None
    if run.mode == "AllNps" and run.network == TIMED[0]:
        return None  # the same map as with the fewest NPs
    if (run.passes or 1) > 1:
        return "totals in several passes"
    return "totals in one pass" if run.mode == "Minimal" else "totals, all-nps"


def energies(calibration: bool) -> Iterator[Row]:
    """Dynamic energy of whole networks on the AKD1500."""
    for run in full_models():
        if run.dynamic_mj is None or densities(run.network) is None or "naive" in run.model:
            continue
        if (run.network in CHARGED) is calibration:
            ours = simulated(run.network, run.device, run.mode).dynamic_mj
            assert ours is not None
            yield Row("dynamic energy", f"{run.model}, {run.mode}", run.dynamic_mj, ours)


def validation() -> list[Row]:
    """All rows that nothing was fitted to."""
    return [*layer_rows(calibration=False), *totals(), *energies(calibration=False)]


def summary(rows: Iterable[Row]) -> Iterator[tuple[str, int, float, float]]:
    """Group, rows, mean and largest absolute error in percent."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(abs(row.error))
    for group, errors in groups.items():
        yield group, len(errors), fmean(errors), max(errors)


def show_rows(title: str, rows: Sequence[Row]) -> None:
    """Every row with its error."""
    print(f"\n{title}\n")
    cells = [(r.group, r.what, f"{r.published:,.7g}", f"{r.ours:,.7g}", f"{r.error:+.1f} %") for r in rows]
    print(table([("group", "row", "published", "ours", "error"), *cells]))


def show_summary(rows: Sequence[Row]) -> None:
    """What is reached and what is wanted."""
    print("\nvalidation in short\n")
    cells = []
    for group, count, mean, largest in summary(rows):
        limit, of = WANTED.get(group, (0.0, ""))
        value = mean if of == "mean" else largest
        verdict = ("reached" if value <= limit else "NOT reached") if limit else ""
        wanted = f"{of} {limit:g} %" if limit else ""
        cells.append((group, str(count), f"{mean:.1f} %", f"{largest:.1f} %", wanted, verdict))
    print(table([("group", "rows", "mean", "max", "wanted", ""), *cells]))
    print("\nof the largest errors")
    for group, _, _, largest in summary(rows):
        if group in REASONS and largest > WANTED.get(group, (LARGE, ""))[0]:
            print(f"  {group}: {REASONS[group]}")


def show_second_generation() -> None:
    """Akida 2 on the FPGA: shown, with nothing claimed; all layers get the published mean density."""
    device = load_device("Akida2FPGA")
    cells = [("network", "mode", "NPs", "ours", "passes", "ours", "clocks", "ours", "error")]
    for run in full_models():
        if run.generation != 2 or run.clocks is None or run.nps is None or run.mean_sparsity is None:
            continue
        bits = 4 if "4-bit" in run.model else 8
        rectified = "ReLU after dw" in run.model
        mapping = map_program(
            build(run.network, generation=2, bits=bits, rectified_depthwise=rectified), device, run.mode
        )
        ours = simulate(mapping, assumed(mapping, 1 - run.mean_sparsity)).latency_clocks
        nps = (str(run.nps - 1), str(mapping.nps), str(run.passes), str(len(mapping.passes)))
        error = f"{100 * (ours / run.clocks - 1):+.0f} %"
        cells.append((run.model, run.mode, *nps, f"{run.clocks:,}", f"{ours:,.0f}", error))
    print("\nAkida 2, low confidence: nothing is claimed\n")
    print(table(cells))


def show_fit(fits: Sequence[Fit]) -> bool:
    """What the fit says and what the device has; False if they disagree."""
    print("calibration\n")
    rows = [(f.name, f"{f.value:.5g}", f"{f.device:.5g}", "" if f.agrees else "DIFFERENT", f.basis) for f in fits]
    print(table([("constant", "fit", "device", "", "fitted to"), *rows]))
    return all(f.agrees for f in fits)


def main() -> int:
    """Print everything."""
    agrees = show_fit(fitted(simulated, TIMED, RELOADED, CHARGED))
    show_rows("calibration rows", [*layer_rows(calibration=True), *energies(calibration=True)])
    rows = validation()
    show_rows("validation rows", rows)
    show_summary(rows)
    show_second_generation()
    agrees &= np_rows()
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
