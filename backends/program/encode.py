"""Turns a module into the records of a program."""

from __future__ import annotations

from collections.abc import Mapping

from cnn2snn_ir.backends.program import schema
from cnn2snn_ir.backends.program.schema import Kind, OriginKind
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import AttrValue, ElementType, Fused, Layer, Location, Op, Tensor, TensorType, Text, Unknown, Value
from cnn2snn_ir.version import TOOL


def encode(module: builtin.Module) -> schema.Program:
    """The records of `module`; raises `CompileError` if the bytes of a tensor are not there."""
    encoder = _Encoder()
    root = encoder.op(module)
    return schema.Program(tool=TOOL, tensors=tuple(encoder.tensors), module=root)


class _Encoder:
    """Numbers values and collects tensors, each content once under each of its names."""

    def __init__(self) -> None:
        self.tensors: list[schema.Tensor] = []
        self._tensor_index: dict[tuple[str, TensorType, bytes], int] = {}
        self._numbers: dict[Value, int] = {}

    def op(self, op: Op) -> schema.Op:
        operands = tuple(self._numbers[v] for v in op.operands)
        regions = tuple(schema.Region(ops=tuple(self.op(inner) for inner in graph)) for graph in op.regions)
        for result in op.results:
            self._numbers[result] = len(self._numbers)
        return schema.Op(
            name=op.op_name,
            operands=operands,
            attributes=self.attributes(_given(op)),
            annotations=self.attributes(op.annotations),
            results=tuple(schema.Result(name=r.name, type=_type(r.type)) for r in op.results),
            origins=_origins(op.loc),
            regions=regions,
        )

    def attributes(self, attributes: Mapping[str, AttrValue]) -> tuple[schema.Attribute, ...]:
        return tuple(schema.Attribute(name=k, value=self.value(v)) for k, v in attributes.items())

    def value(self, value: AttrValue) -> schema.Value:
        match value:
            case None:
                return schema.Value()
            case bool():
                return schema.Value(kind=Kind.BOOL, integer=int(value))
            case int():
                return schema.Value(kind=Kind.INTEGER, integer=value)
            case float():
                return schema.Value(kind=Kind.REAL, real=value)
            case str():  # also members of enumerations: the field knows which one
                return schema.Value(kind=Kind.TEXT, text=str(value))
            case ElementType():
                return schema.Value(kind=Kind.ELEMENT, text=str(value))
            case Tensor():
                return schema.Value(kind=Kind.TENSOR, integer=self.tensor(value))
            case tuple():
                return schema.Value(kind=Kind.LIST, items=tuple(map(self.value, value)))

    def tensor(self, tensor: Tensor) -> int:
        array = tensor.array
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (tensor.name, tensor.type, data)
        if key not in self._tensor_index:
            self._tensor_index[key] = len(self.tensors)
            self.tensors.append(schema.Tensor(name=tensor.name, type=_type(tensor.type), data=data))
        return self._tensor_index[key]


def _given(op: Op) -> dict[str, AttrValue]:
    """The attributes without those that are absent by default: a reader supplies them again."""
    return {name: value for name, value in op.attributes.items() if value is not None}


def _type(type: TensorType) -> schema.Type:
    return schema.Type(element=str(type.element), shape=tuple(-1 if d is None else d for d in type.shape))


def _origins(location: Location) -> tuple[schema.Origin, ...]:
    match location:
        case Unknown():
            return ()
        case Layer(name, kind, index):
            return (schema.Origin(kind=OriginKind.LAYER, name=name, layer_class=kind, index=index),)
        case Text(file, line, column):
            return (schema.Origin(kind=OriginKind.TEXT, name=file, line=line, column=column),)
        case Fused(parts):
            return tuple(origin for part in parts for origin in _origins(part))
