"""Shapes of all values of a file as the `onnx` package infers them, to go on behind what cannot be imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnn2snn_ir.frontends.onnx.file import read_onnx
from cnn2snn_ir.frontends.onnx.graph import Declared, declared


def inferred_shapes(path: Path, samples: Mapping[str, tuple[int, ...]]) -> Mapping[str, Declared]:
    """Value ▶ what is known of its type, for inputs of which a sample has these shapes; nothing if that fails."""
    import onnx

    model = read_onnx(path).model
    for info in model.graph.input:
        if info.name in samples:
            info.type.tensor_type.shape.Clear()
            info.type.tensor_type.shape.dim.add().dim_param = "N"
            for size in samples[info.name]:
                info.type.tensor_type.shape.dim.add().dim_value = size
    del model.graph.value_info[:]
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        return {}
    return {v.name: declared(v) for v in (*graph.value_info, *graph.output)}
