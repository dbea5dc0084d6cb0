"""The constants of Akida 1 that are fitted, from the calibration rows alone.  `benchmarks/silicon.py` says which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.published import full_models, per_layer
from cnn2snn_ir.device import load_device
from cnn2snn_ir.runtime.timing.result import LayerResult, Simulation

Simulated = Callable[[str, str, str], Simulation]

TOLERANCE = 0.02
"""How far a constant of the device may be from the fit: rounding, no more."""

SLOWER = ("kws_12", 4.5)
"""BrainChip: how many times longer this network takes in HwPr than in AllNps (brainchip_devhub, knowledge base)."""

CNP, HRC, FNP2 = "CNP", "HRC", "FNP2"


@dataclass(frozen=True)
class Fit:
    """A constant as the fit has it, and as the device has it."""

    name: str
    value: float
    device: float
    basis: str

    @property
    def agrees(self) -> bool:
        """True if they are equal but for rounding."""
        return abs(self.value - self.device) <= TOLERANCE * abs(self.value)


def fitted(simulated: Simulated, timed: Sequence[str], reloaded: str, charged: Sequence[str]) -> list[Fit]:
    """Every fitted constant."""
    return [
        *timing_fits(simulated, timed, reloaded),
        *energy_fits(simulated, charged),
    ]


def pairs(simulated: Simulated, network: str) -> list[tuple[float, LayerResult]]:
    """Published clocks and our layer, for the layers of a network in the map with the fewest NPs."""
    layers = simulated(network, "AKD1500", "minimal").layers
    return [(row.clocks, layers[row.index]) for row in per_layer() if row.network == network]


def timing_fits(simulated: Simulated, timed: Sequence[str], reloaded: str) -> Iterator[Fit]:
    """The event path's search, the input engine, external weights, new weights."""
    device = load_device("AKD1500")
    timing = device.timing
    known = [pair for network in timed for pair in pairs(simulated, network)]
    later = pairs(simulated, reloaded)

    first_pass = [pair for pair in later if pair[1].pass_index == 0]
    events = [(t, x) for t, x in (*known, *first_pass) if x.unit == CNP]
    units = np.array([x.clocks.scan / timing.scan.number / t for t, x in events])
    missing = np.array([(t - x.clocks.events) / t for t, x in events])
    scan = float(units @ missing / (units @ units))
    yield Fit("timing.scan", scan, timing.scan.number, f"{len(events)} layers, relative least squares, vendor's c")

    engine = [t / x.clocks.events for t, x in known if x.unit == HRC]
    value = fmean(engine) * timing.input_engine_clocks.number
    yield Fit("timing.input_engine_clocks", round(value, 1), timing.input_engine_clocks.number, f"{len(engine)} layers")

    dense = [(t / x.output_shape[-1], x.input_shape[-1]) for t, x in (*known, *later) if x.unit == FNP2]
    (t0, n0), (t1, n1) = dense
    weight = (t1 - t0) / (n1 - n0)
    yield Fit("timing.external_weight", weight, timing.external_weight.number, "2 classifiers, clocks a neuron")
    yield Fit("timing.external_neuron", t0 - weight * n0, timing.external_neuron.number, "the same")

    first = {later[0][1].pass_index: 0} | {x.pass_index: i for i, (_, x) in reversed(list(enumerate(later)))}
    fresh = [(t, x) for i, (t, x) in enumerate(later) if x.pass_index and x.unit == CNP and i not in first.values()]
    rates = [(t - x.clocks.events - x.clocks.scan) / (x.clocks.reload / timing.reload.number) for t, x in fresh]
    yield Fit("timing.reload", fmean(rates), timing.reload.number, f"{len(rates)} layers inside later passes")

    one, several = simulated(SLOWER[0], "AKD1500", "AllNps"), simulated(SLOWER[0], "AKD1500", "HwPr")
    published = next(r.clocks for r in full_models() if (r.network, r.mode) == (SLOWER[0], "AllNps") and r.clocks)
    changes = several.passes - one.passes
    left = SLOWER[1] * published - (several.latency_clocks - changes * timing.pass_switch.number)
    yield Fit(
        "timing.pass_switch", left / changes, timing.pass_switch.number, f"{SLOWER[0]}, {changes} changes of pass"
    )


def energy_fits(simulated: Simulated, charged: Sequence[str]) -> Iterator[Fit]:
    """Clocks of events, of the input engine and of new weights, in picojoules."""
    energy = load_device("AKD1500").energy
    assert energy is not None
    constants = {"events": energy.event, "input_engine": energy.input_engine, "reload": energy.reload}
    terms: list[list[float]] = []
    for run in full_models():
        if run.dynamic_mj is not None and run.network in charged:
            layers = simulated(run.network, "AKD1500", run.mode).layers
            row = [
                sum(getattr(x.energy, key) for x in layers if x.energy is not None) / constant.number / run.dynamic_mj
                for key, constant in constants.items()
            ]
            terms.append(row)
    found, *_ = np.linalg.lstsq(np.array(terms), np.full(len(terms), 1e3), rcond=None)
    for (key, constant), value in zip(constants.items(), found, strict=True):
        name = "event" if key == "events" else key
        yield Fit(f"energy.{name}", float(value), constant.number, f"{len(terms)} maps of {len(charged)} networks")
