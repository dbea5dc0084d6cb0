"""Reads the configuration and the weights of a Keras file.  Nothing in the file is ever executed.

Two containers hold the same content: the legacy HDF5 file (`.h5`), and the zip archive of Keras 3 (`.keras`),
whose weights lie by index in an HDF5 file of their own.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail

Weights = dict[str, npt.NDArray[np.float32]]

FORMATS = "a QuantizeML model saved by Keras as .h5 or .keras"
MAX_WEIGHT_BYTES = 1 << 30
"""No variable of an Akida network comes near 1 GiB; a larger one is refused before it is read."""


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


class Archive(NamedTuple):
    """A model file as data."""

    path: Path
    sha256: str
    name: str
    layers: tuple[LayerRecord, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    keras_version: str = ""
    """Of the Keras that wrote the file, if it says so."""


def read_archive(path: Path) -> Archive:
    """Read a Keras file; raises `CompileError` with one diagnostic if it is not a whole one."""
    data = read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        if data.startswith(b"PK"):
            config, weights, version = read_zip(path, data)
        else:
            config, weights, version = read_hdf5(path)
        return assemble(path, digest, config, weights)._replace(keras_version=version)
    except CompileError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
        RuntimeError,
        IndexError,
        RecursionError,
    ) as error:
        # h5py raises any of these for damaged files, and a damaged configuration has any shape
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def read_bytes(path: Path) -> bytes:
    """The file's bytes, or the diagnostic that says why not."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise fail("FILE-MISSING", "there is no such file", where=str(path)) from None
    except IsADirectoryError:
        raise fail("FILE-DIRECTORY", "this is a folder", where=str(path), allowed=FORMATS) from None
    except OSError as error:
        raise fail("FILE-UNREADABLE", "the file cannot be read", where=str(path), found=error.strerror or "") from None
    if not data:
        raise fail("FILE-EMPTY", "the file is empty", where=str(path), allowed=FORMATS)
    if not data.startswith((b"\x89HDF\r\n\x1a\n", b"PK")):
        raise fail("FILE-FORMAT", "this is neither an HDF5 file nor a .keras archive", where=str(path), allowed=FORMATS)
    return data


def damaged(path: Path, reason: str) -> CompileError:
    """The error for a file that ends early or contradicts itself."""
    return fail(
        "FILE-DAMAGED",
        "the file is truncated or damaged",
        where=str(path),
        found=" ".join(reason.split())[:200],
        help="save or copy it again",
    )


# ---- .h5 ------------------------------------------------------------------------------------------------------


def read_hdf5(path: Path) -> tuple[dict[str, Any], dict[str, Weights], str]:
    """Configuration, weights and Keras version of a legacy HDF5 file."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise damaged(path, str(error)) from None
    with file:
        if "model_config" not in file.attrs:
            raise fail(
                "KERAS-NO-CONFIG",
                "the file holds weights but no model",
                where=str(path),
                help="save the whole model with model.save(), not only its weights",
            )
        config = json.loads(text(file.attrs["model_config"]))
        version = text(file.attrs.get("keras_version", ""))
        group = member(file.id, "model_weights", path)
        weights = {
            name: {
                short_name(name, variable): read_dataset(member(layer, variable, path), path)
                for variable in names(h5py.Group(layer).attrs, "weight_names")
            }
            for name in names(h5py.Group(group).attrs, "layer_names")
            for layer in [member(group, name, path)]
        }
    return config, weights, version


def text(value: Any) -> str:
    """An attribute that some h5py versions give as bytes and others as str."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def names(attributes: Any, key: str) -> list[str]:
    """A list of names; Keras splits long ones over `key0`, `key1`, …"""
    if key in attributes:
        return [text(n) for n in attributes[key]]
    found: list[str] = []
    while f"{key}{len(found)}" in attributes and len(found) < 1024:
        found.append(f"{key}{len(found)}")
    return [text(n) for chunk in found for n in attributes[chunk]]


def holds(group: Any, name: str) -> bool:
    """True if there is a member of that name."""
    parts = name.encode().split(b"/")
    return all(group.links.exists(b"/".join(parts[:end])) for end in range(1, len(parts) + 1))


def member(group: Any, name: str, path: Path) -> Any:
    """The id of a group or dataset inside a group's id, reached by hard links only.

    A file must not point out of itself.  The low-level interface is several times faster than h5py's objects.
    """
    found = group
    for part in name.encode().split(b"/"):
        if part:
            if found.links.get_info(part).type != h5py.h5l.TYPE_HARD:
                raise fail("KERAS-LINK", "the file links elsewhere", where=f"{path}: {name}")
            found = h5py.h5o.open(found, part)
    return found


