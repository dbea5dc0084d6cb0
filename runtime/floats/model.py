"""What a float model is to a comparison: named values that know what they are computed from, and a way to run it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail

Array = npt.NDArray[Any]

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


class FloatValue(NamedTuple):
    """One intermediate value."""

    key: str
    layer: str
    """The layer that computes it; several values may be of one layer."""
    kind: str
    """The class of the layer, or the type of the node."""
    inputs: tuple[str, ...]
    """Keys of the values that it is computed from."""


class FloatModel(Protocol):
    """A float model that can be run."""

    values: tuple[FloatValue, ...]
    """In the order of execution."""
    output: str
    """Key of the (first) output."""

    def run(self, x: Array, keys: Collection[str]) -> dict[str, Array]:
        """The values asked for, of those that can be read: batch first, channels last."""
        ...


def open_float(path: Path, layers: Collection[str]) -> FloatModel:
    """Open a float model; `layers` are names to look for where the file has only nodes (ONNX)."""
    suffix = path.suffix.lower()
    if suffix not in (*KERAS_SUFFIXES, ".onnx"):
        allowed = ", ".join((*KERAS_SUFFIXES, ".onnx"))
        raise fail("FLOAT-MODEL", "this is no float model", where=str(path), allowed=allowed)
    if not path.is_file():
        raise fail("FILE-MISSING", "there is no such file", where=str(path))
    if suffix == ".onnx":
        from cnn2snn_ir.runtime.floats.onnx_model import OnnxModel

        return OnnxModel(path, layers)
    from cnn2snn_ir.runtime.floats.keras_model import KerasModel

    return KerasModel(path)


def missing_library(path: Path, wanted: str, extra: str, reason: Exception) -> CompileError:
    """The error where what runs such models is not installed, or does not work."""
    return fail(
        "FLOAT-LIBRARY",
        f"running this float model needs {wanted}",
        where=str(path),
        found=f"{type(reason).__name__}: {reason}"[:200],
        help=f"pip install 'cnn2snn-ir[{extra}]'",
    )


def unreadable(path: Path, reason: Exception, help: str = "") -> CompileError:
    """The error for a file that the library does not take."""
    found = " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
    return fail("FLOAT-MODEL", "the float model cannot be loaded", where=str(path), found=found, help=help)


def not_runnable(path: Path, x: Array, shape: Iterable[Any], reason: Exception) -> CompileError:
    """The error for samples that the model, which wants them of some shape, does not take."""
    last = (str(reason).strip().splitlines() or [""])[-1]  # TensorFlow begins with a traceback
    found = f"{x.dtype} {x.shape}; {type(reason).__name__}: {last.strip()[:200]}"
    allowed = f"samples of shape ({', '.join(map(str, shape))})"
    message = "the float model does not run on these samples"
    return fail("FLOAT-RUN", message, where=str(path), found=found, allowed=allowed)
