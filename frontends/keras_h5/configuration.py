"""The layers of a model as its file describes them: classes, settings, and what reads what.

Two notations are read, that of Keras 2 and that of Keras 3.  A model inside of a model is taken apart: its layers
stand in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]

MODELS = ("Functional", "Model", "Sequential")
"""Classes of models, which may be layers of another."""


@dataclass(frozen=True)
class LayerRecord:
    """One layer of the file: class, name, configuration, names of the layers it reads, variables by name."""

    class_name: str
    name: str
    config: dict[str, Any]
    inbound: tuple[str, ...]
    index: int
    weights: Weights = field(default_factory=dict)
    calls: int = 1
    """How often the model calls the layer; `inbound` lists what all of its calls read."""


class Layers(NamedTuple):
    """The layers of a model in order, and the names of its first and last ones."""

    layers: tuple[LayerRecord, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def layers_of(model: dict[str, Any], weights: dict[str, Weights]) -> Layers:
    """The layers of a model, and their variables out of those of the file."""
    config = model["config"]
    if isinstance(config, list):  # a Sequential model of Keras before 2.2.3
        config = {"layers": config}
    records = [r for r in config["layers"] if isinstance(r, dict)]
    if not records:
        raise ValueError("a model without layers")
    sequential = class_of(model) == "Sequential"
    if sequential:
        records = [*input_record(records[0]), *records]
    walk = Walk({str(record["config"]["name"]) for record in records})
    last: tuple[str, ...] = ()
    for record in records:
        nodes = record.get("inbound_nodes", [])
        inbound = last if sequential else tuple(inbound_names(nodes))
        walk.add(record, inbound, 1 if sequential else max(len(nodes), 1), weights)
        last = (str(record["config"]["name"]),)
    inputs: tuple[str, ...] = (walk.layers[0].name,) if sequential else end_names(config["input_layers"])
    outputs = last if sequential else end_names(config["output_layers"])
    return Layers(tuple(walk.layers), inputs, tuple(walk.stands_for.get(name, name) for name in outputs))


class Walk:
    """The layers so far, and the layer that stands for each model that was taken apart."""

    def __init__(self, names: set[str]) -> None:
        self.layers: list[LayerRecord] = []
        self.names = names
        self.stands_for: dict[str, str] = {}

    def add(self, record: dict[str, Any], inbound: tuple[str, ...], calls: int, weights: dict[str, Weights]) -> None:
        """Add a layer, or those of a model with one input and one output."""
        name = str(record["config"]["name"])
        inbound = tuple(self.stands_for.get(source, source) for source in inbound)
        if is_model(record) and calls == len(inbound) == 1:
            inner = layers_of(record, inner_weights(record, weights.get(name, {})))
            if len(inner.inputs) == len(inner.outputs) == 1:
                self.splice(name, inner, inbound[0])
                return
        kind, index = class_of(record), len(self.layers)
        self.layers.append(LayerRecord(kind, name, record["config"], inbound, index, weights.get(name, {}), calls))

    def splice(self, name: str, inner: Layers, source: str) -> None:
        """Add the layers of a model that reads `source`; names that are taken get the model's in front."""
        now = {inner.inputs[0]: source}
        for layer in inner.layers:
            if layer.class_name == "InputLayer":
                continue
            now[layer.name] = f"{name}_{layer.name}" if layer.name in self.names else layer.name
            self.names.add(now[layer.name])
            inbound = tuple(now.get(read, read) for read in layer.inbound) or (source,)
            self.layers.append(replace(layer, name=now[layer.name], inbound=inbound, index=len(self.layers)))
        self.stands_for[name] = now[inner.outputs[0]]


def is_model(record: dict[str, Any]) -> bool:
    """True for a model that is a layer of another."""
    return class_of(record) in MODELS and "layers" in record["config"]


def inner_weights(record: dict[str, Any], variables: Weights) -> dict[str, Weights]:
    """The variables of a model's layers, which the file keeps together: by layer, and by their short names."""
    found: dict[str, Weights] = {}
    for layer in record["config"]["layers"]:
        name = str(layer["config"]["name"])
        own = {path: values for path, values in variables.items() if f"/{name}/" in f"/{path}"}
        found[name] = {short_name(name, path): values for path, values in own.items()}
        if is_model(layer) and not own:  # Keras 2 does not say which of the models inside has them
            found[name] = variables
    return found


def class_of(record: dict[str, Any]) -> str:
    """The class name of a layer without its registration package."""
    return str(record["class_name"]).rpartition(">")[2]


def short_name(layer: str, variable: str) -> str:
    """`conv/kernel:0` of layer `conv` ▶ `kernel`; Keras 3 says `model/conv/kernel`, or only `kernel`.

    A model that was read from a file before it was saved may say `conv_1/kernel:0`.
    """
    path = variable.removesuffix(":0")
    first, _, rest = path.partition("/")
    number = first.removeprefix(f"{layer}_")
    if rest and number != first and number.isdigit():
        return rest
    return f"/{path}".rpartition(f"/{layer}/")[2].removeprefix("/")


def input_record(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The input layer of a Sequential model in which only the first layer tells the input's shape."""
    shape = first["config"].get("batch_input_shape")
    if shape and class_of(first) != "InputLayer":
        name = f"{first['config']['name']}_input"
        config = {"name": name, "batch_input_shape": shape, "dtype": first["config"].get("dtype", "float32")}
        yield {"class_name": "InputLayer", "config": config}


def end_names(ends: Any) -> tuple[str, ...]:
    """Names of input or output layers: `[[name, 0, 0], …]`, or one such entry."""
    if ends and isinstance(ends[0], str):
        ends = [ends]
    return tuple(str(end[0]) for end in ends)


def inbound_names(nodes: Any) -> Iterator[str]:
    """Names of the layers that a layer reads, in order, in the notation of Keras 2 and of Keras 3."""
    for node in nodes:
        if isinstance(node, dict):
            yield from histories(node.get("args", []))
            yield from histories(list(node.get("kwargs", {}).values()))
        else:
            for entry in node:
                yield str(entry[0])
                yield from (str(v[0]) for v in (entry[3].values() if len(entry) > 3 else ()) if is_tensor(v))


def is_tensor(argument: Any) -> bool:
    """True for an argument of a Keras 2 call that is a tensor: `[layer, node, tensor]`."""
    return isinstance(argument, list) and [type(v) for v in argument[:3]] == [str, int, int]


def histories(value: Any) -> Iterator[str]:
    """Source layers of the Keras tensors in the arguments of a Keras 3 call."""
    if isinstance(value, dict):
        if "keras_history" in value.get("config", {}):
            yield str(value["config"]["keras_history"][0])
    elif isinstance(value, list):
        for item in value:
            yield from histories(item)
