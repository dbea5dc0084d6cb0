"""Float models as ONNX files, run by onnxruntime with every intermediate tensor as an output.

Images are channels first in ONNX; what is handed out is channels last, like everything else here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.runtime.floats.model import Array, FloatValue, missing_library, not_runnable, unreadable

CHANNELS_FIRST = ("BatchNormalization", "Conv", "ConvTranspose")
"""Nodes whose results have channels first; and so has every kind of pooling."""

DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


class OnnxModel:
    """An ONNX file with one input."""

    def __init__(self, path: Path, layers: Collection[str]) -> None:
        """Open the file; `layers` are the names to look for in those of nodes and tensors."""
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise missing_library(path, "onnx and onnxruntime", "onnx", error) from error
        try:
            model = onnx.load(path)
            self.values = tuple(values_of(model.graph, layers))
            self.output = model.graph.output[0].name
            told = {output.name for output in model.graph.output}
            model.graph.output.extend(onnx.ValueInfoProto(name=v.key) for v in self.values if v.key not in told)
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception as error:  # both libraries have a class of their own for every kind of fault
            raise unreadable(path, error) from error
        self.path, self.session = path, session
        self.moved = channels_first(model.graph)
        self.input = the_input(path, session)

    def run(self, x: Array, keys: Collection[str]) -> dict[str, Array]:
        """Some tensors."""
        names = [value.key for value in self.values if value.key in keys]
        batch, *shape = self.input.shape
        try:
            given = x.astype(DTYPES[self.input.type])
            if not fits(given, shape) and fits(np.moveaxis(given, -1, 1), shape):
                given = np.moveaxis(given, -1, 1)
            size = batch if isinstance(batch, int) else len(given)  # an exported model may take one sample at a time
            parts = [
                self.session.run(names, {self.input.name: given[start : start + size]})
                for start in range(0, len(given), size)
            ]
        except Exception as error:  # onnxruntime has many classes of errors, none of them public
            raise not_runnable(self.path, x, shape, error) from error
        arrays = (np.concatenate(array) for array in zip(*parts, strict=True))
        return {name: self.channels_last(name, array) for name, array in zip(names, arrays, strict=True)}

    def channels_last(self, name: str, array: Array) -> Array:
        """A tensor in the order that the quantized model has."""
        return np.moveaxis(array, 1, -1) if name in self.moved and array.ndim > 2 else array


def values_of(graph: Any, layers: Collection[str]) -> Iterator[FloatValue]:
    """The first result of every node."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update(node.output)
        elif node.output and node.output[0]:
            inputs = tuple(name for name in node.input if name and name not in constants)
            layer = layer_of((node.name, node.output[0]), layers)
            yield FloatValue(node.output[0], layer, node.op_type, inputs)


def layer_of(names: tuple[str, str], layers: Collection[str]) -> str:
    """The layer that names of a node and its tensor speak of: `net/conv2d/BiasAdd:0` is of `conv2d`.

    The longest that fits; if none does, the node is a layer of its own.
    """
    paths = [f"/{name.partition(':')[0]}/" for name in names]
    found = [layer for layer in layers if any(f"/{layer}/" in path for path in paths)]
    return max(found, key=len, default=names[1])


def channels_first(graph: Any) -> set[str]:
    """The tensors with channels first: of convolutions and poolings, and what follows elementwise."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
            moved = order == [0, len(order) - 1, *range(1, len(order) - 1)]
        elif node.op_type in ("Reshape", "Flatten"):
            moved = False
        else:
            moved = node.op_type in CHANNELS_FIRST or "Pool" in node.op_type or any(i in found for i in node.input)
        if moved:
            found.update(node.output)
    return found


def fits(x: Array, shape: list[Any]) -> bool:
    """True if samples have a declared shape, whose unknown dimensions fit any size."""
    pairs = zip(x.shape[1:], shape, strict=False)
    return x.ndim == 1 + len(shape) and all(not isinstance(d, int) or d == size for size, d in pairs)


def the_input(path: Path, session: Any) -> Any:
    """The only input."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in DTYPES:
        found = ", ".join(f"{i.name}: {i.type}" for i in inputs) or "none"
        allowed = f"one of {', '.join(DTYPES)}"
        raise fail("FLOAT-MODEL", "the float model must have one input", where=str(path), found=found, allowed=allowed)
    return inputs[0]
