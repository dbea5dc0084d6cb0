"""Builds a `qnn` module from a graph of QuantizeML's operators: walks the nodes, collects every fault.

Maps are NCHW in the file and NHWC in the module: shapes, weights and borders are turned here, once, and no op moves
data for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, fail
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.files import name_as_text
from cnn2snn_ir.frontends.onnx.graph import Node, OnnxGraph
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call
from cnn2snn_ir.frontends.onnx.quantizeml.templates import DOMAIN
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, si

LayerImporter = Callable[["Importer", Call], tuple[Value, ...]]
TABLE: dict[str, LayerImporter] = {}
"""Base name ▶ function that emits the layer; it returns a value for each output of the node."""

TailImporter = Callable[["Importer", Node, Value], Value]
TAIL: dict[str, TailImporter] = {}
"""Standard operator ▶ function that emits a float op behind the last integer; filled by `tail.py`."""

LAYER_MODULES = ("ends", "weighted", "joins", "temporal", "tail")
"""The modules whose functions fill the two tables."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Names that QuantizeML draws at random, so that they say nothing and differ from file to file."""


def import_quantizeml(graph: OnnxGraph) -> builtin.Module:
    """Import a graph with operators of QuantizeML; raises `CompileError` with every fault found."""
    for module in LAYER_MODULES:
        import_module(f"cnn2snn_ir.frontends.onnx.quantizeml.{module}")
    return Importer(graph).run()


class Importer:
    """The module under construction, and the value of each tensor of the file."""

    def __init__(self, source: OnnxGraph) -> None:
        self.source = source
        self.graph = Graph()
        self.found = Diagnostics()
        self.values: dict[str, Value] = {}
        self.bounds: dict[Value, int] = {}
        self.fifos: dict[str, Node] = {}
        self.layer = Layer("")

    # ---- what layer importers use -------------------------------------------------------------------------------

    def emit(self, op: Op) -> Value:
        """Append an op that belongs to the current node; returns its result."""
        self.add(op)
        return op.result

    def add(self, op: Op) -> None:
        """Append an op that belongs to the current node."""
        op.loc = self.layer
        self.graph.append(op)

    def constant(self, values: Any, element: ElementType, suffix: str) -> Tensor:
        """A constant called after the current node; one value for all channels has no dimension."""
        array = np.asarray(values)
        return Tensor.of(array.reshape(()) if array.shape == (1,) else array, element, f"{self.layer.name}/{suffix}")

    # ---- the walk -----------------------------------------------------------------------------------------------

    def run(self) -> builtin.Module:
        """Import all nodes."""
        for what, ends in (("input", self.source.inputs), ("output", self.source.outputs)):
            if len(ends) != 1:
                self.found.add(
                    Diagnostic(
                        "QML-ENDS",
                        f"the model must have one {what}",
                        where=str(self.source.path),
                        found=f"{len(ends)}: {', '.join(ends)}",
                        help=f"split the model, or remove the {what}s that are not needed",
                    )
                )
        broken: set[str] = set()
        for node in self.source.nodes:
            if broken.isdisjoint(node.inputs):  # a fault of its own, if any, cannot be told from its input's
                try:
                    with np.errstate(divide="raise", over="raise", invalid="raise"):  # never carry an infinity on
                        self.import_node(node)
                    continue
                except CompileError as error:
                    self.found.extend(error.diagnostics)
                except (ValueError, TypeError, ArithmeticError) as error:
                    reason = f"{type(error).__name__}: {error}"[:200]
                    self.found.add(Diagnostic("QML-NODE", "the node makes no sense", where=node.where, found=reason))
            broken.update(node.outputs)
        self.found.raise_errors(f"{self.source.path}: cannot import the model")
        return self.finish()

    def import_node(self, node: Node) -> None:
        """Import one node, and remember its outputs under their names."""
        self.layer = Layer(self.layer_name(node), node.op, node.index)
        if node.domain != DOMAIN:
            call = None
            results: tuple[Value, ...] = (self.import_float(node),)
        else:
            call = Call.of(node, self.source, self.values)
            results = TABLE[call.name.base](self, call)
        for name, value in zip(node.outputs, results, strict=True):
            self.keep(name, value, node, call)

    def layer_name(self, node: Node) -> str:
        """The node's name, or its output's where that tells nothing."""
        random = not node.name or UUID.fullmatch(node.name)
        unique = sum(other.name == node.name for other in self.source.nodes) == 1
        return node.name if unique and not random else node.outputs[0]

    def import_float(self, node: Node) -> Value:
        """A standard operator: the host computes it, behind the last integer."""
        read = [name for name in node.inputs if name in self.values]
        importer = TAIL.get(node.op) if not node.domain else None
        integers = not read or not self.values[read[0]].type.element.is_float
        if importer is None or len(read) != 1 or integers:
            before = "" if read and not integers else " in front of QuantizeML's operators"
            raise fail(
                "QML-FLOAT",
                f"{node.op}{before} is a float operator that the host does not compute",
                where=node.where,
                found=f"domain {node.domain or 'ai.onnx'}, {len(read)} computed inputs",
                allowed=f"behind the Dequantizer: {', '.join(sorted(TAIL))}",
                help="quantize it, too, or end the model before it",
            )
        return importer(self, node, self.values[read[0]])

    def keep(self, name: str, value: Value, node: Node, call: Call | None) -> None:
        """Remember an output under its name, if it is what the file declares; annotate what its integers stand for."""
        self.check_declared(name, value, node)
        self.values[name] = value
        if value.name is not None:
            return
        value.name = name
        if call is not None and not value.type.element.is_float:
            scale = call.scale(value.type.channels)
            if scale is not None:
                value.owner.annotations["frac_bits"] = Tensor.of(np.asarray(0), si(16), "frac_bits")
                value.owner.annotations["scale"] = Tensor.of(scale.squeeze(), F32, "scale")

    def check_declared(self, name: str, value: Value, node: Node) -> None:
        """Raise `CompileError` if the file declares another shape."""
        declared = self.source.values.get(name)
        if declared is None or declared.shape is None:
            return
        sizes = onnx_order(value.type.per_sample)
        stated = declared.shape[1:]
        if len(stated) != len(sizes) or any(isinstance(d, int) and d != s for d, s in zip(stated, sizes, strict=True)):
            raise fail(
                "QML-SHAPE",
                "the node computes another shape than the file declares",
                where=node.where,
                found=f"declared {shown(stated)}, computed {shown(sizes)}",
                help="export the model again",
            )

    def finish(self) -> builtin.Module:
        """The module, with the file's only output."""
        name = self.source.outputs[0]
        if name not in self.values:
            raise fail(
                "QML-ENDS", "the output must be computed by the model's nodes", where=str(self.source.path), found=name
            )
        output = self.values[name]
        self.graph.append(builtin.Return((output,)))
        return builtin.Module(
            self.source.name,
            self.graph,
            annotations={"source": name_as_text(self.source.path), "source_sha256": self.source.sha256},
        )


def onnx_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height, width, channels ▶ channels, height, width; vectors as they are."""
    return (shape[-1], *shape[:-1]) if len(shape) == 3 else shape


def shown(shape: tuple[int | str | None, ...]) -> str:
    """Sizes for a message."""
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def registered(table: dict[str, Any], *names: str) -> Callable[[Any], Any]:
    """Enter the decorated function into `table` under the names it imports."""

    def register(function: Any) -> Any:
        table.update(dict.fromkeys(names, function))
        return function

    return register
