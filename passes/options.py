"""The options of a pass as text: read from a pipeline, printed back, listed.

pipeline text         field                            value
max-bits=4            max_bits: int                    4
keep                  keep: bool                       True
target=v2             target: AkidaVersion             AkidaVersion.v2
layers=[conv, fc]     layers: tuple[str, ...]          ("conv", "fc")
limit=none            limit: int | None                None
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from cnn2snn_ir.passes.base import Pass


class Word(str):
    """A text without quotes: `none` is nothing, `"none"` is a string."""

    __slots__ = ()


OptionText = str | tuple[str, ...] | None
"""What a pipeline gives an option: one text, the texts of a list, or nothing (a bare flag)."""

_BARE = re.compile(r"[^\s,{}()\[\]=\"]+\Z")


class Option(NamedTuple):
    """One option of a pass class."""

    name: str
    field: str
    hint: Any
    default: Any
    help: str

    @property
    def optional(self) -> bool:
        """True if `none` is a value."""
        return isinstance(self.hint, types.UnionType)

    @property
    def base(self) -> Any:
        """The kind without `| None`."""
        return typing.get_args(self.hint)[0] if self.optional else self.hint

    @property
    def element(self) -> Any:
        """The kind of one item: of the list, or of the option itself."""
        return typing.get_args(self.base)[0] if typing.get_origin(self.base) is tuple else self.base

    @property
    def allowed(self) -> str:
        """Its values in words."""
        words = _kind(self.element)
        if self.element is not self.base:
            words = f"a list [a, b] of {words}"
        return f"{words}, or none" if self.optional else words

    def read(self, text: OptionText) -> Any:
        """The value that `text` stands for; raises ValueError if it is none of this option's."""
        if text is None:
            return _read(self.base, "true") if self.base is bool else _refuse("no value")
        if self.optional and text == "none" and isinstance(text, Word):
            return None
        if self.element is self.base:
            return _refuse("a list") if isinstance(text, tuple) else _read(self.base, text)
        return tuple(_read(self.element, item) for item in ((text,) if isinstance(text, str) else text))

    def print(self, value: Any) -> str:
        """`name=value`, or the bare name for True; `read` gives the same value back."""
        if value is True:
            return self.name
        if isinstance(value, tuple):
            return f"{self.name}=[{','.join(map(_print, value))}]"
        if value == "none" and self.optional:
            return f'{self.name}="none"'
        return f"{self.name}={_print(value)}"


def options_of(pass_class: type[Pass]) -> dict[str, Option]:
    """The options of a pass by the name they have in a pipeline, in field order."""
    fields = dataclasses.fields(pass_class)
    hints = typing.get_type_hints(pass_class) if fields else {}  # slow, and most passes have no options
    found = {}
    for field in fields:
        name = field.name.replace("_", "-")
        found[name] = Option(name, field.name, hints[field.name], field.default, field.metadata.get("help", ""))
    return found


def print_pass(item: Pass) -> str:
    """The pass as pipeline text: its name and the options that are not at their defaults."""
    given = [(o, getattr(item, o.field)) for o in options_of(type(item)).values()]
    changed = [o.print(value) for o, value in given if value != o.default]
    return f"{item.name}{{{' '.join(changed)}}}" if changed else item.name


def _kind(hint: Any) -> str:
    if issubclass(hint, StrEnum):
        return " | ".join(hint)
    return {bool: "true | false", int: "an integer", float: "a number", str: "a string"}[hint]


def _read(hint: Any, text: str) -> Any:
    if hint is bool:
        return text == "true" if text in ("true", "false") else _refuse(text)
    value = hint(text)
    return value if value == value else _refuse(text)  # NaN would make a pass differ from itself


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _print(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    return text if _BARE.match(text) else json.dumps(text)
