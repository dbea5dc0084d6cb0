"""Separable convolutions whose depthwise filters are of one size, which quantization with one scale needs.

The depthwise filter of every channel is divided by its largest magnitude, and the rows of the pointwise kernel that
read it are multiplied by it.  In float the layer computes what it did; a filter of zeros stays as it is.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnn2snn_ir.keras.errors import refuse
from cnn2snn_ir.keras.graph import Array, build_model, read_graph
from cnn2snn_ir.keras.layers import QuantizedSeparableConv2D

SEPARABLE = (keras.layers.SeparableConv2D, QuantizedSeparableConv2D)


def normalize_separable_layer(layer: Any) -> None:
    """Normalize a SeparableConv2D or QuantizedSeparableConv2D in place.

    Raises:
        QuantizationError: if it is another layer, or has no weights yet.
    """
    if not isinstance(layer, SEPARABLE) or not layer.built:
        raise refuse(
            "TRANSFORM-SEPARABLE",
            "only separable convolutions that have weights can be normalized",
            where=getattr(layer, "name", ""),
            found=type(layer).__name__,
            allowed=" or ".join(kind.__name__ for kind in SEPARABLE),
        )
    layer.set_weights(normalized([np.asarray(variable.numpy()) for variable in layer.weights]))


def normalize_separable_model(model: Any) -> Any:
    """A copy of the model in which all separable convolutions are normalized."""
    graph = read_graph(model)
    for node in graph.nodes:
        if node.holds(*SEPARABLE):
            node.content.weights = normalized(node.content.weights)
    return build_model(graph)


def normalized(weights: list[Array]) -> list[Array]:
    """The weights of a separable layer: depthwise [h, w, channels, multiplier], pointwise [1, 1, c·m, filters], …"""
    depthwise, pointwise, *bias = weights
    largest = np.abs(depthwise).max(axis=(0, 1))
    largest[largest == 0] = 1
    return [depthwise / largest, pointwise * largest.reshape(-1, 1), *bias]
