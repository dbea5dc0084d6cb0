"""The kinds of fields an op can have, and how attribute values are checked and converted.

An op is a class body of typed fields (see `op.py`).  Everything that handles ops in general (constructor,
verifier, printer, parser, program file, documentation, test generators) reads the same table of `Field`s.
"""

from __future__ import annotations

import types
import typing
from enum import Enum, StrEnum
from typing import Any, NamedTuple

from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import ElementType

AttrValue = bool | int | float | str | ElementType | Tensor | StrEnum | tuple["AttrValue", ...] | None
"""What an attribute or an annotation can hold."""


class Role(StrEnum):
    """What a field is."""

    OPERAND = "operand"
    OPERANDS = "operands"
    ATTR = "attr"
    REGION = "region"


REQUIRED: Any = object()


class Field(NamedTuple):
    """One field of an op: role, sentence, and for attributes a kind, a default and bounds."""

    name: str
    role: Role
    doc: str
    hint: Any = None
    default: Any = REQUIRED
    minimum: int | None = None
    maximum: int | None = None
    positional: bool = False

    @property
    def required(self) -> bool:
        """True if the field has no default."""
        return self.default is REQUIRED

    @property
    def optional(self) -> bool:
        """True if `None` is a legal value of the attribute."""
        return isinstance(self.hint, types.UnionType) and type(None) in typing.get_args(self.hint)

    @property
    def base(self) -> Any:
        """The kind of the attribute without `| None`."""
        if self.optional:
            return next(a for a in typing.get_args(self.hint) if a is not type(None))
        return self.hint

    def fault(self, value: AttrValue) -> str:
        """Why `value` is not a legal value of this attribute; empty if it is."""
        if value is None:
            return "" if self.optional else f"must be {kind_name(self.base)}, found none"
        if not _is_instance(value, self.base):
            return f"must be {kind_name(self.base)}, found {value!r}"
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not isinstance(number, bool):
                if self.minimum is not None and number < self.minimum:
                    return f"must be at least {self.minimum}, found {number}"
                if self.maximum is not None and number > self.maximum:
                    return f"must be at most {self.maximum}, found {number}"
        return ""


def kind_name(hint: Any) -> str:
    """A field kind in words, for messages and documentation."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(str(m.value) for m in hint)
    if typing.get_origin(hint) is tuple:
        args = typing.get_args(hint)
        inner = kind_name(args[0]).removeprefix("an ").removeprefix("a ")
        return f"a list of {inner}s" if args[1:] == (Ellipsis,) else f"{len(args)} {inner}s"
    names = {int: "an integer", bool: "a boolean", str: "a string", float: "a float"}
    return names.get(hint) or {ElementType: "an element type", Tensor: "a tensor"}[hint]


def _is_instance(value: AttrValue, hint: Any) -> bool:
    if typing.get_origin(hint) is tuple:
        args = typing.get_args(hint)
        if not isinstance(value, tuple):
            return False
        if args[1:] == (Ellipsis,):
            return all(_is_instance(v, args[0]) for v in value)
        return len(value) == len(args) and all(map(_is_instance, value, args))
    if hint is int or hint is float:
        return type(value) is hint
    return isinstance(value, hint)


def convert(field: Field, value: AttrValue) -> AttrValue:
    """Read a parsed value as this field's kind: a bare word becomes the enum member it names."""
    base = field.base
    if isinstance(value, str) and isinstance(base, type) and issubclass(base, StrEnum):
        return base(value) if value in list(base) else value
    return value


# The functions below are the field specifiers of `typing.dataclass_transform`.  Their result type is `Any`
# so that the annotation in the class body is what a type checker sees.


class FieldSpec(NamedTuple):
    """What a field specifier returns until the op class is complete and hints are resolved."""

    role: Role
    doc: str
    default: Any = REQUIRED
    minimum: int | None = None
    maximum: int | None = None
    positional: bool = False

    def bind(self, name: str, hint: Any) -> Field:
        """The finished field."""
        return Field(name, self.role, self.doc, hint, self.default, self.minimum, self.maximum, self.positional)


def operand(doc: str) -> Any:
    """A single SSA operand."""
    return FieldSpec(Role.OPERAND, doc)


def operands(doc: str) -> Any:
    """Any number of SSA operands; must be the last operand field."""
    return FieldSpec(Role.OPERANDS, doc)


def attr(
    doc: str,
    *,
    default: Any = REQUIRED,
    minimum: int | None = None,
    maximum: int | None = None,
) -> Any:
    """An attribute: inherent data of the op.  `minimum`/`maximum` bound every integer in it."""
    return FieldSpec(Role.ATTR, doc, default, minimum, maximum)


def constant(doc: str) -> Any:
    """A required tensor attribute that the custom text form prints after the operands, without its name."""
    return FieldSpec(Role.ATTR, doc, positional=True)


def region(doc: str) -> Any:
    """A nested graph; its ops may use values of the graphs around it."""
    return FieldSpec(Role.REGION, doc)


def option(*, default: Any, kw_only: bool) -> Any:
    """A keyword argument that every op has; seen by type checkers only."""
    raise TypeError("not for run time")
