"""Frontends: model files to IR.  `load_model` picks the one for a file."""

from __future__ import annotations

from pathlib import Path

from cnn2snn_ir.diagnostics import CompileError, Diagnostics, fail
from cnn2snn_ir.dialects.builtin import Module

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
ONNX_SUFFIX = ".onnx"
MODEL_SUFFIXES = (*KERAS_SUFFIXES, ONNX_SUFFIX)
"""How the files are called that `load_model` reads."""


def load_model(path: str | Path, notes: Diagnostics | None = None) -> Module:
    """Import a model file as a module; raises `CompileError` listing everything that prevents it.

    Warnings and remarks go to `notes`.
    """
    path = Path(path)
    if path.suffix.lower() == ".tflite":
        raise tflite(path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from cnn2snn_ir.frontends.onnx.importer import import_onnx

        return import_onnx(path, notes=notes)
    from cnn2snn_ir.frontends.keras_h5.importer import import_keras

    return import_keras(path)


def load_float_model(
    path: str | Path, input_shape: tuple[int, ...] | None = None, notes: Diagnostics | None = None
) -> Module:
    """Import a float model file as an `nn` module; raises `CompileError` listing everything that prevents it.

    `input_shape` is the shape of a sample in ONNX's order, where an ONNX file leaves it open.  Warnings and remarks go
    to `notes`.
    """
    path = Path(path)
    if path.suffix.lower() == ".tflite":
        raise tflite(path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from cnn2snn_ir.frontends.onnx.importer import import_onnx

        return import_onnx(path, input_shape, notes)
    from cnn2snn_ir.frontends.keras_h5.floating import import_float_keras

    return import_float_keras(path)


def tflite(path: Path) -> CompileError:
    """The error for a file of TensorFlow Lite, which holds a quantized network in a form of its own."""
    return fail(
        "FILE-TFLITE",
        "TensorFlow Lite files are not read",
        where=str(path),
        found=path.suffix,
        allowed=", ".join(MODEL_SUFFIXES),
        help="give the Keras model that it was made from, or make an ONNX file of it: python -m tf2onnx.convert "
        "--tflite FILE.tflite --output FILE.onnx (models with variables have no ONNX form)",
    )
