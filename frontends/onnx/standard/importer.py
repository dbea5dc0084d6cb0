"""Walks the nodes of a standard ONNX graph and builds an `nn` module, or says everything that prevents it.

Behind a node that cannot be imported stands an input of the shape that ONNX infers for its result, so the nodes behind
it are looked at too; where no shape can be inferred, only the operators behind it are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import NamedTuple

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, Severity
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.files import name_as_text
from cnn2snn_ir.frontends.onnx.graph import Declared, Node, OnnxGraph
from cnn2snn_ir.frontends.onnx.standard.call import TABLE, Call, Result
from cnn2snn_ir.frontends.onnx.standard.constants import FOLDED, Constant, fold, stored
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.inputs import LARGEST, InputShape, add_inputs, stand_in
from cnn2snn_ir.frontends.onnx.standard.refused import refusal
from cnn2snn_ir.frontends.onnx.standard.view import View, channels_last
from cnn2snn_ir.ir import Graph, Layer, Op, Value, fuse
from cnn2snn_ir.ir.fields import AttrValue

OPERATOR_MODULES = (
    "weighted", "pooling", "pointwise", "arithmetic", "shapes", "resizing", "quantized", "qlinear", "qonnx",
)  # fmt: skip
"""The modules whose functions fill the table of operators."""

Shapes = Callable[[Mapping[str, tuple[int, ...]]], Mapping[str, Declared]]
"""Shapes of the inputs' samples ▶ types of all values, in ONNX's order; called when a node cannot be imported."""


class Imported(NamedTuple):
    """A module and what was found while it was made; if there are errors, the module serves only to be checked.

    `inputs` and `outputs` give, for each value of the file, the ONNX axes in the order of the module.
    """

    module: builtin.Module
    found: Diagnostics
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]


def import_standard(graph: OnnxGraph, shapes: Shapes, input_shape: InputShape = None) -> Imported:
    """Import a graph of standard operators as an `nn` module, channels last; raises `CompileError` with every fault.

    `input_shape` is the shape of a sample in ONNX's order, such as (C, H, W), where the file leaves it open.
    """
    imported = survey_standard(graph, shapes, input_shape)
    imported.found.raise_errors(f"{graph.path}: cannot import the model")
    return imported


def survey_standard(graph: OnnxGraph, shapes: Shapes, input_shape: InputShape = None) -> Imported:
    """Import what can be imported."""
    fill_table()
    return Importer(graph, shapes).run(input_shape)


def fill_table() -> None:
    """Import the modules whose functions enter themselves into `TABLE`."""
    for module in OPERATOR_MODULES:
        import_module(f"cnn2snn_ir.frontends.onnx.standard.{module}")


class Importer:
    """The module under construction, and what is known of each ONNX value."""

    def __init__(self, graph: OnnxGraph, shapes: Shapes) -> None:
        self.graph = graph
        self.infer = shapes
        self.body = Graph()
        self.found = Diagnostics()
        self.values: dict[str, Result] = {}
        self.broken: set[str] = set()
        """Values of which nothing is known."""
        self.dependent = set(graph.inputs)
        """Values that depend on the inputs, not only on their shapes."""
        self.consumed: set[str] = set()
        """Values that an imported node reads."""
        self.node: Node | None = None
        self.input_axes: dict[str, tuple[int, ...]] = {}
        self.output_axes: dict[str, tuple[int, ...]] = {}

    def run(self, input_shape: InputShape) -> Imported:
        """Import every node."""
        add_inputs(self, input_shape)
        for node in self.graph.nodes:
            self.import_node(node)
        outputs = [self.output(name) for name in self.graph.outputs]
        self.drop_unmade()
        if self.found.errors:  # all that there is can be checked
            unread = (x for name, x in self.values.items() if name not in self.consumed)
            outputs = list(dict.fromkeys(x.value for x in unread if isinstance(x, View)))
        self.body.append(builtin.Return(tuple(value for value in outputs if value is not None)))
        self.sweep()
        source: dict[str, AttrValue] = {"source": name_as_text(self.graph.path), "source_sha256": self.graph.sha256}
        module = builtin.Module(self.graph.name, self.body, annotations=source)
        return Imported(module, self.found, self.input_axes, self.output_axes)

    # ---- what operators use -----------------------------------------------------------------------------------

    def known(self, name: str, node: Node) -> Result:
        """What a value is; a constant of the file is read when a node first needs it."""
        if name not in self.values and name in self.graph.constants:
            self.values[name] = stored(self.graph.constants[name], node.where)
        if name not in self.values:
            raise UnsupportedNodeError("it reads a value that nothing makes", found=name, code="ONNX-VALUE")
        return self.values[name]

    def emit(self, op: Op) -> Value:
        """Append an op that belongs to the current node; gives its result."""
        if self.node is not None:
            op.loc = fuse(op.loc, Layer(self.title(self.node), self.node.op, self.node.index))
        size = math.prod(op.result.type.per_sample)
        require(size <= LARGEST, "a result too large for a chip", found=op.result.type, code="ONNX-SHAPE")
        self.body.append(op)
        return op.result

    @staticmethod
    def title(node: Node) -> str:
        """The node's name, or that of its result: nodes need not have names."""
        return node.name or next(filter(None, node.outputs), f"node_{node.index}")

    # ---- nodes ------------------------------------------------------------------------------------------------

    def import_node(self, node: Node) -> None:
        """Import one node, or note why not."""
        self.node = node
        depends = node.op not in ("Shape", "Size") and any(name in self.dependent for name in node.inputs)
        if depends:
            self.dependent.update(filter(None, node.outputs))
        if any(name in self.broken for name in node.inputs):
            if (node.domain, node.op) not in TABLE and (depends or node.op not in FOLDED):
                self.found.add(refusal(node, self.graph))
            self.broken.update(filter(None, node.outputs))
            return
        try:
            self.keep(node, self.results(node))
            self.consumed.update(node.inputs)
        except UnsupportedNodeError as error:
            self.reject(node, [replace(error.diagnostic, where=node.where)])
        except CompileError as error:
            self.reject(node, error.diagnostics)
        except ValueError as error:  # an op of the module does not fit its operands, and says so in a sentence
            self.reject(node, [Diagnostic("ONNX-SHAPE", str(error), where=node.where)])

    def results(self, node: Node) -> tuple[Result, ...]:
        """What a node computes."""
        given = [self.known(name, node) if name else None for name in node.inputs]
        if not node.domain and node.op in FOLDED and all(x is None or isinstance(x, Constant) for x in given):
            return fold(node, [x for x in given if not isinstance(x, View)], self.graph.opsets[""])
        entry = TABLE.get((node.domain, node.op))
        if entry is None:
            raise CompileError(refusal(node, self.graph))
        call = Call(self, node, entry.integers)
        result = entry.function(call)
        call.check_read()
        return result if isinstance(result, tuple) else (result,)

    def keep(self, node: Node, results: tuple[Result, ...]) -> None:
        """Remember results by their names; the op that ends the node is called like it."""
        for name, result in zip(node.outputs, results, strict=False):
            self.values[name] = result
            if isinstance(result, View) and result.value.name is None:
                result.value.name = self.title(node)
        missing = [name for name in node.outputs[len(results) :] if name and self.is_read(name)]
        require(not missing, "a further result of this operator is used", found=", ".join(missing))

    def is_read(self, name: str) -> bool:
        return bool(self.graph.readers(name)) or name in self.graph.outputs

    @cached_property
    def shapes(self) -> Mapping[str, Declared]:
        """The types of all values, as far as they can be inferred."""
        inputs = {name: self.values.get(name) for name in self.graph.inputs}
        return self.infer({n: tuple(s or 0 for s in x.shape[1:]) for n, x in inputs.items() if isinstance(x, View)})

    def reject(self, node: Node, diagnostics: list[Diagnostic]) -> None:
        """Note faults; go on with an input of the shape that the result would have."""
        self.found.extend(diagnostics)
        for name in filter(None, node.outputs):
            substitute = stand_in(self, name) if name in self.dependent else None
            if substitute is None:
                self.broken.add(name)
            else:
                self.values[name] = substitute

    # ---- the end ----------------------------------------------------------------------------------------------

    def output(self, name: str) -> Value | None:
        """An output of the module: channels last, unless memory has ONNX's own order."""
        self.node = None
        if name in self.broken:
            return None
        try:
            x = self.values.get(name)
            message = "an output that does not depend on the input"
            if not isinstance(x, View):
                raise UnsupportedNodeError(message, help="leave it out of the graph's outputs")
            if x.grid is not None:
                message = "an output of integers: the module gives the reals that they stand for"
                self.found.add(Diagnostic("ONNX-REALS", message, where=f"output {name}", severity=Severity.REMARK))
            straight = [d for group in x.dims for d in group]
            as_onnx = straight == sorted(straight) or x.rank > 4
            self.output_axes[name] = tuple(range(x.rank)) if as_onnx else channels_last(x.rank)
            return x.arranged(self.output_axes[name], self.emit)
        except UnsupportedNodeError as error:
            self.found.add(replace(error.diagnostic, where=f"output {name}"))
            return None

    def drop_unmade(self) -> None:
        """Forget ops that could not be made, but had been given their operands."""
        for op in self.body:
            for user in [u for value in op.results for u in value.users if u.graph is None]:
                user.drop_operands()

    def sweep(self) -> None:
        """Erase ops of which nobody uses the result: patterns leave them behind."""
        for op in reversed(self.body):
            if op.pure and op.is_unused:
                op.erase()
