"""From a Keras model to a graph.

Keras notes with every symbolic tensor which call of which layer made it; the graph is found by walking back from
the outputs along these notes.  So a layer that other models use too is seen as it stands in this one.  Models within
the model are spliced in: a graph is flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph.graph import Content, Graph, Node


def read_graph(model: Any) -> Graph:
    """The graph of a Sequential or functional model, of copies of its layers.

    Raises:
        QuantizationError: if it is another kind of model, was never given an input shape, or has layers that are
            called more than once or give several tensors; all at once.
    """
    check_model(model)
    reader = Reader()
    inputs = [reader.node(tensor) for tensor in model.inputs]
    outputs = [reader.node(tensor) for tensor in model.outputs]
    if reader.found.errors:
        raise QuantizationError(reader.found, f"{model.name}: the model cannot be transformed")
    return Graph(model.name, reader.order, inputs, outputs, isinstance(model, keras.Sequential))


def check_model(model: Any) -> None:
    """A model must have symbolic inputs and outputs."""
    if not isinstance(model, keras.Model):
        where = type(model).__name__
        raise QuantizationError(
            Diagnostic("TRANSFORM-MODEL", "this is not a model of Keras 3", found=where, allowed="a keras.Model")
        )
    if isinstance(model, keras.Sequential) and not symbolic(model):
        raise QuantizationError(
            Diagnostic(
                "TRANSFORM-INPUT",
                "the shape of the model's input is not known",
                where=model.name,
                found="a Sequential model that was never built",
                help="begin it with keras.Input(shape)",
            )
        )
    if not symbolic(model):
        raise QuantizationError(
            Diagnostic(
                "TRANSFORM-MODEL",
                "the layers of the model cannot be seen",
                where=model.name,
                found=type(model).__name__,
                allowed="a Sequential or functional model",
            )
        )


def symbolic(model: Any) -> bool:
    """Does the model know its inputs and outputs as tensors?"""
    try:
        return bool(model.inputs) and bool(model.outputs)
    except (AttributeError, ValueError):
        return False


def origin(tensor: Any) -> tuple[Any, Any]:
    """The layer that made a tensor, and the call of it."""
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index]


class Reader:
    """Makes a node for every tensor that it is asked for, and for those behind it."""

    def __init__(self) -> None:
        self.order: list[Node] = []
        self.known: dict[int, Node] = {}
        self.stands_for: dict[int, Any] = {}
        self.layers: dict[int, Any] = {}
        self.names: set[str] = set()
        self.found = Diagnostics()

    def node(self, tensor: Any) -> Node:
        """The node of a tensor.  Without recursion: networks are deeper than Python's stack."""
        waiting = [tensor]
        while waiting:
            first = self.outer(waiting[-1])
            missing = [source for source in sources(first) if id(self.outer(source)) not in self.known]
            if id(first) in self.known or not missing:
                waiting.pop()
                self.known[id(first)] = self.known.get(id(first)) or self.make(first)
            else:
                waiting.extend(missing)
        return self.known[id(self.outer(tensor))]

    def outer(self, tensor: Any) -> Any:
        """A tensor of the flat graph: for the output of a model within, the one that makes it inside."""
        while True:
            if id(tensor) in self.stands_for:
                tensor = self.stands_for[id(tensor)]
                continue
            layer, call = origin(tensor)
            if not isinstance(layer, keras.Model):
                return tensor
            check_model(layer)
            self.note_use(layer)
            self.stands_for.update(zip(map(id, layer.inputs), call.input_tensors, strict=True))
            self.stands_for.update(zip(map(id, call.output_tensors), layer.outputs, strict=True))

    def make(self, tensor: Any) -> Node:
        """The node of a tensor whose sources are known."""
        layer, call = origin(tensor)
        if not isinstance(layer, keras.layers.InputLayer):
            self.note_use(layer)
        content = Content.of(layer)
        content.config["name"] = self.free_name(content.name)
        if len(call.output_tensors) > 1:
            self.refuse(layer, "the layer gives several tensors", str(len(call.output_tensors)), "one")
        arguments = (call.arguments.args, given(call.arguments.kwargs))
        node = Node(content, tensor, keras.tree.map_structure(self.replaced, arguments))
        self.order.append(node)
        return node

    def replaced(self, leaf: Any) -> Any:
        """An argument of a call, with a node in the place of a tensor."""
        return self.known[id(self.outer(leaf))] if isinstance(leaf, keras.KerasTensor) else leaf

    def note_use(self, layer: Any) -> None:
        """A layer has one place; with two it would have to be calibrated for both."""
        if id(layer) in self.layers:
            self.refuse(layer, "the layer is called more than once", "two calls", "one")
        self.layers[id(layer)] = layer

    def refuse(self, layer: Any, message: str, found: str, allowed: str) -> None:
        """Note a problem of a layer."""
        where = f"{layer.name} ({type(layer).__name__})"
        self.found.add(Diagnostic("TRANSFORM-CALL", message, where=where, found=found, allowed=allowed))

    def free_name(self, name: str) -> str:
        """`name`, with a number if a layer of another model within has it already."""
        candidates: Iterator[str] = (f"{name}_{n}" if n else name for n in range(len(self.names) + 1))
        free = next(candidate for candidate in candidates if candidate not in self.names)
        self.names.add(free)
        return free


def sources(tensor: Any) -> list[Any]:
    """The tensors that the call behind a tensor reads."""
    return list(origin(tensor)[1].input_tensors)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a call without those that Keras fills in by itself."""
    return {name: v for name, v in options.items() if not (v is None or (name == "training" and v is False))}
