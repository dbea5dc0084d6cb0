"""Random modules from the op tables: every op, every attribute kind, nesting; mostly meaningless, always well-formed.

What holds for these (they print, parse, pack and copy without loss) holds for every op that a table will list.
"""

import enum
import typing

import numpy as np
from hypothesis import strategies as st

from cnn2snn_ir.dialects import all_ops, builtin
from cnn2snn_ir.ir import (
    UNKNOWN,
    ElementType,
    Field,
    Fused,
    Graph,
    Kind,
    Layer,
    Role,
    Tensor,
    TensorType,
    Text,
    Value,
)

int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
elements = st.one_of(
    st.builds(ElementType, st.just(Kind.SIGNED), st.integers(2, 63)),
    st.builds(ElementType, st.just(Kind.UNSIGNED), st.integers(1, 63)),
    st.builds(ElementType, st.just(Kind.FLOAT), st.sampled_from([32, 64])),
)
types = st.builds(TensorType, st.lists(st.none() | st.integers(0, 99), min_size=1, max_size=4).map(tuple), elements)
layers = st.builds(Layer, texts, texts, st.integers(-1, 999))
lines = st.builds(Text, texts, st.integers(1, 999), st.integers(1, 999))
fused = st.lists(layers | lines, min_size=2, max_size=3, unique=True).map(lambda parts: Fused(tuple(parts)))
locations = st.just(UNKNOWN) | layers | lines | fused


@st.composite
def tensors(draw):
    element = draw(elements)
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    size = int(np.prod(shape))
    if element.is_float:
        values = draw(st.lists(st.floats(width=element.bits), min_size=size, max_size=size))
    else:
        values = draw(st.lists(st.integers(element.lo, element.hi), min_size=size, max_size=size))
    return Tensor.of(np.array(values, element.dtype).reshape(shape), element, draw(texts))


def of_kind(hint, minimum=None, maximum=None):
    """Values of a field's kind."""
    if typing.get_origin(hint) is tuple:
        inner, *rest = typing.get_args(hint)
        size = {"max_size": 3} if rest == [Ellipsis] else {"min_size": 1 + len(rest), "max_size": 1 + len(rest)}
        return st.lists(of_kind(inner, minimum, maximum), **size).map(tuple)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    if hint is int:
        return st.integers(-(2**63) if minimum is None else minimum, 2**63 - 1 if maximum is None else maximum)
    return {bool: st.booleans(), str: texts, float: st.floats(), ElementType: elements, Tensor: tensors()}[hint]


def of_field(field: Field):
    values = of_kind(field.base, field.minimum, field.maximum)
    return values | st.none() if field.optional else values


leaves = st.none() | st.booleans() | int64 | st.floats() | texts | elements | tensors()
annotation_values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
annotations = st.dictionaries(words, annotation_values, max_size=2)
NESTABLE = [op for op in all_ops().values() if op is not builtin.Module]


@st.composite
def ops(draw, visible: list[Value], names: set[str], depth: int):
    op_class = draw(st.sampled_from(NESTABLE))
    operands = []
    for field in op_class.fields:
        count = {Role.OPERAND: 1, Role.OPERANDS: draw(st.integers(0, 3))}.get(field.role, 0)
        if count and not visible:
            op_class, operands = builtin.Input, []
            break
        operands += [draw(st.sampled_from(visible)) for _ in range(count)]
    attributes = {f.name: draw(of_field(f)) for f in op_class.fields if f.role is Role.ATTR}
    regions = [draw(graphs(list(visible), names, depth + 1)) for f in op_class.fields if f.role is Role.REGION]
    result_types = [
        draw(types) for _ in range(draw(st.integers(1, 3)) if op_class.result_count is None else op_class.result_count)
    ]
    op = op_class.build(operands, attributes, regions, result_types, loc=draw(locations), annotations=draw(annotations))
    for value in op.results:
        wanted = draw(st.none() | texts)
        if wanted and not wanted.isdigit() and wanted not in names:
            names.add(wanted)
            value.name = wanted
    return op


@st.composite
def graphs(draw, visible: list[Value], names: set[str], depth: int):
    graph = Graph()
    for _ in range(draw(st.integers(0, 4 if depth < 3 else 0))):
        op = graph.append(draw(ops(visible, names, depth)))
        visible.extend(op.results)
    return graph


@st.composite
def modules(draw):
    body = draw(graphs([], set(), 1))
    return builtin.Module(draw(texts), body, loc=draw(locations), annotations=draw(annotations))


def snapshot(module: builtin.Module) -> list[object]:
    """Everything a module says, with values by number; `repr` keeps NaN equal and 0.0 apart from -0.0."""
    numbers: dict[Value, int] = {}
    for op in module.walk():
        for value in op.results:
            numbers[value] = len(numbers)
    return [
        (
            op.op_name,
            [numbers[v] for v in op.operands],
            {k: (type(v), repr(v)) for k, v in op.attributes.items()},
            repr(op.annotations),
            op.loc,
            [(r.name, r.type) for r in op.results],
            [len(g) for g in op.regions],
        )
        for op in module.walk()
    ]
