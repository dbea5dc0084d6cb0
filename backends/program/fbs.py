"""Prints the tables of `schema.py` in FlatBuffers' schema language: the text of `program.fbs`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from cnn2snn_ir.backends.program.schema import ENUMERATIONS, IDENTIFIER, ROOT, SLOTS, TABLES

HEADER = """\
// The payload of a `.fbz` program file of cnn2snn-ir.
// Printed from schema.py: python -m cnn2snn_ir.backends.program.fbs > backends/program/program.fbs
//
// The file itself is a header (see container.py) and this buffer, zlib-compressed.

namespace cnn2snn_ir.program;
"""


def print_schema() -> str:
    """The whole schema."""
    blocks = [HEADER, *map(_enumeration, ENUMERATIONS), *map(_table, TABLES.values())]
    return "\n".join(blocks) + f'\nroot_type {ROOT.__name__};\nfile_identifier "{IDENTIFIER.decode()}";\n'


def _enumeration(enumeration: type[IntEnum]) -> str:
    members = ", ".join(f"{member.name} = {member.value}" for member in enumeration)
    return f"/// {_sentence(enumeration)}\nenum {enumeration.__name__} : ubyte {{ {members} }}\n"


def _table(table: type[Any]) -> str:
    return "\n".join([f"/// {_sentence(table)}", f"table {table.__name__} {{", *_members(table), "}", ""])


def _members(table: type[Any]) -> Iterator[str]:
    for slot in SLOTS[table]:
        yield f"  /// {slot.doc}"
        yield f"  {slot.name}: {slot.wire.keyword}{' (required)' if slot.required else ''};"


def _sentence(described: type[Any]) -> str:
    return (described.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    print(print_schema(), end="")
