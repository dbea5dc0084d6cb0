"""Shapes of all values of a file as the `onnx` package infers them, to go on behind what cannot be imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnn2snn_ir.frontends.onnx.file import read_onnx
from cnn2snn_ir.frontends.onnx.graph import Declared, declared


def inferred_shapes(path: Path) -> Mapping[str, Declared]:
    """Value ▶ what is known of its type; nothing if the inference itself fails."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(read_onnx(path).model).graph
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        return {}
    return {v.name: declared(v) for v in (*graph.value_info, *graph.output)}
