"""The graph: layers at their places, and the edits that transforms make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

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
        return cls(type(layer), layer.get_config(), weights, layer)

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.config["name"])

    def create(self) -> Any:
        """A new layer; it takes the weights once it is built."""
        with keras.saving.custom_object_scope(own_classes(self.source)):
            return self.kind.from_config(self.config)


def own_classes(layer: Any) -> dict[str, type[Any]]:
    """The classes of a layer's quantizers, constraints and so on, by name: a user's need not be registered."""
    parts = [part for part in vars(layer).values() if hasattr(part, "get_config")] if layer is not None else []
    return {type(part).__name__: type(part) for part in parts if not type(part).__module__.startswith("keras.")}


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

    def consumers(self, node: Node) -> list[Node]:
        """The nodes that read `node`, once for each reading."""
        return [reader for reader in self.nodes for read in reader.inputs if read is node]

    def only_consumer(self, node: Node) -> Node | None:
        """The node that alone needs `node`; None if there are several, or the value leaves the model."""
        readers = self.consumers(node)
        return readers[0] if len(readers) == 1 and node not in self.outputs else None

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Neighbours of which the second reads nothing but the first, and alone needs it."""
        for node in list(self.nodes):
            follower = self.only_consumer(node)
            if follower is not None and len(follower.inputs) == 1:
                yield node, follower

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
