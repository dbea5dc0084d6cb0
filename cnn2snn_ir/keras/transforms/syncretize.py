"""The order of layers that hardware has: neural layer, pooling, activation.

conv, Dropout, ReLU, MaxPool, BN   ▶   conv (with BN), MaxPool, ReLU
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.activations import QuantizedActivation
from cnn2snn_ir.keras.graph import Graph, exchange
from cnn2snn_ir.keras.transforms.batchnorm import fold_in, invert_in, raise_problems
from cnn2snn_ir.keras.transforms.sequentialize import build_sequences, is_join, read_sequential

TRAINING_ONLY = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout2D,
)
"""Layers that do nothing when the model predicts."""

MONOTONE = (keras.layers.ReLU, QuantizedActivation)
"""Activations that never give less for more, so that the largest value may as well be taken before them.

Keras refuses the slopes and thresholds that would make a ReLU another function.
"""


def syncretize(model: Any) -> Any:
    """A copy of the model, made of sequences, in the order that hardware has.

    In every sequence, layers for training only are left out, max pooling goes before the activation that it follows
    (exact, because the activation keeps the order of values), batch normalization goes before pooling, and then into
    the weights.

    Raises:
        QuantizationError: as `sequentialize`, `invert_batchnorm_pooling` and `fold_batchnorm` do.
    """
    graph = read_sequential(model)
    raise_problems(arrange(graph), graph)
    return build_sequences(graph)


def prepare_to_convert(model: Any) -> Any:
    """A Sequential copy of a model without branches, in the order that hardware has.

    Raises:
        QuantizationError: if the model has a branch, and as `syncretize` does.
    """
    graph = read_sequential(model)
    raise_problems(Diagnostics(branch_problems(graph)), graph)
    raise_problems(arrange(graph), graph)
    return build_sequences(graph)


def branch_problems(graph: Graph) -> Iterator[Diagnostic]:
    """Why a model is not one sequence."""
    for node in graph.nodes:
        if is_join(node):
            yield Diagnostic(
                "TRANSFORM-BRANCH",
                "the model has branches",
                where=node.where,
                found="a join of " + " and ".join(read.content.name for read in node.inputs),
                allowed="one layer after the other",
            )


def arrange(graph: Graph) -> Diagnostics:
    """Bring the layers of a graph into order; returns why it cannot be done."""
    for node in list(graph.nodes):
        if node.content.kind in TRAINING_ONLY:
            graph.remove(node)
    while pairs := [(a, p) for a, p in graph.pairs() if a.holds(*MONOTONE) and p.holds(keras.layers.MaxPooling2D)]:
        for activation, pool in pairs:
            exchange(activation, pool)
    found = invert_in(graph)
    found.extend(fold_in(graph))
    return found
