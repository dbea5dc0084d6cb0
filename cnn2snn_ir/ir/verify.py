"""The verifier: structure, fields, result types, then each op's own rules.

It collects: one run reports every fault.  A check that needs what an earlier check found broken is skipped,
so that one fault is not reported as five.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.ir.fields import Role
from cnn2snn_ir.ir.graph import Graph
from cnn2snn_ir.ir.location import Text, layers
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.values import Use, Value

CODES = {
    "IR-USE": "operands and uses must agree in both directions",
    "IR-ORDER": "a value must be defined before it is used, in this graph or one around it",
    "IR-NAME": "value names are unique in a module",
    "IR-ARITY": "an op has the operands, results and regions of its field table",
    "IR-FIELD": "an attribute has the kind and bounds of its field",
    "IR-TYPE": "result types are those that follow from the fields",
    "IR-OP": "the op's own rules",
    "IR-RETURN": "a graph ends in builtin.return, which stands nowhere else",
}
"""Every code of this file, and what it demands."""


INCOMPLETE = ("IR-ARITY", "IR-FIELD")
"""Codes of an op that lacks something: what is around it cannot ask it."""


def place(op: Op) -> str:
    """How a diagnostic names an op: its layer if it has one, its result, its kind."""
    name = next((f"%{r.name}" for r in op.results if r.name), "")
    sources = layers(op.loc)
    layer = f"{sources[0]}, " if sources and f"%{sources[0].name}" != name else ""
    line = f" at {op.loc}" if isinstance(op.loc, Text) else ""
    return f"{layer}{name + ' ' if name else ''}({op.op_name}){line}"


def verify(op: Op) -> Diagnostics:
    """Every fault of `op` and of all that is nested in it."""
    found = Diagnostics()
    found.extend(_verify_op(op, set(), {}))
    return found


def _verify_op(op: Op, visible: set[Value], names: dict[str, Value]) -> Iterator[Diagnostic]:
    yield from _structure(op, visible)
    arity = list(_arity(op))
    yield from arity
    inside = [fault for graph in op.regions for fault in _verify_graph(op, graph, visible, names)]
    yield from inside
    if not arity:
        fields = list(_fields(op))
        yield from fields
        if not fields and not any(fault.code in INCOMPLETE for fault in inside):
            yield from _types(op)


def _verify_graph(owner: Op, graph: Graph, visible: set[Value], names: dict[str, Value]) -> Iterator[Diagnostic]:
    defined: list[Value] = []
    if graph.owner is not owner:
        yield _fault("IR-USE", owner, "a region does not know the op that holds it")
    for op in graph:
        yield from _verify_op(op, visible, names)
        if op.op_name == "builtin.return" and op is not graph.last:
            yield _fault("IR-RETURN", op, "a return must be the last op of its graph")
        for value in op.results:
            if value.name is not None and names.setdefault(value.name, value) is not value:
                yield _fault("IR-NAME", op, f"the name %{value.name} is taken")
            visible.add(value)
            defined.append(value)
    visible.difference_update(defined)


def _structure(op: Op, visible: set[Value]) -> Iterator[Diagnostic]:
    for index, value in enumerate(op.operands):
        if Use(op, index) not in value._uses:
            yield _fault("IR-USE", op, f"operand {index} does not list this use")
        if value not in visible:
            yield _fault(
                "IR-ORDER", op, f"operand {index} is not defined before its use", found=f"%{value.name or '?'}"
            )
    for result in op.results:
        if result.owner is not op:
            yield _fault("IR-USE", op, f"result {result.index} has another owner")
        for use in result.uses:
            operands = use.op.operands
            if use.position >= len(operands) or operands[use.position] is not result:
                yield _fault("IR-USE", op, f"lists a use by {use.op.op_name} that is none")


def _arity(op: Op) -> Iterator[Diagnostic]:
    single = sum(f.role is Role.OPERAND for f in op.fields)
    variadic = any(f.role is Role.OPERANDS for f in op.fields)
    regions = sum(f.role is Role.REGION for f in op.fields)
    if len(op.operands) < single or (len(op.operands) > single and not variadic):
        allowed = f"{'at least ' if variadic else ''}{single}"
        yield _fault("IR-ARITY", op, "wrong number of operands", str(len(op.operands)), allowed)
    if op.result_count is not None and len(op.results) != op.result_count:
        yield _fault("IR-ARITY", op, "wrong number of results", str(len(op.results)), str(op.result_count))
    if len(op.regions) != regions:
        yield _fault("IR-ARITY", op, "wrong number of regions", str(len(op.regions)), str(regions))


def _fields(op: Op) -> Iterator[Diagnostic]:
    known = {f.name: f for f in op.fields if f.role is Role.ATTR}
    for name, field in known.items():
        if name not in op.attributes:
            yield _fault("IR-FIELD", op, f"attribute {name} is missing")
        elif sentence := field.fault(op.attributes[name]):
            yield _fault("IR-FIELD", op, f"attribute {name} {sentence}")
    for name in op.attributes:
        if name not in known:
            yield _fault("IR-FIELD", op, f"has no attribute called {name}", allowed=", ".join(known))


def _types(op: Op) -> Iterator[Diagnostic]:
    for result in op.results:
        if result.type.rank == 0:
            yield _fault("IR-TYPE", op, "a value has a batch dimension", str(result.type), "tensor<?x…>")
    if any(value.type.rank == 0 for value in (*op.operands, *op.results)):
        return  # shapes follow from operands that have one
    if not (op.quantizes or op.regions) and any(not r.type.element.is_float for r in op.results):
        for value in op.operands:
            if value.type.element.is_float:
                yield _fault("IR-TYPE", op, "integers are computed from integers", str(value.type), "a quantizer first")
                return
    try:
        inferred = op.infer()
    except ValueError as error:
        yield _fault("IR-TYPE", op, str(error))
        return
    if len(inferred) != len(op.results):
        yield _fault("IR-ARITY", op, "wrong number of results", str(len(op.results)), str(len(inferred)))
        return
    for result, expected in zip(op.results, inferred, strict=True):
        if result.type != expected:
            yield _fault("IR-TYPE", op, "wrong result type", str(result.type), str(expected))
            return
    for diagnostic in op.verify():
        yield _fault(diagnostic.code, op, diagnostic.message, diagnostic.found, diagnostic.allowed)


def _fault(code: str, op: Op, message: str, found: str = "", allowed: str = "") -> Diagnostic:
    return Diagnostic(code, message, where=place(op), found=found, allowed=allowed)
