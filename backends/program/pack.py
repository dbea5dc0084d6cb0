"""Packs the records of `schema.py` into a FlatBuffer, with the builder of the FlatBuffers library."""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers

from cnn2snn_ir.backends.program.schema import (
    DOUBLE,
    IDENTIFIER,
    LONG,
    SLOTS,
    UBYTE,
    UINT,
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


def pack(program: Program) -> bytes:
    """The buffer of a program; raises `CompileError` for a number or a text that the tables cannot hold."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(_table(builder, program), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, record: Any) -> int:
    """Write a record, children first as FlatBuffers wants it; returns its offset."""
    described = SLOTS[type(record)]
    values = [getattr(record, slot.name) for slot in described]
    children = [
        None if isinstance(slot.wire, Scalar | Choice) or _absent(slot, value) else _child(builder, slot.wire, value)
        for slot, value in zip(described, values, strict=True)
    ]
    builder.StartObject(len(described))
    for position, (slot, value) in enumerate(zip(described, values, strict=True)):
        if isinstance(slot.wire, Scalar | Choice):
            _scalar_slot(builder, position, slot.wire, value)
        elif (child := children[position]) is not None:
            builder.PrependUOffsetTRelativeSlot(position, child, 0)
    return int(builder.EndObject())


def _absent(slot: Slot, value: Any) -> bool:
    """True where the file leaves the slot out."""
    return value is None or (not slot.required and value == ())


def _child(builder: Any, wire: Wire, value: Any) -> int:
    """Write what a slot refers to; returns its offset."""
    match wire:
        case Text():
            return int(builder.CreateString(_utf8(value)))
        case Table():
            return _table(builder, value)
        case Vector(of=of) if of is UBYTE:
            return int(builder.CreateByteVector(bytes(value)))
        case Vector(of=Scalar() as of):
            builder.StartVector(struct.calcsize(of.format), len(value), struct.calcsize(of.format))
            for number in reversed(value):  # the builder fills a buffer back to front
                _prepend(builder, of, number)
            return int(builder.EndVector())
        case Vector(of=of):
            offsets = [_child(builder, of, v) for v in value]
            builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            return int(builder.EndVector())
        case _:
            raise TypeError(f"{wire} stands in its table")


def _scalar_slot(builder: Any, position: int, wire: Scalar | Choice, value: Any) -> None:
    scalar = wire if isinstance(wire, Scalar) else UBYTE
    if any(_bytes(scalar, value)):  # zero is the default and left out; -0.0 has a bit set and is written
        _prepend(builder, scalar, value)
        builder.Slot(position)


_PREPEND = {UBYTE: "PrependUint8", UINT: "PrependUint32", LONG: "PrependInt64", DOUBLE: "PrependFloat64"}


def _prepend(builder: Any, scalar: Scalar, value: Any) -> None:
    _bytes(scalar, value)
    getattr(builder, _PREPEND[scalar])(value)


def _bytes(scalar: Scalar, value: Any) -> bytes:
    try:
        return struct.pack(scalar.format, value)
    except (struct.error, OverflowError):
        raise fail("FBZ-RANGE", "the number does not fit the program file", found=str(value)[:60]) from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise fail("FBZ-TEXT", "the name is not valid Unicode", found=repr(text)[:60]) from None
