"""Reads `.npy` and `.npz` files of numbers from strangers: nothing is run, nothing is allocated on a header's word.

numpy's own reader evaluates a header as Python, allocates what it declares, and raises whatever the parts of the
standard library raise below it.  Here a header is matched with one pattern, and compared with the bytes behind it.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.zip_files import MAX_UNPACKED, DamagedFileError, opened_zip

Array = npt.NDArray[Any]

MAX_RANK = 32
MAX_HEADER = 1 << 16

MAX_EMPTY = 1 << 40
"""Bytes that an array without elements would have if its dimensions of 0 were 1: NumPy refuses to go beyond 2^63."""

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': '(?P<type>[<>|=]?(?:[iu][1248]|f[248]|b1))', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:[0-9]{1,18}L?, ?)*(?:[0-9]{1,18}L?)?)\),? ?\}[ \x00]*\n?\Z"
)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a `.npz` by name, or that of a `.npy` as `x`; raises OSError, or `DamagedFileError`."""
    with open(path, "rb") as file:
        start = file.read(len(_MAGIC))
        file.seek(0)
        if start == _MAGIC:
            return {"x": read_array(file, os.fstat(file.fileno()).st_size)}
        if not start.startswith(b"PK"):
            raise DamagedFileError("the file is empty" if not start else "it begins neither as .npy nor as .npz")
        return _members(file)


def array_of(data: bytes) -> Array:
    """The array of a `.npy` file's bytes; raises `DamagedFileError`."""
    return read_array(io.BytesIO(data), len(data))


def read_array(stream: IO[bytes], size: int) -> Array:
    """The array in a stream of `size` bytes; raises `DamagedFileError` if they are not exactly one."""
    return ArrayStream(stream, size).array()


class ArrayStream:
    """An array in a stream of `size` bytes, whole or a block of its rows after the other.

    Raises `DamagedFileError` if the bytes are not exactly one array.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        start = stream.read(8)
        width = {1: 2, 2: 4, 3: 4}.get(start[6]) if len(start) == 8 and start.startswith(_MAGIC) else None
        if width is None:
            raise DamagedFileError("a member is no .npy array of version 1, 2 or 3")
        length = int.from_bytes(stream.read(width), "little")
        header = stream.read(min(length, MAX_HEADER + 1)).decode("latin-1")
        match = _HEADER.match(header) if len(header) == length <= MAX_HEADER else None
        if match is None:
            raise DamagedFileError(f"not the header of an array of numbers: {header[:100]!r}")
        self.shape = tuple(int(d.rstrip("L")) for d in match["shape"].replace(" ", "").split(",") if d)
        self._stream, self._dtype, self._fortran = stream, np.dtype(match["type"]), match["fortran"] == "True"
        there, declared = size - 8 - width - length, math.prod(self.shape) * self._dtype.itemsize
        addressable = math.prod(max(d, 1) for d in self.shape) * self._dtype.itemsize < MAX_EMPTY + there
        if len(self.shape) > MAX_RANK or declared != there or not addressable:
            raise DamagedFileError(f"{there} bytes for an array {self._dtype} {self.shape}"[:200])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements, in the machine's byte order."""
        return self._dtype.newbyteorder("=")

    def array(self) -> Array:
        """All of it."""
        if not self._fortran:
            return self._read(self.shape)
        return self._read(self.shape[::-1]).transpose()

    def blocks(self, most: int) -> Iterator[Array]:
        """Rows of up to `most` bytes together, at least one, in order; of an array in Fortran's order, all at once."""
        whole = self._fortran or not self.shape
        together = math.prod(self.shape if whole else self.shape[1:]) * self._dtype.itemsize
        if together > MAX_UNPACKED:
            need = "an array in Fortran's order is read whole: save np.ascontiguousarray(x)" if whole else "one row"
            raise DamagedFileError(f"{together} bytes, of which {MAX_UNPACKED} may be in memory; {need}")
        if whole:
            yield self.array()
            return
        rows = max(1, most // max(1, together))
        for start in range(0, self.shape[0], rows):
            yield self._read((min(rows, self.shape[0] - start), *self.shape[1:]))

    def _read(self, shape: tuple[int, ...]) -> Array:
        """The next elements, in the machine's byte order."""
        array = np.empty(shape, self._dtype)
        rest = array.reshape(-1).view(np.uint8).data
        while rest:
            count = self._stream.readinto(rest[: 1 << 20])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFileError("the file ends within an array")
            rest = rest[count:]
        if self._dtype.kind == "b" and array.size:
            array = array.view(np.uint8).astype(bool)  # a truth value has one byte, which a file can make neither
        return array.astype(self.dtype, copy=False)


def _members(file: IO[bytes]) -> dict[str, Array]:
    """The arrays of a zip file."""
    found = {}
    with opened_zip(file, os.fstat(file.fileno()).st_size) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as member:
                found[entry.filename.removesuffix(".npy")] = read_array(member, entry.file_size)
    return found
