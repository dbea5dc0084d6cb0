"""Runs a module op by op with the reference semantics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import Graph, Op, Value
from cnn2snn_ir.reference.carriers import evaluate_carried
from cnn2snn_ir.reference.semantics import Array, carrier, meaning

__all__ = ["evaluate_op", "run", "run_all"]

Observer = Callable[[Op, Array], Array | None]
"""Sees an op and its first result; what it returns, if anything, goes on in the place of that result."""

Memory = dict[str, Array]
"""What streams remember between calls, by the name of the memory; the batch of streams comes first."""


def evaluate_op(op: Op, *inputs: Array) -> Array:
    """The result of an op of one result for given operand arrays (int64 or float32)."""
    (result,) = evaluate(op, *inputs)
    return result


def evaluate(op: Op, *inputs: Array) -> tuple[Array, ...]:
    """The results of one op for given operand arrays (int64 or float32)."""
    function = meaning(type(op))
    if function is None:
        raise fail("RUN-NO-SEMANTICS", "this op cannot be executed", where=op.op_name)
    found = function(op, *inputs)
    return found if isinstance(found, tuple) else (found,)


def run(
    module: builtin.Module,
    inputs: Mapping[str, Array] | Array,
    observe: Observer | None = None,
    memory: Memory | None = None,
    *,
    float32_carriers: bool = False,
) -> tuple[Array, ...]:
    """The module's outputs for a batch.

    `inputs` is the array of the only input, batch first, or one array for each input by name.
    `observe(op, result)` is called after every op, with its first result, and may give another one.  `memory` is what
    the streams of the batch remember; it is read and updated, and an empty one (or none) begins with zeros.  With
    `float32_carriers` integers beyond 2^24 are rounded as Keras rounds them (see `carriers.py`).
    """
    environment: dict[Value, Array] = {}
    for op in module.inputs:
        array = inputs[op.result.name or ""] if isinstance(inputs, Mapping) else inputs
        environment[op.result] = checked_input(op, array)
    batch = len(next(iter(environment.values()))) if environment else 1
    machine = _Machine(environment, batch, {} if memory is None else memory, observe, float32_carriers)
    outputs = machine.run(module.body)
    machine.memory.update(machine.stored)
    return outputs


def run_all(
    module: builtin.Module,
    inputs: Mapping[str, Array] | Array,
    memory: Memory | None = None,
    *,
    float32_carriers: bool = False,
) -> dict[str, Array]:
    """Every named intermediate result, by name."""
    results: dict[str, Array] = {}

    def observe(op: Op, array: Array) -> None:
        if (name := op.results[0].name) is not None:
            results[name] = array

    run(module, inputs, observe, memory, float32_carriers=float32_carriers)
    return results


def channels_first(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """True if the last dimensions of a shape are those of maps with their channels in front."""
    return len(shape) == 3 and given[-3:] == (shape[2], *shape[:2])


def checked_input(op: builtin.Input, array: Array) -> Array:
    """The input in its carrier type; raises `CompileError` if shape or values do not fit."""
    return carrier(fitting(op, array))


def fitting(op: builtin.Input, array: Array) -> Array:
    """The input as an array of integers, or of float32; raises `CompileError` if shape or values do not fit."""
    array = as_array(op, array)
    if array.shape[1:] != op.shape:
        raise fail(
            "RUN-INPUT-SHAPE",
            "the input has another shape than the model's",
            where=op.result.name or "input",
            found=str(tuple(array.shape)),
            allowed=f"(batch, {', '.join(map(str, op.shape))})",
            help="channels are last here: give samples.transpose(0, 2, 3, 1)"
            if channels_first(array.shape, op.shape)
            else "",
        )
    if op.element.is_float:
        return reals(op, array)
    if array.dtype.kind not in "iu" or not op.element.contains(array):
        raise wrong_type(op, str(array.dtype))
    return array


def as_array(op: builtin.Input, data: object) -> Array:
    """What was given as an array; raises `CompileError` if it is none, or has elements that do not count."""
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise wrong_type(op, "a masked array, some of whose elements are masked")
    try:
        return np.asarray(data)
    except ValueError:  # numpy wants all rows to be alike
        raise wrong_type(op, "sequences of different lengths") from None


def reals(op: builtin.Input, array: Array) -> Array:
    """Real numbers as float32, infinite where they are too large; raises `CompileError` for other things and NaN."""
    if array.dtype.kind not in "biuf":
        raise wrong_type(op, str(array.dtype))
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if array.size and np.isnan(array.min()):  # NaN if any is, and quicker than to ask each
        raise wrong_type(op, "NaN")
    return array


def wrong_type(op: builtin.Input, found: str) -> CompileError:
    """The error for values that are not the input's."""
    return fail(
        "RUN-INPUT-TYPE",
        "the input has values that the model's input type does not hold",
        where=op.result.name or "input",
        found=found,
        allowed="real numbers" if op.element.is_float else f"integers from {op.element.lo} to {op.element.hi}",
    )


@dataclass
class _Machine:
    """One run: the values computed so far, and what the streams remember."""

    environment: dict[Value, Array]
    batch: int
    memory: Memory
    observe: Observer | None
    float32_carriers: bool
    stored: Memory = field(default_factory=dict)

    def run(self, graph: Graph) -> tuple[Array, ...]:
        """Compute a graph; returns what it returns."""
        for op in graph:
            if isinstance(op, builtin.Return):
                return tuple(self.environment[v] for v in op.operands)
            results = self.step(op)
            if self.observe is not None and results:
                other = self.observe(op, results[0])
                results = results if other is None else (other, *results[1:])
            for value, array in zip(op.results, results, strict=True):
                self.environment[value] = array
        return ()

    def step(self, op: Op) -> tuple[Array, ...]:
        """The results of one op."""
        match op:
            case builtin.Input():
                return (self.environment[op.result],)
            case builtin.State():
                return (carrier(remembered(op, self.memory, self.batch)),)
            case builtin.Store():
                self.stored[op.sym_name] = self.environment[op.value]
                return ()
            case _ if op.regions:  # blocks, and the sequences and passes of placed programs
                return self.run(op.regions[0])
            case _ if op.op_name.startswith("npu."):  # says where a layer runs
                return ()
            case _:
                inputs = (self.environment[v] for v in op.operands)
                return evaluate_carried(op, *inputs) if self.float32_carriers else evaluate(op, *inputs)


def remembered(op: builtin.State, memory: Memory, streams: int) -> Array:
    """What the streams stored at their last call, as it was kept; raises `CompileError` if those were other streams."""
    array = memory.get(op.sym_name)
    if array is None:
        return np.zeros((streams, *op.shape), op.element.dtype)
    if array.shape != (streams, *op.shape) or not op.element.contains(array):
        found = f"memory of shape {tuple(array.shape)}, {array.dtype}"
        allowed = f"({streams}, {', '.join(map(str, op.shape))}), {op.element}"
        message = "this is not the memory of these streams"
        raise fail(
            "RUN-STREAMS", message, where=op.sym_name, found=found, allowed=allowed, help="begin with an empty one"
        )
    return array
