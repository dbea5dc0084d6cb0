"""Simulates a placed program: costs of its layers, their schedule, its energy, all in one record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from cnn2snn_ir.backends.mapping import Mapping, PassPlan, PlacedLayer, SequencePlan
from cnn2snn_ir.backends.mapping.plan import packed_bytes
from cnn2snn_ir.backends.mapping.work import layer_name
from cnn2snn_ir.device import Device
from cnn2snn_ir.device.tables import Confidence, unit_of
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir import location as locations
from cnn2snn_ir.runtime.storage import Array
from cnn2snn_ir.runtime.timing import result
from cnn2snn_ir.runtime.timing.activity import Activity
from cnn2snn_ir.runtime.timing.energy import layer_energy
from cnn2snn_ir.runtime.timing.laws import LayerCost, layer_cost
from cnn2snn_ir.runtime.timing.schedule import Stage, latencies, schedule
from cnn2snn_ir.runtime.timing.timeline import timeline, unit_number

BOUNDS = {
    "events": "events",
    "scan": "looking for events",
    "memory": "external memory",
    "noc": "network on chip",
    "reload": "new weights for the pass",
    "spill": "activations between passes",
}
"""Part of the clocks ▶ what bounds a layer of which it is the largest."""


@dataclass(frozen=True, eq=False)
class Costed:
    """A layer with its costs."""

    layer: PlacedLayer
    plan: PassPlan
    sequence: int
    rows: Array
    """Activity of its input [frames, rows]."""
    cost: LayerCost
    reload: float
    """Clocks of new weights in every frame."""
    switch: float
    """Clocks of the change to the pass that it begins."""
    later: float
    """Further ones in every frame but the first: the first pass has to come back."""
    spill: float

    @cached_property
    def clocks(self) -> Array:
        """Of the slowest unit, with what the pass adds [frames]."""
        return np.asarray(self.cost.clocks.max(axis=0)) + self.reload + self.switch + self.spill


def simulate(
    mapping: Mapping, activity: Activity, *, batch: int = 1, handoff: str | None = None, what_if: float | None = None
) -> result.Simulation:
    """Time and energy of a placed program for the activity of some frames; `batch` frames go through it together.

    `handoff` overrides the device's; `what_if` says that the activity was assumed, with which density.
    """
    device = mapping.device
    handoff = handoff or str(device.timing.handoff.value)
    layers = list(costed(mapping, activity))
    stages = stages_of(layers)
    frames = len(layers[0].rows) if layers else 1
    alone = latencies(stages)
    start, end = schedule(stages, batch, handoff == "single")
    latency = float(alone.mean())
    on_chip = {c.layer.work.op for c in layers}
    results = tuple(layer_result(c, device, on_chip) for c in layers)
    energies = [r.energy for r in results if r.energy is not None]
    floor = device.energy.floor_mw.number * latency / device.clock_hz if device.energy is not None else 0.0
    dynamic = sum(e.dynamic for e in energies) / 1e3 if device.energy is not None else None
    return result.Simulation(
        model=mapping.module.sym_name,
        source=str(mapping.module.annotations.get("source", "")),
        device=device_result(device),
        mode=str(mapping.mode),
        frames=frames,
        batch=batch,
        handoff=handoff,
        what_if_density=what_if,
        nps=max((p.nps for p in mapping.passes), default=0),
        assigned_nps=mapping.nps,
        input_engine=mapping.input_engine,
        skip_dmas=len(mapping.skips),
        external_bytes=mapping.external_bytes,
        program_bytes=mapping.program_bytes,
        program_clocks=device.timing.program_load.number * mapping.program_bytes,
        sequences=tuple(sequence_result(s, layers) for s in mapping.sequences),
        layers=results,
        latency_clocks=latency,
        batch_clocks=latency if batch == 1 else float(end.max(initial=0.0)),
        slowest_frame_clocks=float(alone.max()),
        dynamic_mj=dynamic,
        total_mj=None if dynamic is None else dynamic + floor,
        assumptions=assumptions(device),
        stated_errors=device.stated_errors,
        notes=tuple(notes(mapping, what_if)),
        timeline=tuple(timeline(layers, start, end)),
    )


def costed(mapping: Mapping, activity: Activity) -> Iterator[Costed]:
    """Every layer on the chip with its costs."""
    device = mapping.device
    timing = device.timing
    for number, sequence in enumerate(mapping.sequences):
        many = len(sequence.passes) > 1
        for plan in sequence.passes:
            unread = set(plan.spilled)
            for layer in plan.layers:
                rows = np.asarray(activity[layer.work.op])
                cost = layer_cost(layer, rows, device)
                fresh = [v for v in layer.work.op.operands if v in unread]
                unread.difference_update(fresh)
                weights = layer.held_bytes * timing.reload.number if many else 0.0
                always = plan.index > 0 or bool(timing.reload_first.value)
                begins = many and layer is plan.layers[0]
                switch = timing.pass_switch.number if begins else 0.0
                spill = 2 * timing.spill.number * sum(packed_bytes(v) for v in fresh)  # out, and in again
                yield Costed(
                    layer,
                    plan,
                    number,
                    rows,
                    cost,
                    weights if always else 0.0,
                    switch if always else 0.0,
                    0.0 if always else weights + switch,
                    spill,
                )


def stages_of(layers: Sequence[Costed]) -> list[Stage]:
    """The layers as stages of the pipeline."""
    place = {c.layer.work.op: i for i, c in enumerate(layers)}
    order = {(c.sequence, c.plan.index): None for c in layers}
    turn = {key: index for index, key in enumerate(order)}
    return [
        Stage(
            c.clocks,
            c.later,
            turn[c.sequence, c.plan.index],
            tuple(dict.fromkeys(place[op] for op in producers(c.layer.work.op) if op in place)),
        )
        for c in layers
    ]


def producers(op: Op) -> Iterator[Op]:
    """The layers that an op reads, through ops without work of their own."""
    for value in op.operands:
        if value.owner.op_name.partition(".")[0] in ("akida1", "akida2"):
            yield value.owner
            if len(value.owner.operands) == 1 and value.owner.op_name.endswith("input_data"):
                yield from producers(value.owner)


def layer_result(c: Costed, device: Device, on_chip: set[Op]) -> result.LayerResult:
    """The record of one layer."""
    work = c.layer.work
    clocks = result.LayerClocks(*c.cost.of_slowest, reload=c.reload + c.switch, spill=c.spill)
    largest = max(BOUNDS, key=lambda name: getattr(clocks, name))
    total = float(c.rows.sum()) / len(c.rows)
    density = total / work.sites if work.sites else 0.0
    dense = c.layer.unit is Unit.HRC
    events_in, clocks_of = c.cost.events.mean(axis=1).tolist(), c.cost.clocks.mean(axis=1).tolist()
    moved = sum(events_in) * device.traffic.event_bytes.number + (c.layer.held_bytes if c.reload else 0)
    if c.layer.unit is Unit.FNP2:
        moved += work.weight_bytes(work.filters)
    if dense:
        moved = float(sum(part.input_bytes for part in c.layer.parts))
    working = float(c.cost.event_clocks.mean(axis=1).sum())
    return result.LayerResult(
        name=work.name,
        kind=type(work.op).__name__,
        sources=tuple(result.SourceLayer(s.name, s.kind) for s in locations.layers(work.op.loc)),
        inputs=tuple(layer_name(op) for op in producers(work.op) if op in on_chip),
        sequence=c.sequence,
        pass_index=c.plan.index,
        unit=c.layer.unit.upper(),
        input_shape=work.x.type.per_sample,
        output_shape=work.op.results[0].type.per_sample,
        kernel=work.kernel,
        weight_bits=work.weight_bits,
        weight_bytes=work.weight_bytes(work.filters) if work.weight_bits else 0,
        parts=tuple(
            result.PartResult(
                unit=unit_number(c.layer.unit, part.np),
                rows=part.rows,
                halo=part.halo,
                filters=part.filters,
                weight_bytes=part.weight_bytes,
                input_bytes=part.input_bytes,
                events=events,
                clocks=busy,
            )
            for part, events, busy in zip(c.layer.parts, events_in, clocks_of, strict=True)
        ),
        sites=work.sites,
        events=total,
        density_histogram=histogram(c.rows, work.sites // max(1, c.rows.shape[1])),
        macs=float(work.macs),
        event_macs=float(work.macs) * (1.0 if dense else density),
        moved_bytes=moved,
        clocks=clocks,
        bound="dense input engine" if dense and largest == "events" else BOUNDS[largest],
        energy=None
        if device.energy is None
        else layer_energy(c.layer, device.energy, device.clock_hz, working, c.reload, clocks.total),
    )


def histogram(rows: Array, length: int) -> tuple[int, ...]:
    """Rows by the fraction that is not zero."""
    bins = result.DENSITY_BINS
    found = np.minimum((rows * bins / max(1, length)).astype(np.int64), bins - 1)
    return tuple(int(n) for n in np.bincount(found.reshape(-1), minlength=bins))


def sequence_result(sequence: SequencePlan, layers: Sequence[Costed]) -> result.SequenceResult:
    """The record of a sequence."""
    mine = {c.layer: c for c in layers}
    passes = tuple(
        result.PassResult(
            index=plan.index,
            nps=plan.nps,
            reload_bytes=plan.held_bytes,
            spill_bytes=float(plan.spill_bytes),
            layers=tuple(layer.work.name for layer in plan.layers),
            clocks=float(sum(mine[layer].clocks.mean() for layer in plan.layers)),
        )
        for plan in sequence.passes
    )
    names = tuple(layer_name(op) for op in sequence.ops if op.results)
    return result.SequenceResult(sequence.name, str(sequence.place), passes, names)


@cache
def device_result(device: Device) -> result.DeviceResult:
    """What a reader of the result needs of a device."""
    rows, columns = (int(n) for n in device.chip.mesh.value)
    return result.DeviceResult(
        name=device.name,
        generation=device.generation,
        confidence=str(device.confidence),
        clock_hz=device.clock_hz,
        nodes=int(device.chip.nodes.value),
        nps_per_node=int(device.chip.nps_per_node.value),
        mesh=(rows, columns),
        peak_macs_per_clock=device.nps * device.limits.np_macs_per_clock.number,
        input_bytes_per_clock=device.traffic.link_events.number * device.traffic.event_bytes.number,
        has_energy=device.energy is not None,
    )


@cache
def assumptions(device: Device) -> tuple[result.Assumption, ...]:
    """Every constant of the device."""
    return tuple(
        result.Assumption(name, constant.text, unit_of(name), constant.source, str(constant.confidence))
        for name, constant in device.constants().items()
    )


def notes(mapping: Mapping, what_if: float | None) -> Iterator[str]:
    """What a reader must know."""
    device = mapping.device
    if device.confidence in (Confidence.LOW, Confidence.ASSUMED):
        yield f"low confidence: timing of Akida {device.generation[1:]} rests on few published measurements"
    if what_if is not None:
        yield f"what-if: densities were assumed, {what_if:g} in the mean; nothing was counted"
    if device.energy is None:
        yield f"no energy: none is published for {device.name}"
    hosted = [op.op_name for op in mapping.host_ops if not op.op_name.endswith(("quantizer", "reshape"))]
    if hosted:
        yield f"the host computes {len(hosted)} layers, whose time and energy are not in these numbers"
    if len(mapping.passes) > 1:
        yield "more than one pass: frames of a batch follow each other, they do not overlap"
