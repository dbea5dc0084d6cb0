"""The graph: layers at their places, and the edits that transforms make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnn2snn_ir.keras.errors import QuantizationError, refuse

Array = npt.NDArray[Any]


@dataclass
class Content:
    """What a layer is: its class, its configuration and its weights in Keras's order.

    `source` is the layer of the model that was read.
    """

    kind: type[Any]
    config: dict[str, Any]
    weights: list[Array]
    source: Any = None

    @classmethod
    def of(cls, layer: Any) -> Content:
        """A copy of a layer's."""
        weights = [np.array(variable.numpy()) for variable in getattr(layer, "weights", ())]
        try:
            # the configuration that Keras makes for layers without get_config has no name
            return cls(type(layer), {"name": layer.name, **layer.get_config()}, weights, layer)
        except Exception as error:  # of any kind: it is the layer's own
            raise not_copied(layer.name, type(layer), error) from error

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.config["name"])

    def create(self) -> Any:
        """A new layer; it takes the weights once it is built."""
        try:
            with keras.saving.custom_object_scope(own_objects(self.source)):
                return self.kind.from_config(self.config)
        except Exception as error:  # of any kind: it is the layer's own
            raise not_copied(self.name, self.kind, error) from error


def not_copied(name: str, kind: type[Any], error: Exception) -> QuantizationError:
    """The error for a layer that cannot be made anew from its configuration."""
    return refuse(
        "TRANSFORM-COPY",
        "the layer cannot be copied",
        where=f"{name} ({kind.__name__})",
        found=" ".join(str(error).split())[:300],
        help="a layer of your own needs get_config, and from_config if its arguments are more than plain values",
    )


def own_objects(layer: Any) -> dict[str, Any]:
    """The classes of a layer's quantizers, constraints and so on, and its activation, by name.

    With them, what a user wrote need not be registered with Keras.
    """
    parts = vars(layer).values() if layer is not None else ()
    named: list[Any] = [type(part) for part in parts if hasattr(part, "get_config")]
    named += [getattr(layer, "activation", None)]
    return {o.__name__: o for o in named if hasattr(o, "__name__") and not o.__module__.startswith("keras.")}


@dataclass(eq=False)
class Node:
    """A place in the graph: the layer there and what it is called with.

    `tensor` is what came out at this place of the model that was read.  `arguments` are those of the call, positional
    and by name, with nodes in the place of tensors.
    """

    content: Content
    tensor: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    @property
    def inputs(self) -> list[Node]:
        """The nodes that this one reads."""
        return [leaf for leaf in keras.tree.flatten(self.arguments) if isinstance(leaf, Node)]

    @property
    def is_input(self) -> bool:
        """True for an input of the model."""
        return self.holds(keras.layers.InputLayer)

    @property
    def where(self) -> str:
        """The layer as diagnostics name it: `conv (Conv2D)`."""
        return f"{self.content.name} ({self.content.kind.__name__})"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of what came out, batch included."""
        return tuple(self.tensor.shape)

    def read_instead(self, old: Node, new: Node) -> None:
        """Read another node wherever this one reads `old`."""
        self.arguments = keras.tree.map_structure(lambda leaf: new if leaf is old else leaf, self.arguments)

    @property
    def is_linear(self) -> bool:
        """True if the layer has no activation of its own."""
        linear = keras.activations.linear
        return getattr(self.content.source, "activation", None) in (None, linear)

    def holds(self, *kinds: type[Any]) -> bool:
        """True if the layer is of one of the classes, or of one derived from them."""
        return issubclass(self.content.kind, kinds)


@dataclass
class Graph:
    """The nodes of a model, each behind those that it reads."""

    name: str
    nodes: list[Node]
    inputs: list[Node]
    outputs: list[Node]
    sequential: bool
    """Was it a Sequential model?"""

    def consumers(self) -> dict[Node, list[Node]]:
        """Every node ▶ those that read it, once for each reading."""
        readers: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for reader in self.nodes:
            for read in reader.inputs:
                readers[read].append(reader)
        return readers

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Neighbours of which the second reads nothing but the first, and alone needs it."""
        for node, readers in self.consumers().items():
            if len(readers) == 1 and len(readers[0].inputs) == 1 and node not in self.outputs:
                yield node, readers[0]

    def remove(self, node: Node) -> None:
        """Let the readers of a node with one input read that instead."""
        (source,) = node.inputs
        self.nodes.remove(node)
        for reader in self.nodes:
            reader.read_instead(node, source)
        self.outputs = [source if output is node else output for output in self.outputs]

    @property
    def is_chain(self) -> bool:
        """True if every layer reads just the one before it: what a Sequential model can hold."""
        plain = all(node.arguments == ((before,), {}) for before, node in itertools.pairwise(self.nodes))
        return plain and self.nodes[0].is_input and self.outputs == self.nodes[-1:]


def exchange(first: Node, second: Node) -> None:
    """Let two neighbours change places."""
    first.content, second.content = second.content, first.content
