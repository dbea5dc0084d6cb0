"""What one layer costs on its units, in clocks, from its events and the constants of the device.

    event path   E · F · c + S · F · scan       E events and S elements that reach an NP, halo included; F its filters,
                                                rounded up to those worked on at once; the slowest NP decides
    input engine positions · filters · clocks   dense, whatever the image
    dense layer with external weights           neurons · (a + b · inputs), whatever the events

The first law is the vendor's published one (clocks = events x filters / NPs x c) with the cost of looking for events;
docs/simulator.md says what was fitted to what.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, cached_property
from weakref import WeakKeyDictionary

import numpy as np

from cnn2snn_ir.backends.mapping import PlacedLayer
from cnn2snn_ir.backends.mapping.work import Kind, Work
from cnn2snn_ir.device import Device
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.storage import Array


@dataclass(frozen=True, eq=False)
class Law:
    """What a layer costs, but for its events; arrays are [parts, 1]."""

    rows: tuple[Array, Array] | None
    """First row that reaches each unit and the row behind the last [parts]; None if every unit gets all of them."""
    share: Array
    """Part of these events that concerns a unit: of a depthwise layer, those of its channels."""
    event: Array
    """Clocks of one event."""
    fixed: float
    """Clocks of dense work."""
    scan: Array
    """Clocks of looking for events."""
    memory: float
    """Clocks of reading external memory."""
    link: float
    """Clocks that an event takes to arrive; the units work meanwhile."""
    image: float
    """Clocks that the image takes to arrive; the input engine works meanwhile."""
    way: Array
    """Clocks from the corner of the mesh."""

    @classmethod
    def of(cls, layer: PlacedLayer, device: Device) -> Law:
        """The law of a layer; its arrays are made once for every placed layer."""
        if layer not in _LAWS:
            _LAWS[layer] = cls._made(layer, device)
        return _LAWS[layer]

    @classmethod
    def _made(cls, layer: PlacedLayer, device: Device) -> Law:
        work, unit, traffic = layer.work, layer.unit, device.traffic
        parts = len(layer.parts)
        nothing, one = np.zeros((parts, 1)), np.ones((parts, 1))
        share, event, scan = event_path(layer, device) if unit in (Unit.CNP, Unit.FNP3) else (one, nothing, nothing)
        fixed = 0.0
        if unit is Unit.HRC:
            fixed = input_engine_clocks(work, device)
        elif unit is Unit.DMA:
            fixed = event_clocks(work, device) * work.sites
        first, last = np.array([part.reach for part in layer.parts]).T
        on_mesh = unit not in (Unit.HRC, Unit.DMA)
        hops_of = np.array([[hops(part.np, device) if on_mesh else 0] for part in layer.parts])
        return cls(
            rows=None if work.kind in (Kind.DENSE, Kind.MERGE) else (first, last),
            share=share,
            event=event,
            fixed=fixed,
            scan=scan,
            memory=external_clocks(work, device) if unit is Unit.FNP2 else 0.0,
            link=time_of(1, traffic.link_events.number) if on_mesh else 0.0,
            image=time_of(layer.parts[0].input_bytes, traffic.dma_bytes.number) if unit is Unit.HRC else 0.0,
            way=traffic.hop.number * hops_of,
        )


_LAWS: WeakKeyDictionary[PlacedLayer, Law] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class LayerCost:
    """The clocks of every unit of a layer, by frame: arrays [parts, frames]."""

    law: Law
    events: Array
    """Events that reach the unit."""
    event_clocks: Array
    noc_clocks: Array
    clocks: Array
    """All of them, with those that the law fixes."""

    @cached_property
    def of_slowest(self) -> tuple[float, float, float, float]:
        """Means of the clocks of the unit that decides: events, looking for them, memory, network on chip."""
        decides = np.argmax(self.clocks, axis=0)
        frames = np.arange(len(decides))
        events, noc = self.event_clocks[decides, frames].mean(), self.noc_clocks[decides, frames].mean()
        return float(events), float(self.law.scan[decides, 0].mean()), self.law.memory, float(noc)


def layer_cost(layer: PlacedLayer, rows: Array, device: Device) -> LayerCost:
    """The cost of a layer; `rows` is its input's activity [frames, rows]."""
    law = Law.of(layer, device)
    events = events_by_part(law, rows)
    working = events * law.event + law.fixed
    busy = working + (law.scan + law.memory)
    noc_clocks = np.maximum(0.0, np.maximum(events * law.link, law.image) - busy) + law.way
    return LayerCost(law, events, working, noc_clocks, busy + noc_clocks)


