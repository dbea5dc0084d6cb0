"""ONNX's own cases of single operators, as files that the importer reads.

The first operand is the input of the model, with its further ones of the same batch for sums and the like; what remains
becomes constants.  The first dimension is the batch; vectors get one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.importer import read_graph
from cnn2snn_ir.frontends.onnx.standard.importer import Imported, import_standard
from cnn2snn_ir.frontends.onnx.standard.inference import inferred_shapes
from cnn2snn_ir.ir import Value
from cnn2snn_ir.reference import run

Array = npt.NDArray[Any]

SEVERAL = {"Add", "Sub", "Mul", "Div", "Sum", "Concat", "Max", "Min"}
"""Operators of which more than one operand may depend on the input."""


@dataclass(frozen=True)
class Case:
    """A model, its inputs by name and its outputs in order, all in ONNX's order of dimensions."""

    name: str
    model: Any
    inputs: dict[str, Array]
    outputs: list[Array]
    tolerance: tuple[float, float]


@cache
def cases() -> dict[str, list[Case]]:
    """Operator ▶ its cases; models of several nodes, which write an operator out, by `expanded`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators divide by zero, on purpose
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases()
    result: dict[str, list[Case]] = {}
    for case in found:
        nodes = case.model.graph.node
        arrays = [*case.data_sets[0][0], *case.data_sets[0][1]]
        if all(isinstance(a, np.ndarray | np.generic) for a in arrays):
            key = nodes[0].op_type if len(nodes) == 1 and not nodes[0].domain else "expanded"
            result.setdefault(key, []).append(prepared(case))
    return result


def prepared(case: Any) -> Case:
    """A case with constants and a batch of any size."""
    model, (given, wanted) = onnx.ModelProto.FromString(case.model.SerializeToString()), case.data_sets[0]
    inputs = dict(zip([i.name for i in model.graph.input], map(np.asarray, given), strict=True))
    first = next(iter(inputs.values()), np.zeros(()))
    several = len(model.graph.node) == 1 and model.graph.node[0].op_type in SEVERAL
    data = {
        name: array
        for index, (name, array) in enumerate(inputs.items())
        if index == 0 or (several and array.shape[:1] == first.shape[:1] and array.ndim == first.ndim)
    }
    vector = first.ndim == 1
    if len(model.graph.node) == 1 and model.graph.node[0].op_type == "Reshape":
        target = inputs[model.graph.node[0].input[1]]
        target[0] = 0 if target[0] == len(first) else target[0]  # the batch, whatever its size
    for info in list(model.graph.input):
        if info.name not in data:
            model.graph.input.remove(info)
            model.graph.initializer.append(onnx.numpy_helper.from_array(inputs[info.name], info.name))
            continue
        dims = info.type.tensor_type.shape.dim
        if vector:
            dims.add().dim_value = len(first)
        if dims:
            dims[0].dim_param = "N"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    data = {name: array[None] if vector else array for name, array in data.items()}
    outputs = [array[None] if vector else np.asarray(array) for array in wanted]
    return Case(case.name, model, data, outputs, (max(case.rtol, 1e-3), max(case.atol, 1e-5)))


def imported(model: Any, folder: Path, input_shape: Any = None) -> Imported:
    """Import a model by way of a file."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return import_standard(read_graph(path, inline=bool(model.functions)), partial(inferred_shapes, path), input_shape)


def computed(found: Imported, inputs: dict[str, Array]) -> list[Array]:
    """The outputs of a module, with inputs and outputs in ONNX's order of dimensions."""
    given = {name: array.transpose(found.inputs[name]) for name, array in inputs.items()}
    results = run(found.module, given)
    if any(d.code == "ONNX-REALS" for d in found.found):
        results = tuple(integers(v, y) for v, y in zip(found.module.outputs, results, strict=True))
    return [y.transpose(np.argsort(axes)) for y, axes in zip(results, found.outputs.values(), strict=True)]


def integers(value: Value, reals: Array) -> Array:
    """The integers of a value that the model has as such: those that its last op rounds to, or else the reals."""
    op = value.owner
    while isinstance(op, nn.Transpose | nn.Reshape):
        op = op.x.owner
    if not isinstance(op, nn.FakeQuantize):
        return reals
    zero = 0 if op.zero_point is None else op.zero_point.array
    return np.rint(reals / op.scale.array) + zero
