"""The payload of a program file, as tables.  The only description there is.

`pack.py` and `unpack.py` move these records, `fbs.py` prints them as the published `program.fbs`.

Design rules
* Tables describe the IR in general (ops, attributes, values), no op in particular: a new dialect or a new
  field of an op needs no change here.
* Slots are only ever appended, because a slot's position is its identity in the file; anything else is a new
  `container.VERSION`.
* Records have no comparison and no `repr`: nobody uses them, and every start would pay for making them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple


class Scalar(NamedTuple):
    """A number in its table: the schema's keyword, the format for `struct`, and what an absent one reads as."""

    keyword: str
    format: str
    zero: int | float = 0


class Choice(NamedTuple):
    """One member of an enumeration, in a byte."""

    of: type[IntEnum]

    @property
    def keyword(self) -> str:
        """The enumeration's name."""
        return self.of.__name__


class Text(NamedTuple):
    """A UTF-8 string."""

    keyword: str = "string"


class Table(NamedTuple):
    """A reference to a record, by name because tables contain each other."""

    keyword: str


class Vector(NamedTuple):
    """A list; of `UBYTE`, it reads as a view of the buffer, not as a copy."""

    of: Scalar | Text | Table

    @property
    def keyword(self) -> str:
        """`[long]`."""
        return f"[{self.of.keyword}]"


Wire = Scalar | Choice | Text | Table | Vector

UBYTE = Scalar("ubyte", "<B")
UINT = Scalar("uint", "<I")
LONG = Scalar("long", "<q")
DOUBLE = Scalar("double", "<d", 0.0)
STRING = Text()


def _absent(wire: Wire) -> Any:
    match wire:
        case Scalar():
            return wire.zero
        case Choice():
            return wire.of(0)
        case Vector():
            return ()
        case _:
            return None


def slot(wire: Wire, doc: str, *, required: bool = False) -> Any:
    """One field of a table; what is not `required` reads as zero, the first choice, () or None when absent."""
    default = dataclasses.MISSING if required else _absent(wire)
    return dataclasses.field(default=default, metadata={"wire": wire, "doc": doc, "required": required})


class Kind(IntEnum):
    """What an attribute value is, and which slot of `Value` holds it."""

    NONE = 0
    BOOL = 1
    INTEGER = 2
    REAL = 3
    TEXT = 4
    ELEMENT = 5
    TENSOR = 6
    LIST = 7


class OriginKind(IntEnum):
    """Whether an op came from a model's layer or from a line of IR text."""

    LAYER = 0
    TEXT = 1


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Type:
    """A tensor type."""

    element: str = slot(STRING, "Kind and bits: `si8`, `ui4`, `f32`.", required=True)
    shape: tuple[int, ...] = slot(Vector(LONG), "Dimensions; -1 is the batch, known at run time only.")


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Tensor:
    """A constant."""

    name: str = slot(STRING, "Name in the model.", required=True)
    type: Type = slot(Table("Type"), "Its type, of static shape.", required=True)
    data: bytes | memoryview = slot(
        Vector(UBYTE),
        "The elements, row-major and little-endian, each in 8, 16, 32 or 64 bits: the fewest that hold its type.",
        required=True,
    )


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Value:
    """An attribute's value."""

    kind: Kind = slot(Choice(Kind), "What it is.")
    integer: int = slot(LONG, "INTEGER; BOOL as 0 or 1; TENSOR as its index in `Program.tensors`.")
    real: float = slot(DOUBLE, "REAL.")
    text: str | None = slot(STRING, "TEXT (also names of enumerations); ELEMENT as `si8`.")
    items: tuple[Value, ...] = slot(Vector(Table("Value")), "LIST.")


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Attribute:
    """A named value."""

    name: str = slot(STRING, "Name of the field, or of the annotation.", required=True)
    value: Value = slot(Table("Value"), "Its value.", required=True)


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Origin:
    """Where an op came from."""

    kind: OriginKind = slot(Choice(OriginKind), "What it is.")
    name: str = slot(STRING, "Name of the layer, or of the text file.", required=True)
    layer_class: str | None = slot(STRING, "LAYER: its class in the model file.")
    index: int = slot(LONG, "LAYER: its index in the model file, or -1.")
    line: int = slot(LONG, "TEXT: line, from 1.")
    column: int = slot(LONG, "TEXT: column, from 1.")


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Result:
    """A value that an op defines.  Values are numbered in the order in which their ops end."""

    name: str | None = slot(STRING, "Name after `%`, unique in the program.")
    type: Type = slot(Table("Type"), "Its type.", required=True)


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Region:
    """A nested graph.  Its ops may use values of the graphs around it; nobody outside may use theirs."""

    ops: tuple[Op, ...] = slot(Vector(Table("Op")), "Definitions before uses.")


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Op:
    """An operation."""

    name: str = slot(STRING, "Dialect and name: `akida2.conv2d`.", required=True)
    operands: tuple[int, ...] = slot(Vector(UINT), "Numbers of the values it uses.")
    attributes: tuple[Attribute, ...] = slot(Vector(Table("Attribute")), "Its inherent data, by field.")
    annotations: tuple[Attribute, ...] = slot(Vector(Table("Attribute")), "Discardable facts, by any name.")
    results: tuple[Result, ...] = slot(Vector(Table("Result")), "What it defines.")
    origins: tuple[Origin, ...] = slot(Vector(Table("Origin")), "None is unknown; several are fused.")
    regions: tuple[Region, ...] = slot(Vector(Table("Region")), "Nested graphs.")


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Program:
    """The root: one module and the constants that its attributes refer to."""

    tool: str = slot(STRING, "Name and version of the writer.", required=True)
    tensors: tuple[Tensor, ...] = slot(Vector(Table("Tensor")), "Every constant once.")
    module: Op = slot(Table("Op"), "The `builtin.module`.", required=True)


IDENTIFIER = b"C2SP"
"""Bytes 4 to 8 of the payload."""

ENUMERATIONS: tuple[type[IntEnum], ...] = (Kind, OriginKind)
TABLES: dict[str, type[Any]] = {
    table.__name__: table for table in (Type, Tensor, Value, Attribute, Origin, Result, Region, Op, Program)
}
ROOT = Program


class Slot(NamedTuple):
    """One field of a table, resolved."""

    name: str
    wire: Wire
    doc: str
    required: bool
    default: Any


def _slots(table: type[Any]) -> tuple[Slot, ...]:
    return tuple(Slot(f.name, default=f.default, **f.metadata) for f in dataclasses.fields(table))


SLOTS: dict[type[Any], tuple[Slot, ...]] = {table: _slots(table) for table in TABLES.values()}
"""The slots of every table in file order."""
