"""Imports an ONNX file by what it holds: QuantizeML's own operators, or others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnn2snn_ir.diagnostics import CompileError, Diagnostics
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.frontends.onnx.file import OnnxFile, damaged, onnx_parse_errors, read_onnx
from cnn2snn_ir.frontends.onnx.graph import OnnxGraph, graph_of

if TYPE_CHECKING:
    from cnn2snn_ir.frontends.onnx.standard.inputs import InputShape

QUANTIZEML = "com.brainchip"
"""The domain of QuantizeML's operators."""


def import_onnx(path: Path, input_shape: InputShape = None, notes: Diagnostics | None = None) -> Module:
    """Import an ONNX file: as a `qnn` module if QuantizeML quantized it, as an `nn` module otherwise.

    `input_shape` is the shape of a sample in ONNX's order, such as (C, H, W), where the file leaves it open.  Warnings
    and remarks go to `notes`.  Raises `CompileError` with every fault found.
    """
    graph = read_graph(path)
    if any(node.domain == QUANTIZEML for node in graph.nodes):
        from cnn2snn_ir.frontends.onnx.quantizeml.importer import import_quantizeml

        return import_quantizeml(graph)
    from cnn2snn_ir.frontends.onnx.standard.importer import import_standard
    from cnn2snn_ir.frontends.onnx.standard.inference import inferred_shapes

    if graph.functions:
        graph = read_graph(path, inline=True)
    imported = import_standard(graph, partial(inferred_shapes, path), input_shape)
    if notes is not None:
        notes.extend(imported.found)
    return imported.module


def read_graph(path: Path, inline: bool = False) -> OnnxGraph:
    """The checked graph of an ONNX file; raises `CompileError` with all that is wrong with it.

    With `inline`, bodies of functions that the file defines stand in the place of their calls.
    """
    file = read_onnx(path)
    try:
        return graph_of(with_bodies(file) if inline else file)
    except CompileError:
        raise
    except onnx_parse_errors() as error:
        raise damaged(str(path), str(error)) from None


def with_bodies(file: OnnxFile) -> OnnxFile:
    """The file with the bodies of its functions in the place of their calls."""
    from onnx import checker, inliner

    try:
        return file._replace(model=inliner.inline_local_functions(file.model))
    except (RuntimeError, ValueError, checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise damaged(str(file.path), f"its functions cannot be put in the place of their calls: {reason}") from None
