"""Runs a module op by op with the reference semantics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Graph, Op, Value
from cnn2snn_ir.reference import akida2 as _akida2  # registers its semantics
from cnn2snn_ir.reference import nn as _nn
from cnn2snn_ir.reference import qnn as _qnn
from cnn2snn_ir.reference.semantics import TABLE, Array, carrier

__all__ = ["evaluate_op", "run", "run_all"]
_REGISTERED = (_akida2, _nn, _qnn)

Observer = Callable[[Op, Array], None]


def evaluate_op(op: Op, *inputs: Array) -> Array:
    """The result of one op for given operand arrays (int64 or float32)."""
    meaning = TABLE.get(type(op))
    if meaning is None:
        raise fail("RUN-NO-SEMANTICS", "this op cannot be executed", where=op.op_name)
    return meaning(op, *inputs)


def run(
    module: builtin.Module, inputs: Mapping[str, Array] | Array, observe: Observer | None = None
) -> tuple[Array, ...]:
    """The module's outputs for a batch.

    `inputs` is the array of the only input, batch first, or one array for each input by name.
    `observe(op, result)` is called after every op.
    """
    environment: dict[Value, Array] = {}
    for op in module.inputs:
        array = inputs[op.result.name or ""] if isinstance(inputs, Mapping) else inputs
        environment[op.result] = checked_input(op, array)
    return _run_graph(module.body, environment, observe)


def run_all(module: builtin.Module, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Every named intermediate result, by name."""
    results: dict[str, Array] = {}

    def observe(op: Op, array: Array) -> None:
        if (name := op.results[0].name) is not None:
            results[name] = array

    run(module, inputs, observe)
    return results


def checked_input(op: builtin.Input, array: Array) -> Array:
    """The input in its carrier type; raises `CompileError` if shape or values do not fit."""
    if array.shape[1:] != op.shape:
        raise fail(
            "RUN-INPUT-SHAPE",
            "the input has another shape than the model's",
            where=op.result.name or "input",
            found=str(tuple(array.shape)),
            allowed=f"(batch, {', '.join(map(str, op.shape))})",
        )
    if not op.element.is_float and (array.dtype.kind not in "iu" or not op.element.contains(array)):
        raise fail(
            "RUN-INPUT-TYPE",
            "the input has values that the model's input type does not hold",
            where=op.result.name or "input",
            found=f"{array.dtype}",
            allowed=f"integers from {op.element.lo} to {op.element.hi}",
        )
    return array.astype("float32") if op.element.is_float else carrier(array)


def _run_graph(graph: Graph, environment: dict[Value, Array], observe: Observer | None) -> tuple[Array, ...]:
    for op in graph:
        if isinstance(op, builtin.Return):
            return tuple(environment[v] for v in op.operands)
        if isinstance(op, builtin.Input):
            result = environment[op.result]
        elif isinstance(op, qnn.Block):
            (result,) = _run_graph(op.body, environment, observe)
        else:
            result = evaluate_op(op, *(environment[v] for v in op.operands))
        environment[op.results[0]] = result
        if observe is not None:
            observe(op, result)
    return ()
