"""Tensors of an ONNX file as numpy arrays, read when they are needed and never larger than what is stored.

A declared shape is compared with the bytes that are there before anything of that size is allocated.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail

Array = npt.NDArray[Any]

MAX_BYTES = 1 << 30
"""No tensor of an Akida network comes near 1 GiB; a larger one is refused before it is read."""

MAX_RANK = 64


class Encoding(NamedTuple):
    """How elements lie in a file: bits each, the numpy type of what is stored, the field for those not stored raw."""

    name: str
    bits: int
    stored: str
    field: str
    element: str = ""

    @property
    def result(self) -> str:
        """The numpy type of the array that is read."""
        return self.element or self.stored


ENCODINGS = {
    1: Encoding("float32", 32, "<f4", "float_data"),
    2: Encoding("uint8", 8, "<u1", "int32_data"),
    3: Encoding("int8", 8, "<i1", "int32_data"),
    4: Encoding("uint16", 16, "<u2", "int32_data"),
    5: Encoding("int16", 16, "<i2", "int32_data"),
    6: Encoding("int32", 32, "<i4", "int32_data"),
    7: Encoding("int64", 64, "<i8", "int64_data"),
    9: Encoding("bool", 8, "<u1", "int32_data", "?"),
    10: Encoding("float16", 16, "<u2", "int32_data", "<f4"),
    11: Encoding("float64", 64, "<f8", "double_data"),
    12: Encoding("uint32", 32, "<u4", "uint64_data"),
    13: Encoding("uint64", 64, "<u8", "uint64_data"),
    16: Encoding("bfloat16", 16, "<u2", "int32_data", "<f4"),
    21: Encoding("uint4", 4, "<u1", "int32_data"),
    22: Encoding("int4", 4, "<u1", "int32_data", "<i1"),
    25: Encoding("uint2", 2, "<u1", "int32_data"),
    26: Encoding("int2", 2, "<u1", "int32_data", "<i1"),
}
"""`TensorProto.DataType` ▶ encoding.  Half floats become float32, small integers int8 and uint8: all exactly."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the file that has not been read: its name, where it is used, and the protobuf message."""

    name: str
    where: str
    proto: Any
    folder: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """The declared shape, which `read` checks."""
        return tuple(self.proto.dims)

    @property
    def dtype(self) -> str:
        """The declared element type, by its ONNX name in lower case; of an unknown one, its number."""
        encoding = ENCODINGS.get(self.proto.data_type)
        return encoding.name if encoding else f"data_type {self.proto.data_type}"

    def read(self, node: str = "") -> Array:
        """The values, as an array of their own; raises `CompileError` if they are not what is declared."""
        place = Place(self.name, node or self.where)
        encoding = ENCODINGS.get(self.proto.data_type)
        if encoding is None:
            allowed = ", ".join(e.name for e in ENCODINGS.values())
            raise place.fault("an element type that cannot be read", self.dtype, allowed)
        count = element_count(self.shape, encoding, place)
        return decode(payload(self, encoding, count, place), encoding, count, place).reshape(self.shape)

    def finite(self, node: str = "") -> Array:
        """The values of what are weights or scales; raises `CompileError` if some are infinite or not numbers."""
        values = self.read(node)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int(np.count_nonzero(~np.isfinite(values)))
            place = Place(self.name, node or self.where)
            raise fail(
                "ONNX-NAN",
                "a tensor has values that are not finite",
                where=place.text,
                found=f"{count} of {values.size}",
                help="train or quantize the model again",
            )
        return values


class Place(NamedTuple):
    """A tensor, and the node that needs it."""

    tensor: str
    node: str

    @property
    def text(self) -> str:
        """As messages name it."""
        name = f"tensor {self.tensor or 'without a name'}"
        return f"{self.node}, {name}" if self.node else name

    def fault(self, message: str, found: str, allowed: str = "") -> CompileError:
        """The error for a tensor that is not what it says."""
        return fail(
            "ONNX-TENSOR", message, where=self.text, found=found, allowed=allowed, help="export the model again"
        )


def element_count(shape: tuple[int, ...], encoding: Encoding, place: Place) -> int:
    """How many elements a shape declares, if so many can be."""
    if any(d < 0 for d in shape) or len(shape) > MAX_RANK:
        raise place.fault("a shape that cannot be", str(list(shape[:MAX_RANK])), "sizes of 0 or more")
    count = math.prod(shape)
    if count * np.dtype(encoding.result).itemsize > MAX_BYTES:
        raise place.fault("a shape that is too large", f"{encoding.name} {list(shape)}", f"at most {MAX_BYTES} bytes")
    return count


