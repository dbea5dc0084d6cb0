"""Float models of Keras, run by whichever of tf_keras and Keras is installed.

What the layers are and how they are connected is read from the file; only the arithmetic is left to Keras.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.frontends.keras_h5.archive import Archive, LayerRecord, read_archive
from cnn2snn_ir.runtime.floats.model import Array, FloatValue, missing_library, not_runnable, unreadable

LIBRARIES = {2: ("tf_keras", "keras"), 3: ("keras", "tf_keras")}
"""Which library to try first, by the generation of Keras that wrote the file."""


class KerasModel:
    """A model file of either generation of Keras."""

    def __init__(self, path: Path) -> None:
        """Read the file and load it with Keras; raises `CompileError` if either fails."""
        archive = read_archive(path)
        refuse_code(archive)
        self.path = path
        self.values = tuple(FloatValue(r.name, r.name, kind_of(r), r.inbound) for r in archive.layers)
        self.output = archive.outputs[0]
        self.keras, self.model = load(path)
        self.dtype = dtype_name(self.model.inputs[0])
        self.tensors = dict(tensors(self.model))
        self.parts: dict[tuple[str, ...], Any] = {}

    def run(self, x: Array, keys: Collection[str]) -> dict[str, Array]:
        """The outputs of some layers."""
        names = tuple(sorted(self.tensors.keys() & keys))
        try:
            if names not in self.parts:
                self.parts[names] = self.keras.Model(self.model.inputs, [self.tensors[name] for name in names])
            found = self.parts[names].predict_on_batch(x.astype(self.dtype))
        except Exception as error:  # any of TensorFlow's
            raise not_runnable(self.path, x, self.model.inputs[0].shape[1:], error) from error
        arrays = found if isinstance(found, list | tuple) else [found]
        return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}


def load(path: Path) -> tuple[Any, Any]:
    """Keras and the model that it loads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets everybody on standard error
    absent: list[Exception] = []
    refused: list[Exception] = []
    for name in LIBRARIES[generation(path)]:
        try:
            keras = import_module(name)
        except Exception as error:  # a broken TensorFlow fails with anything
            absent.append(error)
            continue
        try:
            return keras, keras.models.load_model(path, compile=False)
        except Exception as error:  # Keras has no class of its own for files that it cannot load
            refused.append(error)
    if refused:
        hint = f"{absent[0]}; pip install 'cnn2snn-ir[keras]' installs both libraries" if absent else ""
        raise unreadable(path, refused[0], hint) from refused[0]
    raise missing_library(path, "TensorFlow with tf_keras or Keras", "keras", absent[0]) from absent[0]


def generation(path: Path) -> int:
    """Which generation of Keras wrote the file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            written_by = archive.read("metadata.json").decode() if "metadata.json" in archive.namelist() else ""
        return 2 if '"keras_version": "2.' in written_by else 3
    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "2")
        return 3 if str(version.decode() if isinstance(version, bytes) else version).startswith("3") else 2


def tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Every layer's output."""
    for layer in model.layers:
        try:
            tensor = layer.output
        except (AttributeError, ValueError):  # a layer used twice has no output of its own
            continue
        if not isinstance(tensor, list | tuple | dict):
            yield layer.name, tensor


def dtype_name(tensor: Any) -> str:
    """The type of a symbolic tensor, which is an object in Keras 2 and a text in Keras 3."""
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def kind_of(record: LayerRecord) -> str:
    """The class of a layer; of one that only applies a function, the function."""
    return str(record.config["activation"]) if record.class_name == "Activation" else record.class_name


def refuse_code(archive: Archive) -> None:
    """Raise `CompileError` for a file with Python code in it, which Keras would execute."""
    for record in archive.layers:
        if record.class_name == "Lambda" or holds_lambda(record.config):
            raise fail(
                "FLOAT-MODEL",
                "the float model holds Python code, which is not executed",
                where=str(archive.path),
                found=f"{record.name} ({record.class_name})",
                help="replace Lambda layers, or compare with the model exported to ONNX",
            )


def holds_lambda(config: Any) -> bool:
    """True if a configuration has a Lambda layer or a serialized function anywhere inside."""
    if isinstance(config, dict):
        named = config.get("class_name") in ("Lambda", "__lambda__")
        return named or any(holds_lambda(value) for value in config.values())
    return isinstance(config, list) and any(holds_lambda(value) for value in config)
