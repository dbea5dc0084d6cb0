"""Frontends: model files to IR.  `load_model` picks the one for a file."""

from __future__ import annotations

from pathlib import Path

from cnn2snn_ir.dialects.builtin import Module

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
ONNX_SUFFIX = ".onnx"
MODEL_SUFFIXES = (*KERAS_SUFFIXES, ONNX_SUFFIX)
"""How the files are called that `load_model` reads."""


def load_model(path: str | Path) -> Module:
    """Import a model file as a module; raises `CompileError` listing everything that prevents it."""
    path = Path(path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from cnn2snn_ir.frontends.onnx.importer import import_onnx

        return import_onnx(path)
    from cnn2snn_ir.frontends.keras_h5.importer import import_keras

    return import_keras(path)


def load_float_model(path: str | Path, input_shape: tuple[int, ...] | None = None) -> Module:
    """Import a float model file as an `nn` module; raises `CompileError` listing everything that prevents it.

    `input_shape` is the shape of a sample in ONNX's order, where an ONNX file leaves it open.
    """
    path = Path(path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from cnn2snn_ir.frontends.onnx.importer import import_onnx

        return import_onnx(path, input_shape)
    from cnn2snn_ir.frontends.keras_h5.floating import import_float_keras

    return import_float_keras(path)
