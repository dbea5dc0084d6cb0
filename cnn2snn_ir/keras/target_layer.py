"""The one layer that a user means: by index, by name, or the layer itself."""

from __future__ import annotations

import difflib
from typing import Any

from cnn2snn_ir.keras.errors import QuantizationError, refuse
from cnn2snn_ir.keras.graph import Graph, Node
from cnn2snn_ir.keras.layer_quantization import QUANTIZED, is_activation, is_neural


def find_target(model: Any, graph: Graph, target: Any) -> Node:
    """The node of a layer that can be quantized.

    Raises:
        QuantizationError: if the model has no such layer, or it is of another class.
    """
    if isinstance(target, int):
        if not -len(model.layers) <= target < len(model.layers):
            raise absent(graph, target, f"an index below {len(model.layers)}")
        target = model.layers[target]
    found = [node for node in graph.nodes if target is node.content.source or target == node.content.name]
    if not found:
        names = [node.content.name for node in graph.nodes if is_neural(node) or is_activation(node)]
        near = difflib.get_close_matches(target, names, 3) if isinstance(target, str) else []
        raise absent(graph, target, ", ".join(near or names))
    if not (is_neural(found[0]) or is_activation(found[0])):
        raise refuse(
            "QUANT-LAYER",
            "a layer of this class cannot be quantized",
            where=found[0].where,
            found=found[0].content.kind.__name__,
            allowed=", ".join([*(kind.__name__ for kind in QUANTIZED), "ReLU without threshold, or quantized layers"]),
        )
    return found[0]


def absent(graph: Graph, target: Any, allowed: str) -> QuantizationError:
    """The error for a layer that is not there."""
    name = getattr(target, "name", target)
    return refuse("QUANT-LAYER", "the model has no such layer", where=graph.name, found=repr(name), allowed=allowed)