def events_by_part(law: Law, rows: Array) -> Array:
    """Events that reach each unit, halo included [parts, frames]."""
    if law.rows is None:
        return np.asarray(rows.sum(axis=1, dtype=np.float64) * law.share)
    ahead = np.zeros((rows.shape[1] + 1, len(rows)))
    np.cumsum(rows.T, axis=0, out=ahead[1:])
    first, last = law.rows
    return np.asarray((ahead[last] - ahead[first]) * law.share)


def event_path(layer: PlacedLayer, device: Device) -> tuple[Array, Array, Array]:
    """What an NP does with events: the share that concerns it, clocks of one, clocks to find them; each [parts, 1]."""
    work = layer.work
    at_once = int(device.limits.filters_at_once.value)
    count = np.array([[float(part.filter_count)] for part in layer.parts])
    reach = np.array([[float(part.reach[1] - part.reach[0])] for part in layer.parts])
    share = np.ones_like(count)
    filters = np.ceil(count / at_once) * at_once
    if work.kind is Kind.DEPTHWISE:  # each event is for one filter, that of its channel
        share, filters = count / work.filters, np.ones_like(count)
    sites = reach * work.columns * work.channels * share
    cost = event_clocks(work, device)
    return share, filters * cost, sites * filters * device.timing.scan.number


def time_of(amount: float, rate: float) -> float:
    """Clocks for so much at so much a clock; a rate of 0 is no limit."""
    return amount / rate if rate else 0.0


def input_engine_clocks(work: Work, device: Device) -> float:
    """The dense work of the input engine."""
    timing = device.timing
    at_once = timing.input_engine_filters.number
    filters = math.ceil(work.filters / at_once) * at_once
    taps = max(1.0, math.prod(work.kernel) * work.channels / timing.input_engine_taps.number)
    return timing.input_engine_clocks.number * filters * work.positions * taps


def external_clocks(work: Work, device: Device) -> float:
    """A dense layer that reads its weights from external memory."""
    weight = device.timing.external_weight.number * work.weight_bits / 4
    return work.filters * (device.timing.external_neuron.number + weight * work.channels)


def event_clocks(work: Work, device: Device) -> float:
    """The clocks of one event for one filter, with the nearest kernel and width that are known.

    A kernel or width that the table does not have costs as much as the next larger one; beyond the largest kernel,
    the largest in proportion to its elements.
    """
    table = device.timing.event_clocks
    if work.kind is Kind.MERGE:
        return table["merge"].number
    kind = "conv" if work.kind is Kind.DENSE else str(work.kind)
    known = sorted(found for name in table if (found := kernel_and_bits(kind, name)))
    if not known:
        message = "the device file has no event_clocks for this kind of layer"
        raise fail("DEVICE-MISSING", message, where=device.name, found=kind, allowed=", ".join(table))
    size = max(work.kernel)
    nearest = next((k for k, _ in known if k >= size), known[-1][0])
    widths = [bits for k, bits in known if k == nearest]
    bits = next((b for b in widths if b >= work.weight_bits), widths[-1])
    factor = (size / nearest) ** 2 if size > nearest else 1.0
    return table[f"{kind} {nearest}x{nearest} {bits} bits"].number * factor


@cache
def kernel_and_bits(kind: str, name: str) -> tuple[int, int] | None:
    """Kernel size and weight bits of an entry such as `conv 3x3 4 bits`; None if it is for another kind of layer."""
    found = re.fullmatch(rf"{kind} (\d+)x\1 (\d+) bits", name)
    return (int(found[1]), int(found[2])) if found else None


def hops(np_number: int, device: Device) -> int:
    """Nodes between an NP and the corner of the mesh where memory and the input engine are."""
    columns = max(1, int(device.chip.mesh.value[1]))
    node = np_number // int(device.chip.nps_per_node.value)
    return node // columns + node % columns
