"""A mapping as IR: the program again, its layers in `npu` sequences and passes, each with its assignments."""

from __future__ import annotations

from collections.abc import Iterable

from cnn2snn_ir.backends.mapping.plan import Mapping, PassPlan, PlacedLayer, SequencePlan, packed_bytes
from cnn2snn_ir.dialects import builtin, npu
from cnn2snn_ir.dialects.npu import Place, Unit
from cnn2snn_ir.ir import Graph, Op, Value

Values = dict[Value, Value]


def lower(mapping: Mapping) -> builtin.Module:
    """A new module at the level `npu`; the program itself is left alone."""
    module = mapping.module
    body = Graph()
    values: Values = {}
    sequence_of = {op: sequence for sequence in mapping.sequences for op in sequence.ops}
    done: set[str] = set()
    for op in module.body:
        if op not in sequence_of:
            body.append(op.clone(values))
        elif (sequence := sequence_of[op]).name not in done:
            done.add(sequence.name)
            body.append(_sequence(sequence, mapping, values))
    return builtin.Module(module.sym_name, body, loc=module.loc, annotations=module.annotations)


def _sequence(sequence: SequencePlan, mapping: Mapping, values: Values) -> Op:
    body = Graph()
    if sequence.place is Place.HOST:
        for op in sequence.ops:
            body.append(op.clone(values))
    else:
        layers = {layer.work.op: layer for p in sequence.passes for layer in p.layers}
        for plan, ops in zip(sequence.passes, _by_pass(sequence), strict=True):
            body.append(_pass(plan, ops, layers, set(mapping.skips), values))
    inner = _close(body, sequence.ops, values)
    device, mode = (mapping.device.name, str(mapping.mode)) if sequence.passes else ("", "")
    op = npu.Sequence(sequence.name, sequence.place, device, mode, body, name=sequence.name)
    _hand_out(op, inner, values)
    return op


def _by_pass(sequence: SequencePlan) -> list[list[Op]]:
    """The ops of each pass: its layers, and what has no work in front of the layer behind it."""
    home = {layer.work.op: index for index, p in enumerate(sequence.passes) for layer in p.layers}
    found: list[list[Op]] = [[] for _ in sequence.passes]
    index = 0
    for position, op in enumerate(sequence.ops):
        ahead = (home[later] for later in sequence.ops[position:] if later in home)
        index = next(ahead, index) if op not in home else home[op]
        found[index].append(op)
    return found


def _pass(plan: PassPlan, ops: list[Op], layers: dict[Op, PlacedLayer], skips: set[Value], values: Values) -> Op:
    body = Graph()
    for op in ops:
        copy = body.append(op.clone(values))
        if op in layers:
            for assignment in _assignments(layers[op], copy):
                body.append(assignment)
        for value in op.results:
            if value in skips:
                body.append(npu.SkipDma(values[value], packed_bytes(value)))
    inner = _close(body, ops, values)
    op = npu.Pass(plan.index, plan.nps, plan.held_bytes, plan.spill_bytes, body, name=f"pass_{plan.index}")
    _hand_out(op, inner, values)
    return op


def _assignments(layer: PlacedLayer, op: Op) -> Iterable[Op]:
    for part in layer.parts:
        yield npu.Assign(
            op.results[0],
            layer.unit,
            part.np,
            part.rows,
            part.halo,
            part.filters,
            0 if layer.unit is Unit.DMA else part.weight_bytes,
            part.input_bytes,
        )


def _close(body: Graph, ops: Iterable[Op], values: Values) -> list[Value]:
    """End a graph with what is used outside of it; the original values, in order."""
    members = set(ops)
    used = [v for op in ops for v in op.results if any(user not in members for user in v.users)]
    body.append(builtin.Return(tuple(values[v] for v in used)))
    return used


def _hand_out(op: Op, inner: list[Value], values: Values) -> None:
    """From here on the results of `op` stand for the values that its graph returns."""
    for value, result in zip(inner, op.results, strict=True):
        values[value] = result
