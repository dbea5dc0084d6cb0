"""A node of QuantizeML with its arguments bound by the names of its function's inputs, never by position.

The order of these inputs follows from the body, and differs between functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, fail
from cnn2snn_ir.frontends.onnx.graph import Node, OnnxGraph
from cnn2snn_ir.frontends.onnx.quantizeml.grammar import SCALE, OpName, parse_name
from cnn2snn_ir.frontends.onnx.quantizeml.templates import verified
from cnn2snn_ir.frontends.onnx.tensors import Array, StoredTensor
from cnn2snn_ir.ir import Value

Ints = npt.NDArray[np.int64]

TYPES = {
    "W": ("int8",),
    "bias": ("int32",),
    "pads": ("int64",),
    "x_pad_value": ("int32",),
    "Scale": ("uint8",),
    "Shift": ("float32",),
    "ActScale": ("uint8",),
    "ActShift": ("float32",),
    "LUT_values": ("int32",),
    "max_value": ("int32",),
    "Xs": ("int32",),
    "Ys": ("int32",),
    "scale": ("float32",),
    "zp": ("uint8", "int8"),
}
"""The element types of constant arguments, by their formal names."""


@dataclass(frozen=True)
class Call:
    """One node: its name taken apart, its arguments by formal name, and the values of those that are computed."""

    name: OpName
    node: Node
    graph: OnnxGraph
    arguments: Mapping[str, str]
    values: Mapping[str, Value]

    @classmethod
    def of(cls, node: Node, graph: OnnxGraph, values: Mapping[str, Value]) -> Call:
        """Bind a node; raises `CompileError` if its name, function, arguments or attributes are not QuantizeML's."""
        name = parse_name(node.op, node.where)
        function = verified(node.op, name, graph.functions, node.where)
        found = list(attribute_faults(node, set(function.attributes)))
        if len(node.inputs) != len(function.inputs) or not all(node.inputs) or len(node.outputs) != name.tensors:
            found.append(
                Diagnostic(
                    "QML-ARGUMENT",
                    "the node has not as many inputs and outputs as its function",
                    where=node.where,
                    found=f"inputs {', '.join(n or 'nothing' for n in node.inputs)}; {len(node.outputs)} outputs",
                    allowed=f"{', '.join(function.inputs)}; {name.tensors} outputs",
                )
            )
        if found:
            raise CompileError(found)
        return cls(name, node, graph, dict(zip(function.inputs, node.inputs, strict=True)), values)

    def has(self, formal: str) -> bool:
        """True if the operator has an argument of this name."""
        return formal in self.arguments

    def value(self, formal: str) -> Value:
        """A computed argument."""
        name = self.arguments[formal]
        if name not in self.values:
            raise self.fault(f"{formal} must be computed by QuantizeML's operators", name)
        return self.values[name]

    def constant(self, formal: str) -> Array:
        """A constant argument; raises `CompileError` if it is computed, of another type, or cannot be read."""
        name, types = self.arguments[formal], TYPES["scale" if formal.startswith("scale_") else formal]
        stored = self.graph.constants.get(name)
        if not isinstance(stored, StoredTensor):
            raise self.fault(f"{formal} must be a constant that is stored in the file", name)
        if stored.dtype not in types:
            raise self.fault(f"{formal} has another element type", f"{name}: {stored.dtype}", " or ".join(types))
        return stored.finite(self.node.where)

    def vector(self, formal: str, channels: int, every: bool = False) -> Array:
        """A constant vector with a number for each channel, or with one for all unless `every` needs its own."""
        array = self.constant(formal)
        if array.shape != (channels,) and (every or array.shape not in ((), (1,))):
            one = "" if every else "one number, or "
            raise self.fault(f"{formal} has another shape", str(list(array.shape)), f"{one}[{channels}]")
        return array.reshape(-1)

    def by_channel(self, formal: str, channels: int, rank: int) -> Array:
        """A constant that broadcasts over a tensor of `rank` dimensions as one number for all channels or for each.

        Channels are dimension 1 there, so that a plain vector would not do.
        """
        array = self.constant(formal)
        aligned = array.reshape(*(1,) * (rank - array.ndim), *array.shape)
        if aligned.ndim != rank or aligned.shape not in ((1,) * rank, (1, channels, *(1,) * (rank - 2))):
            allowed = f"one number, or {[1, channels, *[1] * (rank - 2)]}"
            raise self.fault(f"{formal} has another shape", str(list(array.shape)), allowed)
        return array.reshape(-1)

    def shifts(self, formal: str, channels: int, rank: int) -> Ints:
        """How far a power of two, by which the function divides, shifts to the right; negative to the left."""
        array = self.by_channel(formal, channels, rank).astype(np.float64)
        fractions, exponents = np.frexp(array)
        if not (fractions == 0.5).all():
            odd = ", ".join(str(v) for v in array[fractions != 0.5][:3])
            raise self.fault(f"{formal} must be a power of two", odd, "…, 0.5, 1, 2, 4, …", code="QML-SHIFT")
        return (exponents - 1).astype(np.int64)

    def integers(self, attribute: str, count: int, least: int = 1) -> tuple[int, ...]:
        """An attribute of `count` integers."""
        found = self.node.attributes[attribute]
        if not isinstance(found, tuple) or len(found) != count or any(type(v) is not int or v < least for v in found):
            allowed = f"{count} integers of {least} or more"
            raise self.fault(f"the attribute {attribute} cannot be", str(found), allowed, code="QML-ATTRIBUTE")
        return found

    def number(self, attribute: str) -> int:
        """An attribute of one positive integer, which may be a list of one."""
        found = self.node.attributes[attribute]
        found = found[0] if isinstance(found, tuple) and len(found) == 1 else found
        if type(found) is not int or found < 1:
            raise self.fault(f"the attribute {attribute} cannot be", str(found), "1 or more", code="QML-ATTRIBUTE")
        return found

    def text(self, attribute: str) -> str:
        """An attribute that is a name."""
        found = self.node.attributes[attribute]
        if not isinstance(found, str) or not found:
            raise self.fault(f"the attribute {attribute} must be a name", str(found), code="QML-ATTRIBUTE")
        return found

    def scale(self, channels: int) -> Array | None:
        """The real distance of two integers of the output, if the node tells: its `scale` is the reciprocal."""
        stored = self.node.attributes.get(SCALE)
        if not isinstance(stored, StoredTensor) or math.prod(stored.shape) not in (1, channels):
            return None
        units = stored.finite(self.node.where).reshape(-1).astype(np.float64)
        return 1 / units if (units > 0).all() else None

    def fault(self, message: str, found: str, allowed: str = "", code: str = "QML-ARGUMENT") -> CompileError:
        """The error for an argument or an attribute that cannot be."""
        return fail(code, message, where=self.node.where, found=found, allowed=allowed)


def attribute_faults(node: Node, known: set[str]) -> Iterator[Diagnostic]:
    """Attributes that the function does not have, and those that it needs."""
    for message, names in (
        ("the node has an attribute that its function does not know", set(node.attributes) - known - {SCALE}),
        ("the node lacks an attribute of its function", known - set(node.attributes)),
    ):
        for name in sorted(names):
            allowed = ", ".join(sorted(known)) or "none"
            yield Diagnostic("QML-ATTRIBUTE", message, where=node.where, found=name, allowed=allowed)
