"""A functional model as sequences: each run of layers without a branch becomes one Sequential model.

A model without branches becomes one Sequential.  With branches, which can be concatenations of two only, it becomes a
functional model of Sequentials and Concatenates:

    input ─▶ a ─▶ b ─▶ concatenate ─▶ c        ▶    input ─▶ [a] ─▶ [b] ─▶ concatenate ─▶ [c]
             └─────────────▲                                   └────────────▲
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Content, Graph, Node, build_model, connect, read_graph


def sequentialize(model: Any) -> Any:
    """A copy of the model made of sequences, with its weights.

    Raises:
        QuantizationError: if the model has several inputs or outputs, an input that is neither a vector nor an image,
            channels first, dilations, or joins of another kind than the concatenation of two; all at once.
    """
    return build_sequences(read_sequential(model))


def read_sequential(model: Any) -> Graph:
    """The graph of a model that can be made of sequences."""
    graph = read_graph(model)
    found = Diagnostics(sequence_problems(graph))
    if found.errors:
        raise QuantizationError(found, f"{graph.name}: the model cannot be made of sequences")
    return graph


# ---- what cannot be -------------------------------------------------------------------------------------------------


def sequence_problems(graph: Graph) -> Iterator[Diagnostic]:
    """Why a model cannot be made of sequences."""
    yield from end_problems(graph)
    for node in graph.nodes:
        yield from input_problems(node) if node.is_input else join_problems(node)
        yield from setting_problems(node)


def end_problems(graph: Graph) -> Iterator[Diagnostic]:
    """A model has one input and one output."""
    for what, nodes in (("input", graph.inputs), ("output", graph.outputs)):
        if len(nodes) != 1:
            names = ", ".join(node.content.name for node in nodes)
            message = f"the model must have one {what}"
            yield Diagnostic("TRANSFORM-ENDS", message, where=graph.name, found=names, allowed=f"one {what}")


def input_problems(node: Node) -> Iterator[Diagnostic]:
    """Samples are vectors or images."""
    if len(node.shape) not in (2, 4):
        message = "samples must be vectors or images"
        allowed = "2 or 4 dimensions, batch included"
        yield Diagnostic("TRANSFORM-RANK", message, where=node.where, found=f"shape {node.shape}", allowed=allowed)


def join_problems(node: Node) -> Iterator[Diagnostic]:
    """A layer reads one other; a Concatenate two, and joins their channels."""
    found = f"{len(node.inputs)} inputs"
    if not node.holds(keras.layers.Concatenate):
        if len(node.inputs) != 1:
            message = "a layer must have one input; only two branches that are concatenated can be joined"
            yield Diagnostic("TRANSFORM-JOIN", message, where=node.where, found=found, allowed="one input")
    elif len(node.inputs) != 2:
        message = "a concatenation must have two inputs"
        yield Diagnostic("TRANSFORM-JOIN", message, where=node.where, found=found, allowed="two inputs")
    elif (axis := node.content.config["axis"]) not in (-1, len(node.shape) - 1):
        message = "a concatenation must be of channels"
        yield Diagnostic("TRANSFORM-JOIN", message, where=node.where, found=f"axis {axis}", allowed="axis -1")


def setting_problems(node: Node) -> Iterator[Diagnostic]:
    """Settings that no legacy model has."""
    layout = node.content.config.get("data_format")
    if layout == "channels_first":
        message = "channels must be last"
        yield Diagnostic("TRANSFORM-LAYOUT", message, where=node.where, found=layout, allowed="channels_last")
    dilation = node.content.config.get("dilation_rate", 1)
    if set(keras.tree.flatten(dilation)) != {1}:
        message = "dilation is not supported"
        yield Diagnostic("TRANSFORM-DILATION", message, where=node.where, found=str(dilation), allowed="1")


# ---- sequences ------------------------------------------------------------------------------------------------------


def runs_of(graph: Graph) -> list[list[Node]]:
    """The nodes in runs without a branch; a concatenation is alone."""
    neighbours = {second: first for first, second in graph.pairs() if not is_join(first)}
    runs: list[list[Node]] = []
    ending: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node in neighbours:
            run = ending[neighbours[node]]
        else:
            runs.append(run := [])
        run.append(node)
        ending[node] = run
    return runs


def is_join(node: Node) -> bool:
    """Is it a concatenation?"""
    return node.holds(keras.layers.Concatenate)


def build_sequences(graph: Graph) -> Any:
    """A Sequential model, or a functional one of Sequentials and Concatenates if there are branches."""
    runs = runs_of(graph)
    if len(runs) == 1:
        graph.sequential = True
        return build_model(graph)
    tensors: dict[Node, Any] = {}
    for run in runs:
        if run[0].is_input or is_join(run[0]):
            connect(run[:1], tensors)
            run = run[1:]
        if run:
            (source,) = run[0].inputs
            tensors[run[-1]] = sequence(run, tensors[source])(tensors[source])
    return keras.Model(tensors[graph.inputs[0]], tensors[graph.outputs[0]], name=graph.name)


def sequence(run: list[Node], tensor: Any) -> Any:
    """A run as a model of its own; `tensor` is what it will read."""
    name = f"{run[0].content.name}_sequence"
    settings = {"batch_shape": tuple(tensor.shape), "dtype": tensor.dtype, "name": f"{name}_input"}
    entry = Node(Content(keras.layers.InputLayer, settings, []), tensor, ((), {}))
    run[0].read_instead(run[0].inputs[0], entry)
    return build_model(Graph(name, [entry, *run], [entry], run[-1:], sequential=True))