def read_dataset(dataset: Any, path: Path) -> npt.NDArray[np.float32]:
    """A variable as float32, if it is an ordinary array inside the file."""
    ordinary = isinstance(dataset, h5py.h5d.DatasetID)
    where = f"{path}: {h5py.h5i.get_name(dataset).decode(errors='replace')}"
    plan = dataset.get_create_plist() if ordinary else None
    if plan is None or plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        raise fail("KERAS-LINK", "a variable is not stored in the file", where=where)
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if dataset.dtype.kind not in "fiu" or size > MAX_WEIGHT_BYTES:
        found = f"{dataset.dtype} {dataset.shape}"
        raise fail("KERAS-VARIABLE", "this cannot be a variable", where=where, found=found)
    stored = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, stored)
    values = np.asarray(stored, np.float32)
    if not np.isfinite(values).all():
        raise fail("KERAS-NAN", "a variable has values that are not finite", where=where)
    return values


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


# ---- .keras ---------------------------------------------------------------------------------------------------

VARIABLES = {
    "Conv2D": ("kernel", "bias"),
    "Conv2DTranspose": ("kernel", "bias"),
    "DepthwiseConv2D": ("depthwise_kernel", "bias"),
    "DepthwiseConv2DTranspose": ("depthwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Dense": ("kernel", "bias"),
    "Normalization": ("mean", "variance"),
    "PReLU": ("alpha",),
    "InputQuantizer": ("range_min", "range_max"),
}
"""The order of each layer's own variables, by class without `Quantized`; archives store them by index."""

ABSENT = {"gamma": "scale", "beta": "center"}
"""Variables that a layer may lack, and the setting that says so."""

OUTPUT_QUANTIZER = ("range_max", "rescaling_rate")
"""The order of an output quantizer's variables."""


def read_zip(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Weights], str]:
    """Configuration, weights and Keras version of a `.keras` archive."""
    import zipfile  # most models are .h5 files

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.file_size > MAX_WEIGHT_BYTES:
                    raise damaged(path, f"{entry.filename} declares {entry.file_size} bytes")
            config = json.loads(archive.read("config.json"))
            told = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
            stored = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise damaged(path, str(error)) from None
    with h5py.File(io.BytesIO(stored), "r") as file:
        records = config["config"]["layers"]
        weights = {
            str(record["config"]["name"]): dict(archive_variables(file.id, place, record, path))
            for record, place in zip(records, archive_places(records), strict=True)
        }
    return config, weights, str(told.get("keras_version", ""))


def archive_places(records: list[dict[str, Any]]) -> Iterator[str]:
    """Where the archive keeps each layer: its class in snake case, numbered from the second one on."""
    seen: dict[str, int] = {}
    for record in records:
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_of(record))
        place = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        count = seen.get(place, 0)
        seen[place] = count + 1
        yield f"layers/{place}_{count}" if count else f"layers/{place}"


def archive_variables(
    file: Any, place: str, record: dict[str, Any], path: Path
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The variables of one layer, named as in a `.h5` file."""
    if not holds(file, place):
        return
    layer = member(file, place, path)
    order = VARIABLES.get(class_of(record).removeprefix("Quantized"), ())
    there = tuple(name for name in order if record["config"].get(ABSENT.get(name, ""), True))
    yield from indexed(layer, there, "", path)
    if holds(layer, "out_quantizer"):
        yield from indexed(member(layer, "out_quantizer", path), OUTPUT_QUANTIZER, "output_quantizer/", path)


def indexed(
    group: Any, order: tuple[str, ...], prefix: str, path: Path
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The variables `vars/0`, `vars/1`, … under the names that their order gives them."""
    if holds(group, "vars"):
        for index, name in enumerate(order):
            if holds(group, f"vars/{index}"):
                yield prefix + name, read_dataset(member(group, f"vars/{index}", path), path)


# ---- configuration ----------------------------------------------------------------------------------------------


def class_of(record: dict[str, Any]) -> str:
    """The class name of a layer without its registration package."""
    return str(record["class_name"]).rpartition(">")[2]


def assemble(path: Path, digest: str, model: dict[str, Any], weights: dict[str, Weights]) -> Archive:
    """Join configuration and weights."""
    config = model["config"]
    if isinstance(config, list):  # a Sequential model of Keras before 2.2.3
        config = {"layers": config}
    records = [r for r in config["layers"] if isinstance(r, dict)]
    sequential = model["class_name"] == "Sequential"
    if sequential:
        records = [*input_record(records[0]), *records]
    layers: list[LayerRecord] = []
    for index, record in enumerate(records):
        name = str(record["config"]["name"])
        nodes = record.get("inbound_nodes", [])
        inbound = tuple(layer.name for layer in layers[-1:]) if sequential else tuple(inbound_names(nodes))
        calls = 1 if sequential else max(len(nodes), 1)
        layers.append(
            LayerRecord(class_of(record), name, record["config"], inbound, index, weights.get(name, {}), calls),
        )
    if sequential:
        inputs, outputs = end_names([[layers[0].name]]), end_names([[layers[-1].name]])
    else:
        inputs, outputs = end_names(config["input_layers"]), end_names(config["output_layers"])
    return Archive(path, digest, str(config.get("name", path.stem)), tuple(layers), inputs, outputs)


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
