"""Checks the global heaps of an HDF5 file, where texts of any length lie, before the library reads them.

The library (2.0) walks from object to object by the sizes that the file gives, and walks forever where a size is
such that the next object is the same one.
"""

from __future__ import annotations

import struct

SIGNATURE = b"GCOL\1\0\0\0"
"""Magic, version, reserved bytes; the heap's size follows."""

_OBJECT = struct.Struct("<HHIQ")
"""Index, references, reserved bytes, size of the data; index 0 is free space, whose size has this header in it."""


def heap_fault(data: bytes) -> str:
    """What is wrong with a heap of the file; empty if all can be walked through."""
    if len(data) < 16:
        return "the file ends in its first bytes"
    lengths = data[14] if data[8] < 2 else data[10]
    if lengths != 8:
        return f"sizes have {lengths} bytes, not 8"
    start = data.find(SIGNATURE)
    while start >= 0:
        if fault := _walk(data, start):
            return fault
        start = data.find(SIGNATURE, start + 1)
    return ""


def _walk(data: bytes, start: int) -> str:
    """Follow the objects of the heap at `start`."""
    at = start + len(SIGNATURE) + 8
    end = start + int.from_bytes(data[at - 8 : at], "little")
    if end > len(data):
        return f"the heap at byte {start} ends behind the file"
    while at + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(data, at)
        step = size if index == 0 else _OBJECT.size + (size + 7) // 8 * 8
        if not _OBJECT.size <= step <= end - at:
            return f"the heap at byte {start} has an object of {size} bytes"
        at += step
    return ""
