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

import numpy as np

from cnn2snn_ir.backends.mapping import Part, PlacedLayer
from cnn2snn_ir.backends.mapping.work import Kind, Work
from cnn2snn_ir.device import Constant, Device
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.storage import Array


@dataclass(frozen=True)
class PartCost:
    """One unit's share of a layer, by frame."""

    events: Array
    """Events that reach the unit [frames]."""
    event_clocks: Array
    scan_clocks: Array
    memory_clocks: Array
    noc_clocks: Array

    @property
    def clocks(self) -> Array:
        """All of them [frames]."""
        return self.event_clocks + self.scan_clocks + self.memory_clocks + self.noc_clocks


def layer_cost(layer: PlacedLayer, rows: Array, device: Device) -> tuple[PartCost, ...]:
    """The cost of each part of a layer; `rows` is its input's activity [frames, rows]."""
    costs = [_part_cost(layer, part, rows, device) for part in layer.parts]
    return tuple(_with_traffic(layer, part, cost, device) for part, cost in zip(layer.parts, costs, strict=True))


def slowest(costs: tuple[PartCost, ...]) -> Array:
    """Index of the unit that decides, by frame."""
    return np.asarray(np.argmax(np.stack([cost.clocks for cost in costs]), axis=0))


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


def kernel_and_bits(kind: str, name: str) -> tuple[int, int] | None:
    """Kernel size and weight bits of an entry such as `conv 3x3 4 bits`; None if it is for another kind of layer."""
    found = re.fullmatch(rf"{kind} (\d+)x\1 (\d+) bits", name)
    return (int(found[1]), int(found[2])) if found else None


def _part_cost(layer: PlacedLayer, part: Part, rows: Array, device: Device) -> PartCost:
    """Without the network on chip."""
    work, timing = layer.work, device.timing
    nothing = np.zeros(len(rows))
    first, last = part.reach
    whole = work.kind in (Kind.DENSE, Kind.MERGE)  # these are not divided by rows
    events = rows.sum(axis=1) if whole else rows[:, first:last].sum(axis=1)
    events = events.astype(np.float64)
    match layer.unit:
        case Unit.HRC:
            at_once = timing.input_engine_filters.number
            filters = math.ceil(work.filters / at_once) * at_once
            taps = max(1.0, math.prod(work.kernel) * work.channels / timing.input_engine_taps.number)
            clocks = timing.input_engine_clocks.number * filters * work.positions * taps
            return PartCost(events, nothing + clocks, nothing, nothing, nothing)
        case Unit.FNP2:
            weight = timing.external_weight.number * work.weight_bits / 4
            clocks = work.filters * (timing.external_neuron.number + weight * work.channels)
            return PartCost(events, nothing, nothing, nothing + clocks, nothing)
        case Unit.DMA:
            merge = event_constant(work, device)[1].number
            return PartCost(events, nothing, nothing + merge * work.sites, nothing, nothing)
    sites = float((last - first) * work.columns * work.channels)
    at_once = int(device.limits.filters_at_once.value)
    filters = -(-part.filter_count // at_once) * at_once
    if work.kind is Kind.DEPTHWISE:  # each event is for one filter, that of its channel
        share = part.filter_count / work.filters
        events, sites, filters = events * share, sites * share, 1
    cost = event_constant(work, device)[1].number
    return PartCost(events, events * (filters * cost), nothing + sites * filters * timing.scan.number, nothing, nothing)


def _with_traffic(layer: PlacedLayer, part: Part, cost: PartCost, device: Device) -> PartCost:
    """The same with waiting: for events that come slower than they are worked on, and for the image."""
    traffic = device.traffic
    busy = cost.event_clocks + cost.scan_clocks + cost.memory_clocks
    wait = np.zeros(len(busy))
    if layer.unit is Unit.HRC:
        if traffic.dma_bytes.number:
            wait = np.maximum(0.0, part.input_bytes / traffic.dma_bytes.number - busy)
    elif layer.unit is not Unit.DMA:
        if traffic.link_events.number:
            wait = np.maximum(0.0, cost.events / traffic.link_events.number - busy)
        wait = wait + traffic.hop.number * hops(part.np, device)
    return PartCost(cost.events, cost.event_clocks, cost.scan_clocks, cost.memory_clocks, wait)


def hops(np_number: int, device: Device) -> int:
    """Nodes between an NP and the corner of the mesh where memory and the input engine are."""
    columns = max(1, int(device.chip.mesh.value[1]))
    node = np_number // int(device.chip.nps_per_node.value)
    return node // columns + node % columns
