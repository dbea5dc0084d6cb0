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
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.frontends.keras_h5.configuration import (
    LayerRecord,
    Weights,
    class_of,
    is_model,
    layers_of,
    short_name,
)
from cnn2snn_ir.frontends.keras_h5.heaps import heap_fault

__all__ = ["Archive", "LayerRecord", "class_of", "read_archive"]

FORMATS = "a QuantizeML model saved by Keras as .h5 or .keras"


LARGEST = np.finfo(np.float32).max
"""Variables become 32-bit floats."""


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
            config, weights, version = read_hdf5(path, data)
        name = dict(config["config"]).get("name", path.stem) if isinstance(config["config"], dict) else path.stem
        return Archive(path, digest, str(name), *layers_of(config, weights), version)
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
        OverflowError,
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


def read_hdf5(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Weights], str]:
    """Configuration, weights and Keras version of a legacy HDF5 file."""
    check_heaps(data, path)
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
        variables = Variables(path, len(data))
        weights = {
            name: {
                short_name(name, variable): variables.read(member(layer, variable, path))
                for variable in names(h5py.Group(layer).attrs, "weight_names")
            }
            for name in names(h5py.Group(group).attrs, "layer_names")
            for layer in [member(group, name, path)]
        }
    return config, weights, version


def check_heaps(data: bytes, path: Path) -> None:
    """Raise `CompileError` for a heap that would keep HDF5 busy for ever."""
    if fault := heap_fault(data):
        raise damaged(path, fault)


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


class Variables:
    """Reads the variables of a file, which together have no more bytes than the file."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.left = path, size

    def read(self, dataset: Any) -> npt.NDArray[np.float32]:
        """A variable as float32, if it is an ordinary array, all of it stored in the file as it is."""
        ordinary = isinstance(dataset, h5py.h5d.DatasetID)
        where = f"{self.path}: {h5py.h5i.get_name(dataset).decode(errors='replace')}"
        plan = dataset.get_create_plist() if ordinary else None
        if plan is None or plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
            raise fail("KERAS-LINK", "a variable is not stored in the file", where=where)
        dtype, shape = dataset.dtype, dataset.shape
        if dtype.kind not in "fiu" or shape is None:
            raise fail("KERAS-VARIABLE", "this cannot be a variable", where=where, found=f"{dtype} {shape}")
        if plan.get_nfilters():
            advice = "save the model again with model.save(), which does not compress"
            raise fail("KERAS-FILTER", "a variable is compressed or filtered", where=where, help=advice)
        size = math.prod(shape) * dtype.itemsize
        self.left -= size
        if size > dataset.get_storage_size() or self.left < 0:
            found = f"{dtype} {shape}: {size} bytes, of which {dataset.get_storage_size()} are stored"
            raise fail("KERAS-VARIABLE", "a variable is larger than what the file holds", where=where, found=found)
        stored = np.empty(shape, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, stored)
        if not np.isfinite(stored).all() or (dtype.kind == "f" and np.any(abs(stored) > LARGEST)):
            raise fail("KERAS-NAN", "a variable has values that are not finite", where=where)
        return np.asarray(stored, np.float32)


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
    from cnn2snn_ir.zip_files import DamagedFileError, opened_zip  # most models are .h5 files

    try:
        with opened_zip(io.BytesIO(data), len(data)) as archive:
            config = json.loads(archive.read("config.json"))
            told = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
            stored = archive.read("model.weights.h5")
    except (DamagedFileError, KeyError) as error:
        raise damaged(path, str(error)) from None
    check_heaps(stored, path)
    with h5py.File(io.BytesIO(stored), "r") as file:
        variables = Variables(path, len(stored))
        weights = {
            name: dict(archive_variables(file.id, place, record, variables))
            for name, place, record in archive_places(config["config"]["layers"])
        }
    return config, weights, str(told.get("keras_version", ""))


def archive_places(records: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every layer's name, where the archive keeps it (its class in snake case, numbered from the second one on), and
    its record."""
    seen: dict[str, int] = {}
    for record in records:
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_of(record))
        place = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        count = seen.get(place, 0)
        seen[place] = count + 1
        yield str(record["config"]["name"]), f"layers/{place}_{count}" if count else f"layers/{place}", record


def archive_variables(
    file: Any, place: str, record: dict[str, Any], variables: Variables
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The variables of one layer, named as in a `.h5` file; of a model, those of its layers by their names."""
    if not holds(file, place):
        return
    if is_model(record):
        for name, inner, layer in archive_places(record["config"]["layers"]):
            for variable, values in archive_variables(file, f"{place}/{inner}", layer, variables):
                yield f"{name}/{variable}", values
        return
    group = member(file, place, variables.path)
    order = VARIABLES.get(class_of(record).removeprefix("Quantized"), ())
    there = tuple(name for name in order if record["config"].get(ABSENT.get(name, ""), True))
    yield from indexed(group, there, "", variables)
    if holds(group, "out_quantizer"):
        inner = member(group, "out_quantizer", variables.path)
        yield from indexed(inner, OUTPUT_QUANTIZER, "output_quantizer/", variables)


def indexed(
    group: Any, order: tuple[str, ...], prefix: str, variables: Variables
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The variables `vars/0`, `vars/1`, … under the names that their order gives them."""
    if holds(group, "vars"):
        for index, name in enumerate(order):
            if holds(group, f"vars/{index}"):
                yield prefix + name, variables.read(member(group, f"vars/{index}", variables.path))
