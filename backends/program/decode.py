"""Turns the records of a program into a module.  The records are well-formed; what they say is not trusted.

The first fault ends the reading, because a file with one fault is damaged or forged.  Rules of the ops
themselves are the verifier's.
"""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from cnn2snn_ir.backends.program import schema
from cnn2snn_ir.backends.program.schema import Kind, OriginKind
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import builtin, lookup
from cnn2snn_ir.ir import (
    AttrValue,
    ElementType,
    Field,
    Graph,
    Layer,
    Location,
    Op,
    Role,
    Tensor,
    TensorType,
    Text,
    Value,
    fuse,
)
from cnn2snn_ir.ir.fields import convert

MAX_RANK = 32
"""NumPy's limit before version 2."""

MAX_REGION_DEPTH = 8
"""A module, a block in it, and room for sequences of placed layers."""


def decode(program: schema.Program, file: str) -> builtin.Module:
    """The module; raises `CompileError` naming `file` and the op."""
    module = _Decoder(program, file).op(program.module, 0)
    if not isinstance(module, builtin.Module):
        raise fail("FBZ-ROOT", "the program is not a module", where=file, found=module.op_name)
    return module


class _Decoder:
    """The values and names seen so far, and the op being read."""

    def __init__(self, program: schema.Program, file: str) -> None:
        self.file = file
        self.place = ""
        self.values: list[Value | None] = []
        self.names: set[str] = set()
        self.tensors = [self.tensor(record) for record in program.tensors]

    def refuse(self, code: str, message: str, found: str = "", allowed: str = "") -> NoReturn:
        where = f"{self.file}: {self.place}" if self.place else self.file
        raise fail(code, message, where=where, found=found[:200], allowed=allowed)

    # ---- ops ------------------------------------------------------------------------------------------------

    def op(self, record: schema.Op, depth: int) -> Op:
        self.place = _place(record)
        op_class = lookup(record.name)
        if op_class is None:
            self.refuse("FBZ-OP", "unknown op", found=record.name)
        if depth > MAX_REGION_DEPTH:
            self.refuse("FBZ-DEPTH", "graphs are nested too deeply", allowed=f"{MAX_REGION_DEPTH} levels")
        self.check_counts(op_class, record)
        operands = [self.operand(number) for number in record.operands]
        attributes = self.fields(op_class, record)
        annotations = self.named(record.annotations)
        types = [self.value_type(result.type) for result in record.results]
        location = fuse(*map(_location, record.origins))
        regions = [self.region(region, depth + 1) for region in record.regions]
        self.place = _place(record)
        op = op_class.build(operands, attributes, regions, types, loc=location, annotations=annotations)
        for value, result in zip(op.results, record.results, strict=True):
            value.name = self.unique(result.name)
            self.values.append(value)
        return op

    def region(self, record: schema.Region, depth: int) -> Graph:
        first = len(self.values)
        graph = Graph(self.op(op, depth) for op in record.ops)
        self.values[first:] = [None] * (len(self.values) - first)  # no longer visible, but the numbers stay
        return graph

    def operand(self, number: int) -> Value:
        value = self.values[number] if number < len(self.values) else None
        if value is None:
            self.refuse("FBZ-OPERAND", "uses a value that is not defined before it", found=f"value {number}")
        return value

    def unique(self, name: str | None) -> str | None:
        if name is not None:
            if name in self.names or not name or name.isdigit():
                self.refuse("FBZ-NAME", "the name of a result is taken, empty or a number", found=repr(name))
            self.names.add(name)
        return name

    def check_counts(self, op_class: type[Op], record: schema.Op) -> None:
        roles = [field.role for field in op_class.fields]
        single, many = roles.count(Role.OPERAND), Role.OPERANDS in roles
        operands = len(record.operands)
        if operands < single or (operands > single and not many):
            self.refuse("FBZ-COUNT", "wrong number of operands", str(operands), f"{single}{' or more' * many}")
        if op_class.result_count is not None and len(record.results) != op_class.result_count:
            self.refuse("FBZ-COUNT", "wrong number of results", str(len(record.results)), str(op_class.result_count))
        if len(record.regions) != roles.count(Role.REGION):
            self.refuse("FBZ-COUNT", "wrong number of regions", str(len(record.regions)), str(roles.count(Role.REGION)))

    # ---- attributes -----------------------------------------------------------------------------------------

    def fields(self, op_class: type[Op], record: schema.Op) -> dict[str, AttrValue]:
        """The attributes in the order of the op's table; a field younger than the file has its default."""
        given = self.named(record.attributes)
        fields = {f.name: f for f in op_class.fields if f.role is Role.ATTR}
        if unknown := given.keys() - fields.keys():
            self.refuse("FBZ-FIELD", "has no such attribute", ", ".join(sorted(unknown)), ", ".join(fields))
        return {name: self.field(field, given) for name, field in fields.items()}

    def field(self, field: Field, given: dict[str, AttrValue]) -> AttrValue:
        if field.name not in given:
            if field.required:
                self.refuse("FBZ-FIELD", f"attribute {field.name} is missing")
            default: AttrValue = field.default
            return default
        value = convert(field, given[field.name])
        if fault := field.fault(value):
            self.refuse("FBZ-FIELD", f"attribute {field.name} {fault}"[:200])
        return value

    def named(self, records: tuple[schema.Attribute, ...]) -> dict[str, AttrValue]:
        values: dict[str, AttrValue] = {}
        for record in records:
            if record.name in values:
                self.refuse("FBZ-FIELD", "given twice", found=record.name)
            values[record.name] = self.value(record.value)
        return values

    def value(self, record: schema.Value) -> AttrValue:
        match record.kind:
            case Kind.NONE:
                return None
            case Kind.BOOL:
                return bool(record.integer)
            case Kind.INTEGER:
                return record.integer
            case Kind.REAL:
                return record.real
            case Kind.TEXT:
                return record.text or ""
            case Kind.ELEMENT:
                return self.element(record.text or "")
            case Kind.TENSOR:
                if not 0 <= record.integer < len(self.tensors):
                    self.refuse("FBZ-TENSOR", "no such tensor", str(record.integer), f"below {len(self.tensors)}")
                return self.tensors[record.integer]
            case Kind.LIST:
                return tuple(map(self.value, record.items))

    # ---- types and tensors ----------------------------------------------------------------------------------

    def element(self, text: str) -> ElementType:
        try:
            return ElementType.parse(text)
        except ValueError:
            self.refuse(
                "FBZ-TYPE", "no such element type", found=repr(text), allowed="si2 to si63, ui1 to ui63, f32, f64"
            )

    def type(self, record: schema.Type) -> TensorType:
        if len(record.shape) > MAX_RANK or any(not -1 <= d < 1 << 31 for d in record.shape):
            self.refuse("FBZ-TYPE", "no such shape", str(record.shape), f"up to {MAX_RANK} dimensions below 2^31")
        return TensorType(tuple(None if d == -1 else d for d in record.shape), self.element(record.element))

    def value_type(self, record: schema.Type) -> TensorType:
        """The type of a result, which always has a batch: ops may rely on its first dimension."""
        if not record.shape:
            self.refuse("FBZ-TYPE", "a result has no batch dimension")
        return self.type(record)

    def tensor(self, record: schema.Tensor) -> Tensor:
        """The constant; its size is compared with the bytes that are there before anything is allocated."""
        self.place = f"tensor {record.name}"
        tensor_type = self.type(record.type)
        shape = tuple(-1 if d is None else d for d in tensor_type.shape)
        dtype = tensor_type.element.dtype.newbyteorder("<")
        size = math.prod(shape) * dtype.itemsize
        if -1 in shape or math.prod(max(d, 1) for d in shape) >= 1 << 31:
            self.refuse(
                "FBZ-TENSOR", "a constant has a static shape of less than 2^31 elements", found=str(tensor_type)
            )
        if size != len(record.data):
            self.refuse("FBZ-TENSOR", "wrong number of bytes", str(len(record.data)), f"{size} for {tensor_type}")
        try:
            return Tensor.of(np.frombuffer(record.data, dtype).reshape(shape), tensor_type.element, record.name)
        except ValueError:
            self.refuse("FBZ-TENSOR", "a value lies outside its type", found=str(tensor_type))


def _location(record: schema.Origin) -> Location:
    if record.kind is OriginKind.LAYER:
        return Layer(record.name, record.layer_class or "", record.index)
    return Text(record.name, record.line, record.column)


def _place(record: schema.Op) -> str:
    """How a diagnostic names an op: its kind and its results."""
    names = ", ".join(f"%{r.name}" for r in record.results if r.name)
    return f"{names} ({record.name})" if names else record.name
