"""Unpacks a FlatBuffer into the records of `schema.py`, checking everything before touching it.

The FlatBuffers library has no verifier for Python, and its generated readers follow any offset.  Here every
offset, size and alignment is compared with the buffer first, and two budgets bound the work:

* each byte of a table, vector or text is paid for once, so a file whose objects overlap (which could unfold
  to more than any memory holds) runs out of budget;
* the number of objects is limited, because even small honest ones cost far more in memory than in the file.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from cnn2snn_ir.backends.program.schema import (
    IDENTIFIER,
    ROOT,
    SLOTS,
    TABLES,
    UBYTE,
    Choice,
    Program,
    Scalar,
    Slot,
    Table,
    Text,
    Vector,
    Wire,
)
from cnn2snn_ir.diagnostics import fail

MAX_DEPTH = 64
"""Nesting of tables; FlatBuffers' own verifier has the same default."""

MAX_OBJECTS = 1 << 20
"""Tables, texts and vector elements; a network of 300 layers has about 20 000."""


def unpack(buffer: bytes, file: str) -> Program:
    """The program in `buffer`; raises `CompileError` naming `file` if it is not one."""
    reader = Reader(buffer, file)
    if buffer[4:8] != IDENTIFIER:
        reader.refuse("FBZ-IDENTIFIER", "the content is not a program", found=repr(buffer[4:8]))
    root: Program = reader.table(ROOT, reader.follow(0), 0)
    return root


class Reader:
    """A buffer and what is left of its budgets."""

    def __init__(self, buffer: bytes, file: str) -> None:
        self.view = memoryview(buffer)
        self.file = file
        self.bytes_left = len(buffer)
        self.objects_left = MAX_OBJECTS

    def refuse(self, code: str, message: str, **details: str) -> NoReturn:
        """Give up on the file."""
        raise fail(code, message, where=self.file, **details)

    # ---- tables ---------------------------------------------------------------------------------------------

    def table(self, table: type[Any], at: int, depth: int) -> Any:
        """The record at `at`."""
        if depth > MAX_DEPTH:
            self.refuse("FBZ-DEPTH", "tables are nested too deeply", allowed=f"{MAX_DEPTH} levels")
        vtable = at - self.number("<i", at)
        vtable_size, size = self.number("<H", vtable), self.number("<H", vtable + 2)
        if vtable_size < 4 or vtable_size % 2 or size < 4:
            self.refuse("FBZ-OFFSET", "a table has an impossible size", found=f"at byte {at}")
        self.need(vtable, vtable_size)
        self.pay(at, size, 1)
        values = {}
        for position, slot in enumerate(SLOTS[table]):
            entry = 4 + 2 * position
            offset = self.number("<H", vtable + entry) if entry < vtable_size else 0
            if offset:
                self.need_inside(slot, offset, size)
                values[slot.name] = self.value(slot.wire, at + offset, depth + 1)
            elif slot.required:
                self.refuse("FBZ-MISSING", f"{table.__name__}.{slot.name} is missing", found=f"at byte {at}")
        return table(**values)

    def value(self, wire: Wire, at: int, depth: int) -> Any:
        """The content of a slot or of a vector's element at `at`."""
        match wire:
            case Scalar():
                return self.number(wire.format, at)
            case Choice():
                return self.choice(wire, at)
            case Text():
                return self.text(self.follow(at))
            case Table():
                return self.table(TABLES[wire.keyword], self.follow(at), depth)
            case Vector():
                return self.vector(wire, self.follow(at), depth)

    # ---- what tables refer to -------------------------------------------------------------------------------

    def vector(self, vector: Vector, at: int, depth: int) -> Any:
        """A view for bytes, a tuple for all else."""
        count = self.number("<I", at)
        width = _width(vector.of)
        self.pay(at, 4 + count * width, 0 if vector.of is UBYTE else count)
        if vector.of is UBYTE:
            return self.view[at + 4 : at + 4 + count]
        return tuple(self.value(vector.of, at + 4 + i * width, depth) for i in range(count))

    def text(self, at: int) -> str:
        """A string, which ends in a NUL that does not count."""
        length = self.number("<I", at)
        self.pay(at, 4 + length + 1, 1)
        try:
            content = str(self.view[at + 4 : at + 4 + length], "utf-8")
        except UnicodeDecodeError:
            self.refuse("FBZ-TEXT", "a text is not UTF-8", found=f"at byte {at}")
        if self.view[at + 4 + length]:
            self.refuse("FBZ-TEXT", "a text does not end in NUL", found=f"at byte {at}")
        return content

    def choice(self, choice: Choice, at: int) -> Any:
        """A member of an enumeration."""
        number = self.number(UBYTE.format, at)
        try:
            return choice.of(number)
        except ValueError:
            self.refuse(
                "FBZ-KIND", f"no such {choice.keyword}", found=str(number), allowed=f"0 to {len(choice.of) - 1}"
            )

    # ---- bounds ---------------------------------------------------------------------------------------------

    def follow(self, at: int) -> int:
        """Where the offset at `at` points to."""
        return at + int(self.number("<I", at))

    def number(self, format: str, at: int) -> Any:
        """The number at `at`, which must be aligned to its size."""
        width = struct.calcsize(format)
        self.need(at, width)
        if at % width:
            self.refuse("FBZ-ALIGNMENT", "a number is not aligned", found=f"{width} bytes at byte {at}")
        return struct.unpack_from(format, self.view, at)[0]

    def need(self, at: int, size: int) -> None:
        """Refuse bytes outside the buffer."""
        if at < 0 or at + size > len(self.view):
            self.refuse("FBZ-OFFSET", "an offset points outside the program", found=f"{size} bytes at byte {at}")

    def need_inside(self, slot: Slot, offset: int, size: int) -> None:
        """Refuse a slot outside its table."""
        if offset < 4 or offset + _width(slot.wire) > size:
            self.refuse("FBZ-OFFSET", f"slot {slot.name} lies outside its table", found=f"byte {offset} of {size}")

    def pay(self, at: int, size: int, objects: int) -> None:
        """Take bytes and objects from the budgets."""
        self.need(at, size)
        self.bytes_left -= size
        self.objects_left -= objects
        if self.bytes_left < 0:
            self.refuse("FBZ-OVERLAP", "objects of the program overlap")
        if self.objects_left < 0:
            self.refuse("FBZ-OBJECTS", "the program has too many objects", allowed=f"{MAX_OBJECTS}")


def _width(wire: Wire) -> int:
    """Bytes of a slot or an element; what lies elsewhere takes an offset of 4."""
    if isinstance(wire, Scalar):
        return struct.calcsize(wire.format)
    return 1 if isinstance(wire, Choice) else 4
