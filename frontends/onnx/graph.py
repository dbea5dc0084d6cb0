"""An ONNX graph as plain data: nodes, constants, functions, declared types.  Nothing above this file sees protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn2snn_ir.frontends.onnx.file import STANDARD_DOMAINS, OnnxFile, described, operator
from cnn2snn_ir.frontends.onnx.tensors import ENCODINGS, Array, StoredTensor


class Reference(NamedTuple):
    """An attribute of a node in a function's body that takes the value of the function's attribute."""

    attribute: str


class Subgraph(NamedTuple):
    """A graph as an attribute, of a loop or branch: nothing here computes it."""

    name: str


class Declared(NamedTuple):
    """What the file says about a value: element type by name, and sizes, which are numbers, symbols or unknown.

    Without a shape, `shape` is None.
    """

    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class Node:
    """One call of an operator.  `inputs` holds empty strings where optional ones are left out.

    Attributes are numbers, strings, tuples of them, `StoredTensor`, `Reference` or `Subgraph`.
    """

    index: int
    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def where(self) -> str:
        """As messages name it."""
        return described(self.name, self.op, self.index)


@dataclass(frozen=True)
class Function:
    """An operator that the file itself defines."""

    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[str, ...]
    nodes: tuple[Node, ...]
    opsets: Mapping[str, int]


@dataclass(frozen=True)
class OnnxGraph:
    """A model file as data.

    `constants` are initializers and the results of Constant nodes, which are not among `nodes`; `inputs` are those
    without an initializer; `functions` are by domain and name.
    """

    path: Path
    sha256: str
    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, StoredTensor | Array]
    values: Mapping[str, Declared]
    functions: Mapping[tuple[str, str], Function]
    opsets: Mapping[str, int]

    def readers(self, value: str) -> list[Node]:
        """The nodes that read a value."""
        return self._readers.get(value, [])

    @cached_property
    def _readers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    def constant(self, name: str, node: Node) -> Array:
        """The finite values of a constant that `node` reads; raises `CompileError` if they cannot be read.

        Raises KeyError for what is no constant.
        """
        stored = self.constants[name]
        return stored.finite(node.where) if isinstance(stored, StoredTensor) else stored


def graph_of(file: OnnxFile) -> OnnxGraph:
    """The graph of a file that `read_onnx` has checked."""
    graph, folder = file.model.graph, file.path.parent
    nodes = tuple(nodes_of(graph.node, folder))
    stored: dict[str, StoredTensor | Array] = {t.name: StoredTensor(t.name, "", t, folder) for t in graph.initializer}
    folded = {node.outputs[0]: value for node in nodes if (value := constant_value(node)) is not None}
    return OnnxGraph(
        file.path,
        file.sha256,
        file.name,
        tuple(node for node in nodes if not (node.outputs and node.outputs[0] in folded)),
        tuple(i.name for i in graph.input if i.name not in stored),
        tuple(o.name for o in graph.output),
        {**stored, **folded},
        {v.name: declared(v) for v in (*graph.value_info, *graph.output, *graph.input)},
        {(f.domain, operator(f)): function_of(f, folder) for f in file.model.functions},
        opsets_of(file.model),
    )


def opsets_of(message: Any) -> dict[str, int]:
    """Domain ▶ version; the standard domain is the empty string."""
    return {"" if s.domain in STANDARD_DOMAINS else s.domain: s.version for s in message.opset_import}


def nodes_of(nodes: Iterable[Any], folder: Path) -> Iterator[Node]:
    """Nodes as data, in their order."""
    for index, node in enumerate(nodes):
        where = described(node.name, node.op_type, index)
        yield Node(
            index,
            node.name,
            operator(node),
            "" if node.domain in STANDARD_DOMAINS else node.domain,
            tuple(node.input),
            tuple(node.output),
            {a.name: attribute_value(a, where, folder) for a in node.attribute},
        )


def attribute_value(attribute: Any, where: str, folder: Path) -> Any:
    """An attribute's value; text that is not UTF-8 keeps its bytes as escapes."""
    if attribute.ref_attr_name:
        return Reference(attribute.ref_attr_name)
    readers: dict[int, Any] = {
        1: lambda a: a.f,
        2: lambda a: a.i,
        3: lambda a: a.s.decode("utf-8", "backslashreplace"),
        4: lambda a: StoredTensor(a.t.name or a.name, where, a.t, folder),
        5: lambda a: Subgraph(a.g.name),
        6: lambda a: tuple(a.floats),
        7: lambda a: tuple(a.ints),
        8: lambda a: tuple(s.decode("utf-8", "backslashreplace") for s in a.strings),
        9: lambda a: tuple(StoredTensor(t.name or a.name, where, t, folder) for t in a.tensors),
        10: lambda a: tuple(Subgraph(g.name) for g in a.graphs),
    }
    return readers.get(attribute.type, lambda a: None)(attribute)


def constant_value(node: Node) -> StoredTensor | Array | None:
    """What a Constant node holds, if it is an array of numbers."""
    if (node.domain, node.op) != ("", "Constant") or len(node.outputs) != 1:
        return None
    for name, dtype in (("value_int", "i8"), ("value_ints", "i8"), ("value_float", "f4"), ("value_floats", "f4")):
        if name in node.attributes:
            return np.asarray(node.attributes[name], dtype)
    value = node.attributes.get("value")
    return value if isinstance(value, StoredTensor) else None


def declared(info: Any) -> Declared:
    """What a ValueInfo says."""
    tensor = info.type.tensor_type
    encoding = ENCODINGS.get(tensor.elem_type)
    dtype = encoding.name if encoding else f"data_type {tensor.elem_type}"
    if not tensor.HasField("shape"):
        return Declared(dtype, None)
    return Declared(dtype, tuple(size_of(d) for d in tensor.shape.dim))


def size_of(dimension: Any) -> int | str | None:
    """A size, the name of an unknown one, or None."""
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return dimension.dim_param or None


def function_of(message: Any, folder: Path) -> Function:
    """A function as data."""
    return Function(
        message.domain,
        operator(message),
        tuple(message.input),
        tuple(message.output),
        (*message.attribute, *(a.name for a in message.attribute_proto)),
        tuple(nodes_of(message.node, folder)),
        opsets_of(message),
    )
