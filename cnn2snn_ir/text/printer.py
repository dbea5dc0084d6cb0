"""IR to text.  The custom form elides defaults and operand types; the generic form states everything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir.fields import AttrValue, Role
from cnn2snn_ir.ir.graph import Graph
from cnn2snn_ir.ir.location import Fused, Layer, Location, Text, Unknown
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import ElementType
from cnn2snn_ir.ir.values import Value
from cnn2snn_ir.text.weights import blobs

FORMAT_VERSION = 1
"""Written in the first line of dumps; a reader refuses newer ones."""

_BARE = re.compile(r"[A-Za-z0-9_$./-]+\Z")
_BARE_TENSOR = re.compile(r"[A-Za-z_$./-][A-Za-z0-9_$./-]*\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def print_module(
    module: Op,
    *,
    generic: bool = False,
    weights: str = "elide",
    locations: bool = False,
    annotations: bool = True,
) -> str:
    """The text of a module (or of any op).

    `annotations=False` leaves the discardable facts out, for reading.  `weights` is `elide` (tensors over 16 elements
    by name, type and hash) or `inline` (their bytes at the end).
    """
    printer = _Printer(module, generic, locations, annotations)
    lines = list(printer.op(module, 0))
    if weights == "inline":
        lines.extend(f'#blob<sha256:{digest}, "{encoded}">' for digest, encoded in blobs(module))
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A string literal."""
    return json.dumps(text)


def symbol(sigil: str, name: str) -> str:
    """`%name`, quoted if the name needs it."""
    return sigil + (name if _BARE.match(name) else quoted(name))


def attribute(value: AttrValue) -> str:
    """An attribute value as text."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case StrEnum() if _WORD.match(value):
            return str(value)
        case str():
            return quoted(value)
        case int() | float():
            return number(value)
        case Tensor():
            return tensor(value)
        case ElementType():
            return str(value)
        case tuple():
            return "[" + ", ".join(attribute(v) for v in value) + "]"


def number(value: int | float) -> str:
    """A number such that reading it back gives the same bits."""
    return repr(value)


def tensor(value: Tensor) -> str:
    """`#w<name, si8[3, 3, 1, 16], …>` with the values, the one value of all elements, or the hash."""
    name = value.name if _BARE_TENSOR.match(value.name) else quoted(value.name)
    dims = ", ".join(str(d) for d in value.type.shape)
    return f"#w<{name}, {value.type.element}[{dims}], {_contents(value)}>"


def _contents(value: Tensor) -> str:
    if value.is_hashed:
        return f"sha256:{value.digest}"
    if value.splat is not None:
        return _element(value, value.array.flat[0])
    return "[" + ", ".join(_element(value, v) for v in value.array.flat) + "]"


def _element(value: Tensor, item: np.generic) -> str:
    if not value.type.element.is_float:
        return str(item)
    text = str(item)  # NumPy prints the shortest text that reads back as the same float32
    return text if any(c in text for c in ".einf") else text + ".0"


def location(loc: Location) -> str:
    """`loc(…)`."""
    match loc:
        case Unknown():
            return " loc(unknown)"
        case Fused():
            return " loc(fused[" + ", ".join(_origin(part) for part in loc.parts) + "])"
        case _:
            return f" loc({_origin(loc)})"


def _origin(loc: Layer | Text) -> str:
    if isinstance(loc, Text):
        return f"{quoted(loc.file)}:{loc.line}:{loc.column}"
    kind = "" if not loc.kind else f":{loc.kind if _WORD.match(loc.kind) else quoted(loc.kind)}"
    if loc.index >= 0:
        kind = (kind or ':""') + f"#{loc.index}"
    return quoted(loc.name) + kind


class _Printer:
    def __init__(self, root: Op, generic: bool, locations: bool, annotations: bool) -> None:
        self.generic = generic
        self.annotations = annotations
        self.locations = locations
        self.names: dict[Value, str] = {}
        unnamed = 0
        for op in root.walk():
            for value in op.results:
                if value.name is None:
                    self.names[value] = f"%{unnamed}"
                    unnamed += 1
                else:
                    self.names[value] = symbol("%", value.name)

    def value(self, value: Value) -> str:
        return self.names.get(value) or (symbol("%", value.name) if value.name else "%?")

    def values(self, values: tuple[Value, ...]) -> str:
        return ", ".join(self.value(v) for v in values)

    def op(self, op: Op, depth: int) -> Iterator[str]:
        indent = "  " * depth
        if isinstance(op, Module) and depth == 0 and not self.generic:
            annotations = f" {self.dict(op.annotations)}" if self.annotations and op.annotations else ""
            yield f"module {symbol('@', op.sym_name)}{annotations} {{"
            yield from self.graph(op.body, depth + 1)
            yield "}" + (location(op.loc) if self.locations else "")
            return
        head, tail = self.generic_form(op) if self.generic or not _has_custom_form(op) else self.custom_form(op)
        results = f"{self.values(op.results)} = " if op.results else ""
        notes = f" meta {self.dict(op.annotations)}" if self.annotations and op.annotations else ""
        where = location(op.loc) if self.locations else ""
        regions = [list(self.graph(graph, depth + 1)) for graph in op.regions]
        if not regions:
            yield f"{indent}{results}{head}{tail}{notes}{where}"
            return
        opening, between, closing = ("(", ", ", ")") if head.startswith('"') else ("", " ", "")
        yield f"{indent}{results}{head} {opening}{{"
        for index, lines in enumerate(regions):
            if index:
                yield f"{indent}}}{between}{{"
            yield from lines
        yield f"{indent}}}{closing}{tail}{notes}{where}"

    def graph(self, graph: Graph, depth: int) -> Iterator[str]:
        for op in graph:
            yield from self.op(op, depth)

    def dict(self, entries: dict[str, AttrValue]) -> str:
        return "{" + ", ".join(f"{name} = {attribute(value)}" for name, value in entries.items()) + "}"

    def generic_form(self, op: Op) -> tuple[str, str]:
        properties = f" <{self.dict(op.attributes)}>" if op.attributes else ""
        inputs = ", ".join(str(v.type) for v in op.operands)
        outputs = ", ".join(str(v.type) for v in op.results)
        return f'"{op.op_name}"({self.values(op.operands)}){properties}', f" : ({inputs}) -> ({outputs})"

    def custom_form(self, op: Op) -> tuple[str, str]:
        parts = [self.value(v) for v in op.operands]
        named: dict[str, AttrValue] = {}
        for field in op.fields:
            if field.role is Role.ATTR:
                value = op.attributes[field.name]
                if field.positional:
                    parts.append(attribute(value))
                elif field.required or value != field.default or type(value) is not type(field.default):
                    named[field.name] = value
        head = op.op_name + (" " + ", ".join(parts) if parts else "")
        if named:
            head += " " + self.dict(named)
        types = ", ".join(str(r.type) for r in op.results)
        return head, f" : {types}" if types else ""


def _has_custom_form(op: Op) -> bool:
    """False for ops that only the generic form can show as they are: broken ones, and a name with nothing
    behind it, which would take the results of the next op for its operands.
    """
    if not op.operands and not op.results and not op.regions:
        return False
    fields = [f for f in op.fields if f.role is Role.ATTR]
    return op.attributes.keys() == {f.name for f in fields} and not any(f.fault(op.attributes[f.name]) for f in fields)
