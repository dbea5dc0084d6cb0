"""How alike the filters of a layer are, which tells how well one scale for all of them would do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnn2snn_ir.keras.graph import Array, Node, read_graph

DEPTHWISE = (keras.layers.DepthwiseConv2D,)
SEPARABLE = (keras.layers.SeparableConv2D,)


def weights_homogeneity(model: Any) -> dict[str, float]:
    """For each neural layer, by name, the mean over its filters of max|w of the filter| / max|w of the layer|.

    It is 1 if all filters have the same range, and near 0 if most are much smaller than the largest.  Of the two
    kernels of a separable layer the less homogeneous one counts; a kernel of zeros is homogeneous.
    """
    return {
        node.content.name: min(homogeneity(kernel) for kernel in kernels)
        for node in read_graph(model).nodes
        if (kernels := filters_first(node))
    }


def homogeneity(kernel: Array) -> float:
    """Of a kernel [filters, weights]."""
    largest = np.abs(kernel).max(axis=1).astype(np.float64)
    return float((largest / largest.max()).mean()) if largest.any() else 1.0


def filters_first(node: Node) -> list[Array]:
    """The kernels of a layer as [filters, weights]; none if it has no weights of that kind."""
    weights = node.content.weights
    if node.holds(*DEPTHWISE):
        return [by_channel(weights[0])]
    if node.holds(*SEPARABLE):
        return [by_channel(weights[0]), by_filter(weights[1])]
    return [by_filter(weights[0])] if node.holds(keras.layers.Conv2D, keras.layers.Dense) else []


def by_filter(kernel: Array) -> Array:
    """[…, filters] as [filters, weights]."""
    return kernel.reshape(-1, kernel.shape[-1]).T


def by_channel(kernel: Array) -> Array:
    """[height, width, channels, multiplier] as [channels · multiplier, weights]."""
    return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]).T