def payload(tensor: StoredTensor, encoding: Encoding, count: int, place: Place) -> Array:
    """The stored words, as many as `count` elements need."""
    words = -(-count * encoding.bits // (8 * np.dtype(encoding.stored).itemsize))
    proto = tensor.proto
    if proto.data_location == 1:
        data = external_bytes(tensor, words * np.dtype(encoding.stored).itemsize, place)
    elif proto.HasField("raw_data"):
        data = proto.raw_data
    else:
        return typed_words(proto, encoding, words, place)
    if len(data) != words * np.dtype(encoding.stored).itemsize:
        declared = f"{len(data)} bytes for {encoding.name} {list(tensor.shape)}"
        needed = f"{words * np.dtype(encoding.stored).itemsize} bytes"
        raise place.fault("its data are not as long as its shape says", declared, needed)
    return np.frombuffer(data, encoding.stored)


def typed_words(proto: Any, encoding: Encoding, words: int, place: Place) -> Array:
    """Values from a field of the element's own type; small types share a field of 32 bits."""
    values = getattr(proto, encoding.field)
    if len(values) != words:
        found = f"{len(values)} values for {encoding.name} {list(proto.dims)}"
        raise place.fault("its data are not as long as its shape says", found, f"{words} values")
    wide = np.array(values, {"float_data": "<f4", "double_data": "<f8"}.get(encoding.field, "O"))
    if wide.dtype.kind != "O":
        return wide
    limits = np.iinfo(np.dtype(encoding.stored))
    if words and (min(values) < limits.min or max(values) > limits.max):
        found = f"{min(values)} to {max(values)}"
        raise place.fault("its data do not fit their type", found, f"{encoding.name}: {limits.min} to {limits.max}")
    return wide.astype(encoding.stored)


def decode(words: Array, encoding: Encoding, count: int, place: Place) -> Array:
    """Stored words ▶ elements."""
    if encoding.bits < 8:
        return unpacked(words, encoding, count)
    if encoding.name == "float16":
        return words.view("<f2").astype(np.float32)
    if encoding.name == "bfloat16":
        return (words.astype(np.uint32) << 16).view(np.float32)
    return words.astype(encoding.result)


def unpacked(words: Array, encoding: Encoding, count: int) -> Array:
    """Elements of less than a byte, the lowest bits first."""
    bits = encoding.bits
    parts = (words[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & ((1 << bits) - 1)
    elements = parts.reshape(-1)[:count].astype(np.int8)
    signed = np.where(elements >= 1 << (bits - 1), elements - (1 << bits), elements)
    return (signed if encoding.result == "<i1" else elements).astype(encoding.result)


# ---- external data --------------------------------------------------------------------------------------------


def external_bytes(tensor: StoredTensor, size: int, place: Place) -> bytes:
    """A tensor's bytes in a file beside the model; never outside of the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.proto.external_data}
    path = external_path(tensor.folder, entries.get("location", ""), place)
    try:
        offset, length = (int(entries.get(key) or default) for key, default in (("offset", 0), ("length", size)))
    except ValueError:
        raise external(place, "its offset or length is no number", f"{entries}"[:200]) from None
    if length != size:
        raise place.fault("its data are not as long as its shape says", f"{length} bytes", f"{size} bytes")
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            if not 0 <= offset <= end - length:
                raise external(
                    place, "its data lie behind the end of their file", f"{offset} + {length}", f"{end} bytes"
                )
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise external(place, "the file of its data cannot be read", f"{path}: {error.strerror}") from None


def external_path(folder: Path, location: str, place: Place) -> Path:
    """Where external data lie: an ordinary file in the model's folder or below, links followed."""
    parts = PurePosixPath(location.replace("\\", "/"))
    base = folder.resolve()
    if not location or "\0" in location or parts.is_absolute() or ".." in parts.parts or ":" in location:
        raise external(place, "its data lie outside of the model's folder", location or "no location", f"below {base}")
    path = (base / parts).resolve()
    if not path.is_relative_to(base):
        raise external(place, "its data lie outside of the model's folder", f"{location} ▶ {path}", f"below {base}")
    if not path.is_file():
        raise external(place, "the file of its data is missing", str(path))
    return path


def external(place: Place, message: str, found: str, allowed: str = "") -> CompileError:
    """The error for data that are kept outside of the file, but not as they should."""
    advice = "copy the model with its data files, side by side"
    return fail("ONNX-EXTERNAL", message, where=place.text, found=found, allowed=allowed, help=advice)
