"""Maps a program on a device: sequences, passes, NPs.  The same program, device and mode give the same map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from cnn2snn_ir.backends.mapping.division import Division, DoesNotFitError, parts_of, smallest_division
from cnn2snn_ir.backends.mapping.modes import MapMode, divide
from cnn2snn_ir.backends.mapping.plan import Mapping, PassPlan, PlacedLayer, SequencePlan
from cnn2snn_ir.backends.mapping.work import STREAMED, Work, work_of
from cnn2snn_ir.device import Device
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, fail
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.npu import Place
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.ir.verify import place

GENERATIONS = {"akida1": "v1", "akida2": "v2"}
"""Dialect ▶ generation of the chips that run it."""

HELD = builtin.Input | builtin.State | builtin.Store | builtin.Return
"""Ops that stand around the sequences."""

CONVERSIONS = ("quantizer", "linear_quantizer", "dequantizer")
"""Layers that change between reals and integers, which the host computes always."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """An op that computes, and how it could be on the chip."""

    op: Op
    work: Work | None
    division: Division | None
    streamed: bool

    @property
    def on_chip(self) -> bool:
        """Whether the chip can have it."""
        return self.division is not None or self.streamed


def map_program(
    module: builtin.Module,
    device: Device,
    mode: MapMode | str = MapMode.ALL_NPS,
    *,
    hw_only: bool = False,
    passes: int | None = None,
) -> Mapping:
    """Place a program of `akida1` or `akida2` layers.

    What the chip does not run goes to the host.  Raises `CompileError` with every reason if the program is for
    another generation, if the device does not have the mode, and, with `hw_only`, if layers would go to the host that
    do not only convert numbers.  `passes` asks for another number of passes in `hw-pr`.
    """
    mode = known_mode(mode)
    check_generation(module, device)
    if mode is MapMode.HW_PR and not device.chip.multi_pass.value:
        allowed = "minimal, all-nps"
        raise fail("MAP-MODE", "the device has no passes", where=device.name, found=mode, allowed=allowed)
    problems = Diagnostics()
    candidates = [candidate(op, device, problems) for op in module.body if not isinstance(op, HELD)]
    sequences: list[SequencePlan] = []
    for on_chip, group in groupby(candidates, key=lambda c: c.on_chip):
        run = list(group)
        if on_chip and any(c.division is not None for c in run):
            sequences.extend(on_hardware(run, device, mode, passes, len(sequences), problems))
        else:
            sequences.append(host(run, len(sequences)))
    if hw_only:
        problems.raise_errors(f"{module.sym_name} does not fit {device.name}")
    return Mapping(module, device, mode, tuple(merged(sequences)), tuple(skips(candidates)), tuple(problems))


def known_mode(mode: MapMode | str) -> MapMode:
    """The mode of that name, as the vendor or as we write it; raises `CompileError` for another one."""
    names = {m.replace("-", ""): m for m in MapMode}
    key = str(mode).lower().replace("-", "").replace("_", "").rpartition(".")[2]
    if key not in names:
        raise fail("MAP-MODE", "there is no such mode", found=str(mode), allowed=", ".join(MapMode))
    return names[key]


def check_generation(module: builtin.Module, device: Device) -> None:
    """Raise `CompileError` if the program is for other chips, or for none."""
    found = {GENERATIONS[d] for op in module.body if (d := op.op_name.partition(".")[0]) in GENERATIONS}
    if found == {device.generation}:
        return
    what = f"a program for Akida {', '.join(sorted(v[1:] for v in found))}" if found else "no hardware layers"
    raise fail(
        "DEVICE-GENERATION",
        "the program cannot run on this device",
        where=device.name,
        found=what,
        allowed=f"a program for Akida {device.generation[1:]}",
        help=f"convert with --target {device.generation}",
    )


def candidate(op: Op, device: Device, problems: Diagnostics) -> Candidate:
    """How an op could be on the chip; reasons why it cannot go to `problems`."""
    if isinstance(op, STREAMED):
        return Candidate(op, None, None, streamed=True)
    work = work_of(op)
    if work is None:
        if op.op_name.partition(".")[0] in GENERATIONS and op.op_name.partition(".")[2] not in CONVERSIONS:
            problems.add(refusal(op, f"{op.op_name} is not a layer of the neural processors of {device.name}"))
        return Candidate(op, None, None, streamed=False)
    try:
        division = smallest_division(work, device)
    except DoesNotFitError as reason:
        problems.add(refusal(op, str(reason)))
        return Candidate(op, work, None, streamed=False)
    if division.nps > device.nps:
        reason_text = f"{division.nps} NPs ({'; '.join(division.why)}); {device.name} has {device.nps}"
        problems.add(refusal(op, reason_text))
        return Candidate(op, work, None, streamed=False)
    return Candidate(op, work, division, streamed=False)


def refusal(op: Op, found: str) -> Diagnostic:
    """A layer that the device cannot have."""
    help_text = "a device with more NPs, fewer filters or a smaller input; without hw_only the host computes it"
    return Diagnostic("MAP-FIT", "the layer does not fit the device", where=place(op), found=found, help=help_text)


def on_hardware(
    run: list[Candidate], device: Device, mode: MapMode, passes: int | None, number: int, problems: Diagnostics
) -> Iterator[SequencePlan]:
    """The sequence of a run of layers; what a device without passes cannot take goes to the host."""
    layers = [c for c in run if c.division is not None]
    works = [c.work for c in layers if c.work is not None]
    smallest = [c.division for c in layers if c.division is not None]
    divisions, groups = divide(works, smallest, device, mode, passes)
    if len(groups) > 1 and not device.chip.multi_pass.value:
        total = sum(d.nps for d in smallest)
        found = f"{total} NPs in {len(groups)} passes"
        allowed = f"{device.nps} NPs in one pass"
        problems.add(Diagnostic("MAP-PASSES", "the program is too large", device.name, found, allowed))
        rest = run.index(layers[len(groups[0])])
        yield from on_hardware(run[:rest], device, mode, passes, number, problems)
        yield host(run[rest:], number + 1)
        return
    yield SequencePlan(
        f"hw_{number}", Place.HARDWARE, tuple(c.op for c in run), tuple(plans(works, divisions, groups, device))
    )


def plans(works: list[Work], divisions: list[Division], groups: list[list[int]], device: Device) -> Iterator[PassPlan]:
    """The passes of a sequence."""
    home = {works[i].op.results[0]: index for index, group in enumerate(groups) for i in group}
    for index, group in enumerate(groups):
        placed: list[PlacedLayer] = []
        for i in group:
            first = sum(layer.nps for layer in placed)
            parts = parts_of(divisions[i], works[i], device, first)
            placed.append(PlacedLayer(works[i], divisions[i].unit, parts, divisions[i].why))
        read = dict.fromkeys(v for i in group for v in works[i].op.operands if home.get(v, index) < index)
        yield PassPlan(index, tuple(placed), tuple(read))


def host(run: list[Candidate], number: int) -> SequencePlan:
    """Ops that the host computes."""
    return SequencePlan(f"host_{number}", Place.HOST, tuple(c.op for c in run), ())


def merged(sequences: list[SequencePlan]) -> Iterator[SequencePlan]:
    """Sequences of the host that follow each other as one; names count the sequences."""
    number = 0
    for place_of, group in groupby(sequences, key=lambda s: s.place):
        members = list(group)
        if place_of is Place.HOST:
            members = [SequencePlan("", Place.HOST, tuple(op for s in members for op in s.ops), ())]
        for sequence in members:
            prefix = "hw" if sequence.place is Place.HARDWARE else "host"
            yield SequencePlan(f"{prefix}_{number}", sequence.place, sequence.ops, sequence.passes)
            number += 1


def skips(candidates: list[Candidate]) -> Iterator[Value]:
    """Values that wait for a layer that is not the next one."""
    layers = [c.op for c in candidates if c.division is not None]
    order = {op: index for index, op in enumerate(layers)}
    for op in layers:
        users = [order[user] for value in op.results for user in value.users if user in order]
        if any(index > order[op] + 1 for index in users):
            yield op.results[0]
