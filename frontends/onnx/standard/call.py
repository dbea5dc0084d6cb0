"""One node while it is imported, and the table of operators.

An importer takes a `Call` and reads from it what the node says.  What it did not read it did not understand: an
attribute or operand that nobody asked for is an error, so nothing that a node says is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Severity
from cnn2snn_ir.frontends.onnx.graph import Node, Reference, Subgraph
from cnn2snn_ir.frontends.onnx.standard.constants import Constant
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import View
from cnn2snn_ir.ir import F32, F64, ElementType, Op, Tensor, Value

if TYPE_CHECKING:
    from cnn2snn_ir.frontends.onnx.standard.importer import Importer

Array = npt.NDArray[Any]
Result = View | Constant


class Operator(NamedTuple):
    """How an operator is imported; `integers` if its operands may be integers with a scale."""

    function: Callable[[Call], Result | tuple[Result, ...]]
    integers: bool


TABLE: dict[tuple[str, str], Operator] = {}
"""Domain and operator ▶ its importer; filled by the modules of this package."""

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""


def operator(*names: str, domains: Iterable[str] = ("",), integers: bool = False) -> Callable[[Any], Any]:
    """Enter the decorated function into the table under the operators that it imports."""

    def register(function: Any) -> Any:
        for key in ((domain, name) for domain in domains for name in names):
            if key in TABLE:
                raise CompileError(Diagnostic("INTERNAL", f"{key} has two importers"))
            TABLE[key] = Operator(function, integers)
        return function

    return register


class Call:
    """A node, what it reads, and where its ops go."""

    def __init__(self, importer: Importer, node: Node, integers: bool) -> None:
        self.importer = importer
        self.node = node
        self.integers = integers
        self.opset = importer.graph.opsets.get(node.domain, 1)
        self.read_inputs: set[int] = set()
        self.read_attributes: set[str] = set()

    # ---- operands ---------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Number of operands, those left out included."""
        return len(self.node.inputs)

    def has(self, index: int) -> bool:
        """True if an operand is given."""
        return index < self.count and bool(self.node.inputs[index])

    def operand(self, index: int) -> Result:
        """An operand, whatever it is."""
        self.read_inputs.add(index)
        if not self.has(index):
            raise UnsupportedNodeError(f"operand {index} is missing", code="ONNX-VALUE")
        found: Result = self.importer.known(self.node.inputs[index], self.node)
        return found

    def is_constant(self, index: int) -> bool:
        """True if an operand is known while importing."""
        return self.has(index) and isinstance(self.importer.known(self.node.inputs[index], self.node), Constant)

    def view(self, index: int = 0) -> View:
        """An operand that is computed: reals, or integers with a scale if the operator takes them."""
        x = self.any_view(index)
        if x.is_raw or (x.grid is not None and not self.integers):
            raise UnsupportedNodeError(
                "it computes with integers",
                found=f"{x.value.type.element if x.is_raw else x.grid and x.grid.element} in operand {index}",
                help="put a DequantizeLinear before it",
                code="ONNX-TYPE",
            )
        return x

    def any_view(self, index: int = 0) -> View:
        """An operand that is computed, of any type."""
        x = self.operand(index)
        if isinstance(x, Constant):
            message = f"operand {index} is a constant where one is expected that depends on the input"
            raise UnsupportedNodeError(message, found=self.node.inputs[index])
        return x

    def constant(self, index: int) -> Constant:
        """An operand that is known while importing."""
        x = self.operand(index)
        if not isinstance(x, Constant):
            message = f"operand {index} must be a constant, and depends on the input"
            raise UnsupportedNodeError(message, found=self.node.inputs[index], code="ONNX-CONSTANT")
        return x

    def floats(self, index: int) -> Array:
        """A constant of reals."""
        return self.constant(index).floats

    def whole(self, index: int) -> list[int]:
        """A constant of integers, as a list."""
        values = self.constant(index).fixed
        require(values.dtype.kind in "iu", f"operand {index} must hold integers", found=values.dtype, code="ONNX-TYPE")
        return [int(v) for v in values.reshape(-1)]

    def number(self, index: int) -> float:
        """A constant of one element."""
        values = self.constant(index).fixed
        require(values.size == 1, f"operand {index} must be one number", found=list(values.shape), code="ONNX-SHAPE")
        return float(values.reshape(-1)[0])

    # ---- attributes -------------------------------------------------------------------------------------------

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of a type like that of `default`, if there is one."""
        self.read_attributes.add(name)
        value = self.node.attributes.get(name)
        if value is None:
            return default
        kinds = {float: (float, int)}.get(type(default), (type(default),))
        wrong = isinstance(value, Subgraph | Reference) or (default is not None and not isinstance(value, kinds))
        require(not wrong, f"the attribute {name} is of another type", found=repr(value)[:80], code="ONNX-ATTRIBUTE")
        return value

    def ints(self, name: str, length: int | None = None, default: int = 0, least: int | None = None) -> tuple[int, ...]:
        """An attribute of integers: `length` of them, each at least `least`."""
        values = self.attribute(name, ())
        values = (default,) * (length or 0) if name not in self.node.attributes else values
        fits = (length is None or len(values) == length) and all(isinstance(v, int) for v in values)
        fits = fits and (least is None or all(v >= least for v in values))
        allowed = f"{length or 'some'} integers" + (f" of {least} or more" if least is not None else "")
        require(fits, f"the attribute {name} does not fit", found=list(values), allowed=allowed, code="ONNX-ATTRIBUTE")
        return tuple(values)

    def axes(self, name: str, index: int) -> list[int] | None:
        """Integers that older versions have as an attribute and newer ones as an operand; None if there are none."""
        if self.has(index):
            return self.whole(index)
        return list(self.ints(name)) if name in self.node.attributes else None

    def expect(self, name: str, *allowed: Any, help: str = "") -> Any:
        """An attribute that must have one of these values, the first by default."""
        value = self.attribute(name, allowed[0])
        if value not in allowed:
            text = " or ".join(str(a) for a in allowed)
            message = f"{name} has a value that is not supported"
            raise UnsupportedNodeError(message, found=str(value), allowed=text, help=help)
        return value

    def ignore(self, *names: str) -> None:
        """Attributes that say nothing about the result."""
        self.read_attributes.update(names)

    def check_read(self) -> None:
        """Raise `UnsupportedNodeError` if the node says something that nobody read."""
        unread = sorted(set(self.node.attributes) - self.read_attributes)
        message = "an attribute that this operator does not have"
        require(not unread, message, found=", ".join(unread), code="ONNX-ATTRIBUTE")
        extra = [name for i, name in enumerate(self.node.inputs) if name and i not in self.read_inputs]
        require(not extra, "more operands than the operator has", found=", ".join(extra), code="ONNX-VALUE")

    # ---- results ----------------------------------------------------------------------------------------------

    def emit(self, op: Op) -> Value:
        """Append an op that belongs to this node; gives its result."""
        return self.importer.emit(op)

    def tensor(self, values: Any, element: ElementType, suffix: str) -> Tensor:
        """A constant of the module, called after the node."""
        return Tensor.of(values, element, f"{self.importer.title(self.node)}/{suffix}")

    def reals(self, values: Array, suffix: str) -> Tensor:
        """A constant of reals, in float64 if that is what they are."""
        return self.tensor(values, F64 if values.dtype == np.float64 else F32, suffix)

    def read_once(self, index: int) -> bool:
        """True if nothing but this node reads an operand."""
        name = self.node.inputs[index]
        return len(self.importer.graph.readers(name)) == 1 and name not in self.importer.graph.outputs

    def note(self, code: str, message: str, severity: Severity = Severity.REMARK, **details: str) -> None:
        """Tell the user something that is no error."""
        self.importer.found.add(
            Diagnostic(code, message, where=self.node.where, severity=severity, **details)  # type: ignore[arg-type]
        )
