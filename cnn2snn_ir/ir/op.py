"""Operations: classes whose bodies are tables of typed fields.

    class Shift(Op, name="qnn.shift"):
        '''Multiply by a power of two, rounding half up, and saturate.'''

        x: Value = operand("Integers.")
        shift: Tensor = constant("Left shift per channel, negative for a rounded right shift.")
        to: ElementType = attr("Element type of the result.")

        def infer(self) -> tuple[TensorType, ...]: ...

`typing.dataclass_transform` makes a type checker see the constructor, so a missing operand or a misspelt
attribute is an error before anything runs.

Design rules
* Concrete ops are never subclassed, so `isinstance` is exact; shared fields live in abstract bases.
* The result types of an op are a function of its fields (`infer`).  They are stored all the same, because a
  text can state others; the verifier then says so.
* Operands change only through methods, so uses and operands always agree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import InitVar
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.ir.fields import (
    REQUIRED,
    AttrValue,
    Field,
    FieldSpec,
    Role,
    attr,
    constant,
    operand,
    operands,
    option,
    region,
)
from cnn2snn_ir.ir.location import UNKNOWN, Location
from cnn2snn_ir.ir.types import TensorType
from cnn2snn_ir.ir.values import Use, Value

if TYPE_CHECKING:
    from cnn2snn_ir.ir.graph import Graph
    from cnn2snn_ir.ir.names import NameAuthority


_HINTS: dict[tuple[str, str], Any] = {}


def resolved_hint(owner: type, field: str) -> Any:
    """The type behind the annotation of a field.

    Hundreds of fields share a dozen annotations, so each is evaluated once a module; `typing.get_type_hints` would
    take a noticeable part of every start.
    """
    text = owner.__annotations__[field]
    key = owner.__module__, str(text)
    if key not in _HINTS:
        _HINTS[key] = eval(text, vars(sys.modules[owner.__module__])) if isinstance(text, str) else text
    return _HINTS[key]


class FieldAccess:
    """Descriptor that reads and writes one field of an op."""

    def __init__(self, field: Field, position: int) -> None:
        self.field = field
        self.position = position  # of the operand, or of the region

    def __get__(self, op: Op | None, owner: type[Op]) -> Any:
        if op is None:
            return self.field
        match self.field.role:
            case Role.OPERAND:
                return op.operands[self.position]
            case Role.OPERANDS:
                return op.operands[self.position :]
            case Role.REGION:
                return op.regions[self.position]
            case _:
                return op.attributes[self.field.name]

    def __set__(self, op: Op, value: Any) -> None:
        match self.field.role:
            case Role.OPERAND:
                op.set_operand(self.position, value)
            case Role.ATTR:
                if fault := self.field.fault(value):
                    raise ValueError(f"{op.op_name}: {self.field.name} {fault}")
                op.attributes[self.field.name] = value
            case _:
                raise AttributeError(f"{op.op_name}: {self.field.name} cannot be reassigned")


@dataclass_transform(kw_only_default=False, field_specifiers=(operand, operands, attr, constant, region, option))
class Fielded:
    """Where the type checker starts to read class bodies as field tables; `Op` itself must be below it."""


class Op(Fielded):
    """Base of all operations.

    `operands` and `results` are tuples of `Value`; `attributes` holds the inherent data by field name;
    `annotations` holds discardable facts (proven bounds, fractional bits) by any name; `loc` says where the
    op came from; `graph` is the graph that holds it.
    """

    op_name: ClassVar[str] = ""
    fields: ClassVar[tuple[Field, ...]] = ()
    result_count: ClassVar[int | None] = 1
    """None where the fields tell how many."""
    pure: ClassVar[bool] = True
    """False for ops that must stay although nobody uses their results (inputs, returns)."""
    quantizes: ClassVar[bool] = False
    """True for ops that make integers of floats: no other computes an integer from one."""

    if TYPE_CHECKING:
        # Keyword arguments of every constructor, as the type checker sees them; `__init__` takes them apart.
        loc: Location = option(default=UNKNOWN, kw_only=True)
        annotations: dict[str, AttrValue] = option(default={}, kw_only=True)
        name: InitVar[str | None] = option(default=None, kw_only=True)
        result_types: InitVar[tuple[TensorType, ...] | None] = option(default=None, kw_only=True)

    _kw_only: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        results: int | None = 1,
        pure: bool = True,
        quantizes: bool = False,
        kw_only: bool = False,
    ) -> None:
        """Build the field table; `name` is empty for abstract bases, whose fields may be keyword-only."""
        cls._kw_only = kw_only
        if not name:
            return
        fields: dict[str, Field] = {}
        bases_first = cls.__mro__[::-1]
        for base in sorted(bases_first, key=lambda b: getattr(b, "_kw_only", False)):
            specs = {k: v for k, v in vars(base).items() if isinstance(v, FieldSpec)}
            fields |= {key: spec.bind(key, resolved_hint(base, key)) for key, spec in specs.items()}
        if any(getattr(base, "op_name", "") for base in cls.__bases__):
            raise TypeError(f"{name}: concrete ops are not subclassed")
        cls.op_name, cls.result_count, cls.pure, cls.quantizes = name, results, pure, quantizes
        cls.fields = tuple(fields.values())
        position = {Role.OPERAND: 0, Role.OPERANDS: 0, Role.REGION: 0, Role.ATTR: 0}
        for field in cls.fields:
            role = Role.OPERAND if field.role is Role.OPERANDS else field.role
            setattr(cls, field.name, FieldAccess(field, position[role]))
            position[role] += 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Fields in order or by name; then `loc=`, `name=`, `result_types=`, `annotations=`."""
        loc: Location = kwargs.pop("loc", UNKNOWN)
        name: str | None = kwargs.pop("name", None)
        types: tuple[TensorType, ...] | None = kwargs.pop("result_types", None)
        annotations: dict[str, AttrValue] = kwargs.pop("annotations", {})
        values = self._bind(args, kwargs)
        self._setup(*values, loc=loc, annotations=annotations)
        if types is None:
            types = self.infer()
        self._make_results(types, name)

    def _bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Value], dict[str, AttrValue], list[Graph]]:
        if len(args) > len(self.fields):
            raise TypeError(f"{self.op_name} takes {len(self.fields)} fields, got {len(args)}")
        given = dict(zip((f.name for f in self.fields), args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{self.op_name}: {', '.join(sorted(twice))} given twice")
        given |= kwargs
        inputs: list[Value] = []
        attributes: dict[str, AttrValue] = {}
        regions: list[Graph] = []
        for field in self.fields:
            value = given.pop(field.name, field.default)
            if value is REQUIRED:
                raise TypeError(f"{self.op_name}: missing {field.role} {field.name!r}")
            match field.role:
                case Role.OPERAND:
                    inputs.append(value)
                case Role.OPERANDS:
                    inputs.extend(value)
                case Role.REGION:
                    regions.append(value)
                case _:
                    if fault := field.fault(value):
                        raise ValueError(f"{self.op_name}: {field.name} {fault}")
                    attributes[field.name] = value
        if given:
            raise TypeError(f"{self.op_name}: no field called {', '.join(sorted(given))}")
        return inputs, attributes, regions

    def _setup(
        self,
        operands: Iterable[Value],
        attributes: dict[str, AttrValue],
        regions: Iterable[Graph],
        loc: Location,
        annotations: dict[str, AttrValue],
    ) -> None:
        self.attributes = attributes
        self.annotations = dict(annotations)
        self.loc = loc
        self.graph: Graph | None = None
        self._next: Op | None = None
        self._previous: Op | None = None
        self._operands = tuple(operands)
        for index, value in enumerate(self._operands):
            value._uses[Use(self, index)] = None
        self.regions = tuple(regions)
        for graph in self.regions:
            graph.adopt(self)
        self.results: tuple[Value, ...] = ()

    def _make_results(self, types: Iterable[TensorType], name: str | None) -> None:
        types = tuple(types)
        hints = [name] if len(types) == 1 or name is None else [f"{name}_{i}" for i in range(len(types))]
        self.results = tuple(Value(t, self, i, hints[i] if name else None) for i, t in enumerate(types))

    @classmethod
    def build(
        cls,
        operands: Iterable[Value],
        attributes: dict[str, AttrValue],
        regions: Iterable[Graph],
        result_types: Iterable[TensorType],
        *,
        loc: Location = UNKNOWN,
        annotations: dict[str, AttrValue] | None = None,
    ) -> Self:
        """Make an op without checking anything: what a parser or a reader needs, so that the verifier can speak."""
        op = cls.__new__(cls)
        op._setup(operands, attributes, regions, loc, annotations or {})
        op._make_results(result_types, None)
        return op

    # ---- what a concrete op defines -----------------------------------------------------------------------

    def infer(self) -> tuple[TensorType, ...]:
        """The result types that follow from the fields; raises ValueError with a sentence if none do."""
        raise TypeError(f"{self.op_name} does not say its result types")

    def verify(self) -> Iterator[Diagnostic]:
        """Further faults, beyond fields and result types."""
        return iter(())

    # ---- operands and results ------------------------------------------------------------------------------

    @property
    def operands(self) -> tuple[Value, ...]:
        """The values used, in field order."""
        return self._operands

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def set_operand(self, index: int, value: Value) -> None:
        """Use `value` as operand `index`."""
        del self._operands[index]._uses[Use(self, index)]
        self._operands = (*self._operands[:index], value, *self._operands[index + 1 :])
        value._uses[Use(self, index)] = None

    def set_operands(self, values: Iterable[Value]) -> None:
        """Use exactly `values`, in this order."""
        self.drop_operands()
        self._operands = tuple(values)
        for index, value in enumerate(self._operands):
            value._uses[Use(self, index)] = None

    def drop_operands(self) -> None:
        """Use nothing."""
        for index, value in enumerate(self._operands):
            del value._uses[Use(self, index)]
        self._operands = ()

    @property
    def is_unused(self) -> bool:
        """True if no result has a use."""
        return not any(result.uses for result in self.results)

    # ---- place ----------------------------------------------------------------------------------------------

    @property
    def next(self) -> Op | None:
        """The op after this one in its graph."""
        return self._next

    @property
    def previous(self) -> Op | None:
        """The op before this one in its graph."""
        return self._previous

    def names(self) -> NameAuthority | None:
        """The name authority of the module that holds this op, if one does."""
        return self.graph.names() if self.graph is not None else None

    def erase(self) -> None:
        """Remove the op for good; its results must be unused.  Ops in its regions go with it."""
        if not self.is_unused:
            raise ValueError(f"{self.op_name}: cannot erase an op whose results are used")
        if self.graph is not None:
            self.graph.remove(self)
        for graph in self.regions:
            graph.clear()
        self.drop_operands()

    def walk(self) -> Iterator[Op]:
        """This op and all ops nested in it, outer before inner."""
        yield self
        for graph in self.regions:
            for op in graph:
                yield from op.walk()

    def clone(self, mapping: dict[Value, Value] | None = None) -> Self:
        """A detached copy; operands found in `mapping` are replaced, and results are entered into it."""
        mapping = {} if mapping is None else mapping
        copy = type(self).build(
            [mapping.get(v, v) for v in self._operands],
            dict(self.attributes),
            [graph.clone(mapping) for graph in self.regions],
            [r.type for r in self.results],
            loc=self.loc,
            annotations=self.annotations,
        )
        for old, new in zip(self.results, copy.results, strict=True):
            new._name = old._name
            mapping[old] = new
        return copy

    def __repr__(self) -> str:
        names = ", ".join(f"%{r.name or '?'}" for r in self.results)
        return f"<{names + ' = ' if names else ''}{self.op_name}>"
