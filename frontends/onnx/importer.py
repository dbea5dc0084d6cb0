"""Imports an ONNX file by what it holds: QuantizeML's own operators, or others."""

from __future__ import annotations

from pathlib import Path

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.frontends.onnx.file import damaged, onnx_parse_errors, read_onnx
from cnn2snn_ir.frontends.onnx.graph import OnnxGraph, graph_of

QUANTIZEML = "com.brainchip"
"""The domain of QuantizeML's operators."""


def import_onnx(path: Path) -> Module:
    """Import an ONNX file as a `qnn` module; raises `CompileError` with every fault found."""
    graph = read_graph(path)
    if any(node.domain == QUANTIZEML for node in graph.nodes):
        from cnn2snn_ir.frontends.onnx.quantizeml.importer import import_quantizeml

        return import_quantizeml(graph)
    raise fail(
        "ONNX-FLOAT",
        "the model is not quantized by QuantizeML",
        where=str(path),
        found=f"{len(graph.nodes)} nodes, such as {graph.nodes[-1].where}" if graph.nodes else "constants only",
        help="quantize it first: quantizeml quantize -m MODEL.onnx",
    )


def read_graph(path: Path) -> OnnxGraph:
    """The checked graph of an ONNX file; raises `CompileError` with all that is wrong with it."""
    file = read_onnx(path)
    try:
        return graph_of(file)
    except CompileError:
        raise
    except onnx_parse_errors() as error:
        raise damaged(str(path), str(error)) from None
