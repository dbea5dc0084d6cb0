"""From a graph to a new Keras model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph.graph import Graph, Node


def build_model(graph: Graph) -> Any:
    """A new model with the weights of the graph: Sequential if the one that was read is, functional otherwise.

    Raises:
        QuantizationError: if a layer does not take its input, or weights do not fit; all of the latter at once.
    """
    if graph.sequential and graph.is_chain:
        return build_sequential(graph)
    tensors: dict[Node, Any] = {}
    connect(graph.nodes, tensors)
    return keras.Model(
        alone([tensors[node] for node in graph.inputs]),
        alone([tensors[node] for node in graph.outputs]),
        name=graph.name,
    )


def alone(tensors: list[Any]) -> Any:
    """One tensor, or the list of several: a model gives back what it was made with."""
    return tensors[0] if len(tensors) == 1 else tensors


def build_sequential(graph: Graph) -> Any:
    """A Sequential model.  It connects the layers by itself, so its layers have one call each, as a user's have."""
    layers = [node.content.create() for node in graph.nodes]
    try:
        model = keras.Sequential(layers, name=graph.name)
    except Exception:  # of any kind: which layer it was is found by connecting one after the other
        connect(graph.nodes, {})
        raise
    set_weights(zip(graph.nodes, layers, strict=True))
    return model


def connect(nodes: Iterable[Node], tensors: dict[Node, Any]) -> None:
    """Call new layers with the tensors of the nodes before them, and note theirs."""
    layers: list[tuple[Node, Any]] = []
    for node in nodes:
        layer = node.content.create()
        layers.append((node, layer))
        args, options = keras.tree.map_structure(lambda x: tensors[x] if isinstance(x, Node) else x, node.arguments)
        try:
            tensors[node] = layer.output if node.is_input else layer(*args, **options)
        except Exception as error:  # of any kind: a layer says in its own way that it cannot take an input
            raise shape_refused(node, [tensors[read].shape for read in node.inputs], error) from error
    set_weights(layers)


def set_weights(layers: Iterable[tuple[Node, Any]]) -> None:
    """Give new layers the weights of their nodes."""
    found = Diagnostics()
    for node, layer in layers:
        have = [weight.shape for weight in node.content.weights]
        need = [tuple(variable.shape) for variable in getattr(layer, "weights", ())]
        if have != need:
            found.add(
                Diagnostic(
                    "TRANSFORM-WEIGHTS",
                    "the weights of the layer do not fit its input",
                    where=node.where,
                    found=", ".join(map(str, have)) or "no weights",
                    allowed=", ".join(map(str, need)) or "no weights",
                    help="weights behind Flatten belong to one input size; end the model with global pooling instead",
                )
            )
        elif have:
            layer.set_weights(node.content.weights)
            if hasattr(layer, "finalize_state"):  # preprocessing layers work with numbers made from their weights
                layer.finalize_state()
    if found.errors:
        raise QuantizationError(found)


def shape_refused(node: Node, shapes: list[Any], error: Exception) -> QuantizationError:
    """The error for a layer that does not take its input."""
    reason = str(error).strip().splitlines()
    return QuantizationError(
        Diagnostic(
            "TRANSFORM-SHAPE",
            "the layer does not take this input",
            where=node.where,
            found=", ".join(map(str, shapes)),
            help=reason[0][:300] if reason else "",
        )
    )
