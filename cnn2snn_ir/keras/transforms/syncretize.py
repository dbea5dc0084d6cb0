"""The order of layers that hardware has: neural layer, pooling, activation.

conv, Dropout, ReLU, MaxPool, BN   ▶   conv (with BN), MaxPool, ReLU
"""

from __future__ import annotations

from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.activations import QuantizedActivation
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Graph, exchange
from cnn2snn_ir.keras.transforms.batchnorm import fold_in, invert_in
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
    arrange(graph)
    return build_sequences(graph)


def prepare_to_convert(model: Any) -> Any:
    """A Sequential copy of a model without branches, in the order that hardware has.

    Raises:
        QuantizationError: if the model has a branch, and as `syncretize` does.
    """
    graph = read_sequential(model)
    found = Diagnostics(
        Diagnostic(
            "TRANSFORM-BRANCH",
            "the model has branches",
            where=node.where,
            found=" and ".join(read.content.name for read in node.inputs),
            allowed="one layer after the other",
        )
        for node in graph.nodes
        if is_join(node)
    )
    if found.errors:
        raise QuantizationError(found, f"{graph.name}: the model cannot be converted")
    arrange(graph)
    return build_sequences(graph)


def arrange(graph: Graph) -> None:
    """Bring the layers of a graph into order."""
    for node in list(graph.nodes):
        if node.content.kind in TRAINING_ONLY:
            graph.remove(node)
    while pairs := [(a, p) for a, p in graph.pairs() if a.holds(*MONOTONE) and p.holds(keras.layers.MaxPooling2D)]:
        for activation, pool in pairs:
            exchange(activation, pool)
    invert_in(graph)
    fold_in(graph)
