"""Random modules from the op tables, as `generators/op_tables.py` draws them, but from a number, quickly."""

from __future__ import annotations

import enum
import typing
from random import Random
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import all_ops, builtin
from cnn2snn_ir.ir import (
    F32,
    UNKNOWN,
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
    si,
    ui,
)

NESTABLE = [op for op in all_ops().values() if op is not builtin.Module]
ELEMENTS = (si(2), si(4), si(8), si(28), si(32), si(63), ui(1), ui(4), ui(8), ui(63), F32, ElementType.parse("f64"))
INTEGERS = (0, 1, 2, 3, 5, -1, 255, 2**31, -(2**63), 2**63 - 1)
REALS = (0.0, -0.0, 0.5, -1.25, 1e-300, 1e38, float("inf"), float("-inf"), float("nan"))
WORDS = ("", "a", "conv_1", "relu", "x y", "é", '"', "\\", "a\nb", "0", "-", "@", "\0")
SIZES = (1, 1, 2, 3, 4, 8)


class RandomIr:
    """One module in the making."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: set[str] = set()

    def module(self) -> builtin.Module:
        return builtin.Module(self.word(), self.graph([], 1), loc=self.location(), annotations=self.annotations())

    def graph(self, visible: list[Value], depth: int) -> Graph:
        graph = Graph()
        for _ in range(self.random.randrange(1, 5 if depth < 3 else 1) if depth < 3 else 0):
            visible.extend(graph.append(self.op(visible, depth)).results)
        return graph

    def op(self, visible: list[Value], depth: int) -> Op:
        op_class = self.random.choice(NESTABLE) if visible else builtin.Input
        counts = [{Role.OPERAND: 1, Role.OPERANDS: self.random.randrange(4)}.get(f.role, 0) for f in op_class.fields]
        operands = [self.random.choice(visible) for _ in range(sum(counts))]
        attributes = {f.name: self.field(f) for f in op_class.fields if f.role is Role.ATTR}
        regions = [self.graph(list(visible), depth + 1) for f in op_class.fields if f.role is Role.REGION]
        results = self.random.randrange(1, 4) if op_class.result_count is None else op_class.result_count
        types = [self.type() for _ in range(results)]
        op = op_class.build(operands, attributes, regions, types, loc=self.location(), annotations=self.annotations())
        for value in op.results:
            name = self.word()
            if name and not name.isdigit() and name not in self.names:
                self.names.add(name)
                value.name = name
        return op

    def field(self, field: Field) -> Any:
        if field.optional and self.random.random() < 0.4:
            return None
        return self.of_kind(field.base, field.minimum, field.maximum)

    def of_kind(self, hint: Any, minimum: Any = None, maximum: Any = None) -> Any:
        if typing.get_origin(hint) is tuple:
            inner, *rest = typing.get_args(hint)
            size = self.random.randrange(4) if rest == [Ellipsis] else 1 + len(rest)
            return tuple(self.of_kind(inner, minimum, maximum) for _ in range(size))
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return self.random.choice(list(hint))
        if hint is int:
            number = self.random.choice(INTEGERS)
            number = number if minimum is None else max(number, minimum)
            return number if maximum is None else min(number, maximum)
        kinds = {
            bool: lambda: self.random.random() < 0.5, str: self.word, float: lambda: self.random.choice(REALS),
            ElementType: lambda: self.random.choice(ELEMENTS), Tensor: self.tensor,
        }  # fmt: skip
        return kinds[hint]()

    def word(self) -> str:
        return self.random.choice(WORDS)

    def type(self) -> TensorType:
        shape = tuple(self.random.choice((None, *SIZES, 0, 99)) for _ in range(self.random.randrange(1, 5)))
        return TensorType(shape, self.random.choice(ELEMENTS))

    def tensor(self) -> Tensor:
        element, shape = self.random.choice(ELEMENTS), tuple(self.random.choices(SIZES, k=self.random.randrange(4)))
        options = REALS[:5] if element.is_float else (element.lo, element.hi, 0, 1)
        values = np.array(self.random.choices(options, k=int(np.prod(shape))), element.dtype)
        return Tensor.of(values.reshape(shape), element, self.word())

    def location(self) -> Location:
        return self.random.choice((UNKNOWN, UNKNOWN, Layer(self.word(), "Dense", 3), Text("a.c2s", 1, 2)))

    def annotations(self) -> dict[str, Any]:
        if self.random.random() < 0.7:
            return {}
        values = (None, True, 7, 0.5, self.word(), si(8), self.tensor(), (1, (2, "x")), ())
        return {"note": self.random.choice(values)}
