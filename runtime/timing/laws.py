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
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from cnn2snn_ir.backends.mapping import PlacedLayer
from cnn2snn_ir.backends.mapping.work import Kind, Work
from cnn2snn_ir.device import Constant, Device
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.storage import Array


@dataclass(frozen=True)
class LayerCost:
    """The clocks of every unit of a layer, by frame: arrays [parts, frames]."""

    events: Array
    """Events that reach the unit."""
    event_clocks: Array
    scan_clocks: Array
    memory_clocks: Array
    noc_clocks: Array

    @cached_property
    def clocks(self) -> Array:
        """All of them."""
        return self.event_clocks + self.scan_clocks + self.memory_clocks + self.noc_clocks

    @cached_property
    def slowest(self) -> Array:
        """The unit that decides [frames]."""
        return np.asarray(np.argmax(self.clocks, axis=0))


def layer_cost(layer: PlacedLayer, rows: Array, device: Device) -> LayerCost:
    """The cost of a layer; `rows` is its input's activity [frames, rows]."""
    events = events_by_part(layer, rows)
    nothing = np.zeros_like(events)
    match layer.unit:
        case Unit.HRC:
            busy = LayerCost(events, nothing + input_engine_clocks(layer.work, device), nothing, nothing, nothing)
        case Unit.FNP2:
            busy = LayerCost(events, nothing, nothing, nothing + external_clocks(layer.work, device), nothing)
        case Unit.DMA:
            merge = event_constant(layer.work, device)[1].number
            busy = LayerCost(events, nothing, nothing, nothing + merge * layer.work.sites, nothing)
        case _:
            busy = event_path(layer, events, device)
    return replace(busy, noc_clocks=waiting(layer, busy, device))


def events_by_part(layer: PlacedLayer, rows: Array) -> Array:
    """Events that reach each unit, halo included [parts, frames]."""
    if layer.work.kind in (Kind.DENSE, Kind.MERGE):  # these are not divided by rows
        return np.tile(rows.sum(axis=1, dtype=np.float64), (len(layer.parts), 1))
    ahead = np.zeros((rows.shape[1] + 1, len(rows)))
    np.cumsum(rows.T, axis=0, out=ahead[1:])
    first, last = np.array([part.reach for part in layer.parts]).T
    return np.asarray(ahead[last] - ahead[first])


def event_path(layer: PlacedLayer, events: Array, device: Device) -> LayerCost:
    """What an NP does with events, and to find them."""
    work = layer.work
    at_once = int(device.limits.filters_at_once.value)
    count = np.array([part.filter_count for part in layer.parts], np.float64)[:, None]
    reach = np.array([part.reach[1] - part.reach[0] for part in layer.parts], np.float64)[:, None]
    sites = reach * work.columns * work.channels
    filters = np.ceil(count / at_once) * at_once
    if work.kind is Kind.DEPTHWISE:  # each event is for one filter, that of its channel
        events, sites, filters = events * (count / work.filters), sites * (count / work.filters), np.ones_like(count)
    cost = event_constant(work, device)[1].number
    scan = np.zeros_like(events) + sites * filters * device.timing.scan.number
    nothing = np.zeros_like(events)
    return LayerCost(events, events * filters * cost, scan, nothing, nothing)


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


def waiting(layer: PlacedLayer, busy: LayerCost, device: Device) -> Array:
    """Clocks without work: for the image, for events that come slower than they are worked on, and for the way."""
    traffic = device.traffic
    wait = np.zeros_like(busy.clocks)
    if layer.unit is Unit.HRC:
        if traffic.dma_bytes.number:
            wait = np.maximum(0.0, layer.parts[0].input_bytes / traffic.dma_bytes.number - busy.clocks)
    elif layer.unit is not Unit.DMA:
        if traffic.link_events.number:
            wait = np.maximum(0.0, busy.events / traffic.link_events.number - busy.clocks)
        wait = wait + traffic.hop.number * np.array([[hops(part.np, device)] for part in layer.parts])
    return wait


def event_constant(work: Work, device: Device) -> tuple[str, Constant]:
    """The clocks of one event for one filter, and their name; of the nearest kernel and width that are known.

    A kernel or width that the table does not have costs as much as the next larger one; beyond the largest kernel,
    the largest in proportion to its elements.
    """
    table = device.timing.event_clocks
    if work.kind is Kind.MERGE:
        return "merge", table["merge"]
    kind = "conv" if work.kind is Kind.DENSE else str(work.kind)
    known = sorted(found for name in table if (found := kernel_and_bits(kind, name)))
    if not known:
        message = "the device file has no event_clocks for this kind of layer"
        raise fail("DEVICE-MISSING", message, where=device.name, found=kind, allowed=", ".join(table))
    size = max(work.kernel)
    nearest = next((k for k, _ in known if k >= size), known[-1][0])
    widths = [bits for k, bits in known if k == nearest]
    bits = next((b for b in widths if b >= work.weight_bits), widths[-1])
    name = f"{kind} {nearest}x{nearest} {bits} bits"
    factor = (size / nearest) ** 2 if size > nearest else 1.0
    return name, table[name]._replace(value=table[name].number * factor)


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
