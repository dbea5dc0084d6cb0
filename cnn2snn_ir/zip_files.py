"""Opens zip files from strangers: what their directories declare is compared with what the file can hold."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

MAX_UNPACKED = 1 << 29
"""Bytes that the compressed members of one file may unpack to in memory; what is stored uncompressed has no limit."""

MAX_MEMBERS = 1 << 16

_DEFLATE_RATIO = 1032
"""DEFLATE cannot shrink further: 258 bytes from 2 bits (zlib's technical notes)."""


class DamagedFileError(ValueError):
    """The file is not what it says it is, or not whole; the text says why."""


@contextmanager
def opened_zip(file: IO[bytes], size: int, most: float | None = None) -> Iterator[zipfile.ZipFile]:
    """A zip file of `size` bytes; what its library raises for damage, here or in the block, is `DamagedFileError`.

    `most` is how many bytes its compressed members may unpack to, `MAX_UNPACKED` by default; only who reads them in
    pieces need not mind.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive.infolist(), size, MAX_UNPACKED if most is None else most)
            yield archive
    except DamagedFileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise DamagedFileError(f"the zip is damaged: {error}"[:200]) from None
    except (ValueError, OverflowError) as error:  # offsets before the begin of the file, names in no encoding
        raise DamagedFileError(f"the zip is damaged: {error}"[:200]) from None


def _check(entries: list[zipfile.ZipInfo], size: int, most: float) -> None:
    """Compare what the members declare with what a file of `size` bytes can hold."""
    if len(entries) > MAX_MEMBERS:
        raise DamagedFileError(f"{len(entries)} members; at most {MAX_MEMBERS} are read")
    if len({entry.filename for entry in entries}) != len(entries):
        raise DamagedFileError("two members have one name")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise DamagedFileError(f"member {entry.filename!r} is encrypted, or neither stored nor deflated"[:200])
        ratio = _DEFLATE_RATIO if entry.compress_type == zipfile.ZIP_DEFLATED else 1
        if entry.file_size > ratio * min(entry.compress_size, size):
            raise DamagedFileError(f"member {entry.filename!r} declares an impossible {entry.file_size} bytes"[:200])
    if sum(entry.compress_size for entry in entries) > size:
        raise DamagedFileError("the members overlap")
    unpacked = sum(entry.file_size for entry in entries if entry.compress_type == zipfile.ZIP_DEFLATED)
    if unpacked > most:
        raise DamagedFileError(f"the members unpack to {unpacked} bytes; save more than {most} uncompressed")
