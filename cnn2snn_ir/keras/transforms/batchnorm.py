"""Batch normalization: in front of pooling, and into the weights of the layer before it.

With a = gamma / sqrt(variance + epsilon), a normalization computes a·(x − mean) + beta on every channel.

    conv, MaxPool, BN  ▶  conv, BN, MaxPool     exact if a > 0, because the largest value stays the largest
    conv, GAP, BN      ▶  conv, BN, GAP         exact, because both are affine
    conv, BN           ▶  conv                  kernel·a and beta + (bias − mean)·a
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Array, Graph, Node, build_model, exchange, read_graph
from cnn2snn_ir.keras.layers import CLASSES, QuantizedLayer

BATCHNORM = keras.layers.BatchNormalization
MAX_POOL = keras.layers.MaxPooling2D
AVERAGE_POOL = keras.layers.GlobalAveragePooling2D
FOLDABLE = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
    *CLASSES.values(),
)
"""Layers whose last weights are a kernel with the filters on its last axis (depthwise: on the last two) and a bias.

Exactly these: what a class derived by a user computes is not known.
"""


def invert_batchnorm_pooling(model: Any) -> Any:
    """A model in which every batch normalization stands before the pooling that it followed.

    Raises:
        QuantizationError: if a normalization behind a max pooling has a gamma that is not positive, or one behind a
            pooling is not over the channels; all at once.
    """
    graph = read_graph(model)
    raise_problems(invert_in(graph), graph)
    return build_model(graph)


def fold_batchnorm(model: Any) -> Any:
    """A model in which every batch normalization behind a neural layer is part of that layer's weights.

    The layer gets a bias.  A normalization in another place stays.

    Raises:
        QuantizationError: if a gamma is zero, the normalization is not over the channels, or the quantizer of the
            layer has one scale for all filters; all at once.
    """
    graph = read_graph(model)
    raise_problems(fold_in(graph), graph)
    return build_model(graph)


# ---- in front of the pooling ----------------------------------------------------------------------------------------


def invert_in(graph: Graph) -> Diagnostics:
    """Do it in a graph; returns why it cannot be done."""
    found = Diagnostics()
    while moved := [(p, n) for p, n in graph.pairs() if p.holds(MAX_POOL, AVERAGE_POOL) and n.holds(BATCHNORM)]:
        for pool, norm in moved:
            found.extend(inversion_problems(pool, norm))
            norm.content.config["axis"] = -1
            exchange(pool, norm)
    return found


def inversion_problems(pool: Node, norm: Node) -> Iterator[Diagnostic]:
    """Why a normalization cannot go before a pooling."""
    yield from axis_problems(norm)
    gamma = Normalization.of(norm).gamma
    wrong = np.count_nonzero(~(gamma > 0))
    if pool.holds(MAX_POOL) and wrong:
        yield Diagnostic(
            "TRANSFORM-GAMMA",
            "the normalization cannot go before the max pooling: a gamma that is not positive changes the order",
            where=norm.where,
            found=f"{wrong} of {gamma.size} gammas are not positive",
            allowed="positive gammas",
            help="train with gamma_constraint=MinValueConstraint(), or put the normalization before the pooling",
        )


# ---- into the layer -------------------------------------------------------------------------------------------------


def fold_in(graph: Graph) -> Diagnostics:
    """Do it in a graph; returns why it cannot be done."""
    found = Diagnostics()
    while pair := next(((n, b) for n, b in graph.pairs() if is_foldable(n) and b.holds(BATCHNORM)), None):
        layer, norm = pair
        problems = list(folding_problems(layer, norm))
        if not problems:
            fold(layer, Normalization.of(norm))
        found.extend(problems)
        graph.remove(norm)  # also if it is refused: what follows may have problems of its own
    return found


def is_foldable(node: Node) -> bool:
    """Is it an affine layer?  With an activation of its own it is not."""
    return node.content.kind in FOLDABLE and node.is_linear


def folding_problems(layer: Node, norm: Node) -> Iterator[Diagnostic]:
    """Why a normalization cannot become part of a layer."""
    yield from axis_problems(norm)
    gamma = Normalization.of(norm).gamma
    zeros = np.count_nonzero(gamma == 0)
    if zeros:
        yield Diagnostic(
            "TRANSFORM-GAMMA",
            "the normalization cannot be folded: a gamma of zero erases a filter",
            where=norm.where,
            found=f"{zeros} of {gamma.size} gammas are zero",
            allowed="gammas other than zero",
            help="train with gamma_constraint=MinValueConstraint(), or prune the filters",
        )
    elif layer.holds(QuantizedLayer):
        yield from quantizer_problems(layer, norm)


def quantizer_problems(layer: Node, norm: Node) -> Iterator[Diagnostic]:
    """The scale of every filter must follow its factor, so that the same integers come out."""
    kernel, factor = last_kernel(layer), factors(layer, Normalization.of(norm))
    quantizer = layer.content.source.quantizer
    before, after = (
        np.asarray(keras.ops.convert_to_numpy(quantizer.scale_factor(k))) for k in (kernel, kernel * factor)
    )
    found = f"{type(quantizer).__name__} with one scale for all filters"
    if before.shape == (factor.size,):
        ratio = (after * np.abs(factor) / before).reshape(-1)
        empty = ~np.any(kernel.reshape(-1, factor.size), axis=0)  # nothing but zeros, at any scale
        if np.all(empty | (np.abs(ratio - 1) < 1e-4)):
            return
        found = f"{type(quantizer).__name__} with scales that do not follow the weights"
    yield Diagnostic(
        "TRANSFORM-QUANTIZER",
        f"the normalization {norm.content.name} cannot be folded: the weights would be quantized to others",
        where=layer.where,
        found=found,
        allowed="a quantizer with a scale for each filter",
        help="quantize with MaxPerAxisQuantizer or StdPerAxisQuantizer, or fold before quantizing",
    )


def fold(layer: Node, norm: Normalization) -> None:
    """Multiply the kernel, and give the layer a bias."""
    content = layer.content
    kernel = last_kernel(layer)
    front = content.weights[: -2 if content.config["use_bias"] else -1]
    bias = content.weights[-1] if content.config["use_bias"] else 0.0
    content.weights = [
        *front,
        (kernel * factors(layer, norm)).astype(kernel.dtype),
        (norm.beta + (bias - norm.mean) * norm.factor).astype(kernel.dtype),
    ]
    content.config["use_bias"] = True


def last_kernel(layer: Node) -> Array:
    """The kernel that makes the outputs; the pointwise one of a separable layer."""
    return layer.content.weights[-2 if layer.content.config["use_bias"] else -1]


def factors(layer: Node, norm: Normalization) -> Array:
    """What to multiply the last axes of the kernel with: [filters], or [channels, multiplier] if depthwise."""
    kernel = last_kernel(layer)
    return norm.factor.reshape(kernel.shape[-2:] if layer.holds(keras.layers.DepthwiseConv2D) else -1)


# ---- the normalization ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalization:
    """The constants of a normalization, float64 of shape [channels]."""

    gamma: Array
    beta: Array
    mean: Array
    factor: Array
    """What it multiplies with."""

    @classmethod
    def of(cls, node: Node) -> Normalization:
        """Those of a layer; gamma and beta may be missing in it."""
        config = node.content.config
        weights = iter([weight.astype(np.float64) for weight in node.content.weights])
        gamma = next(weights) if config["scale"] else None
        beta = next(weights) if config["center"] else None
        mean, variance = weights
        gamma = np.ones_like(mean) if gamma is None else gamma
        beta = np.zeros_like(mean) if beta is None else beta
        return cls(gamma, beta, mean, gamma / np.sqrt(variance + config["epsilon"]))


def axis_problems(norm: Node) -> Iterator[Diagnostic]:
    """A normalization must be over the channels, which are last."""
    axis = np.ravel(norm.content.config["axis"]).tolist()
    rank = len(norm.shape)
    if axis not in ([-1], [rank - 1]):
        yield Diagnostic(
            "TRANSFORM-AXIS",
            "the normalization is not over the channels",
            where=norm.where,
            found=f"axis {axis[0] if len(axis) == 1 else axis}",
            allowed="axis -1",
        )


def raise_problems(found: Diagnostics, graph: Graph) -> None:
    """Raise what was found in a graph, if anything."""
    if found.errors:
        raise QuantizationError(found, f"{graph.name}: the model cannot be transformed")
