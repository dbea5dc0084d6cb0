"""The file around the payload: a header that can be checked at once, and zlib.

    offset  size
         0     8  magic: not text, and damaged visibly by whatever converts line ends
         8     4  version of the format
        12     8  length of the payload, uncompressed
        20    32  SHA-256 of the payload, uncompressed
        52        the payload, zlib-compressed

The compression level is fixed and nothing depends on clock or path, so the same program gives the same bytes
(with another zlib library the compressed bytes may differ; the SHA-256 does not).
"""

from __future__ import annotations

import hashlib
import struct
import zlib

from cnn2snn_ir.diagnostics import fail

MAGIC = b"\x8fC2S\r\n\x1a\n"
VERSION = 1
MAX_PAYLOAD = 1 << 30
"""FlatBuffers' offsets end at 2 GiB; no network for these chips comes near half of it."""

_HEADER = struct.Struct("<8sIQ32s")
_LEVEL = 6
_DEFLATE_RATIO = 1032
"""DEFLATE cannot shrink further: 258 bytes from 2 bits (zlib's technical notes)."""


def wrap(payload: bytes) -> bytes:
    """The file that holds `payload`."""
    if len(payload) > MAX_PAYLOAD:
        raise fail("FBZ-SIZE", "the program is too large", found=f"{len(payload)} bytes", allowed=f"{MAX_PAYLOAD}")
    header = _HEADER.pack(MAGIC, VERSION, len(payload), hashlib.sha256(payload).digest())
    return header + zlib.compress(payload, _LEVEL)


def unwrap(data: bytes, file: str) -> bytes:
    """The payload of a file; raises `CompileError` if the file is another, damaged, or lies about its size."""
    if data[: len(MAGIC)] != MAGIC:
        raise fail("FBZ-MAGIC", "this is not a cnn2snn-ir program", where=file, help=_other_file(data))
    if len(data) < _HEADER.size:
        raise fail("FBZ-TRUNCATED", "the file ends within its header", where=file, found=f"{len(data)} bytes")
    _, version, length, digest = _HEADER.unpack_from(data)
    if version != VERSION:
        raise fail(
            "FBZ-VERSION", "the file has another format version", where=file, found=str(version), allowed=str(VERSION)
        )
    compressed = memoryview(data)[_HEADER.size :]
    limit = min(MAX_PAYLOAD, _DEFLATE_RATIO * len(compressed))
    if length > limit:
        raise fail(
            "FBZ-SIZE", "the declared size is impossible", where=file, found=f"{length} bytes", allowed=f"up to {limit}"
        )
    payload = _inflate(compressed, length, file)
    if hashlib.sha256(payload).digest() != digest:
        raise fail("FBZ-CHECKSUM", "the content is damaged: its SHA-256 is not the header's", where=file)
    return payload


def _inflate(compressed: memoryview, length: int, file: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(compressed, length + 1)  # one more, to notice too much without unpacking it
    except zlib.error as error:
        raise fail("FBZ-DAMAGED", "the content cannot be decompressed", where=file, found=str(error)) from None
    if len(payload) != length or not stream.eof:
        code, message = ("FBZ-SIZE", "more content than declared") if len(payload) > length else (
            "FBZ-TRUNCATED", "the content ends too early")  # fmt: skip
        raise fail(code, message, where=file, allowed=f"{length} bytes")
    if stream.unused_data:
        raise fail("FBZ-TRAILING", "bytes follow the content", where=file, found=f"{len(stream.unused_data)} bytes")
    return payload


def _other_file(data: bytes) -> str:
    """What to do with a file that is obviously something else."""
    if data[:4] == b"\x89HDF" or data[:2] == b"PK":
        return "it looks like a Keras model: convert it with `cnn2snn convert -m FILE`"
    return "the vendor's .fbz files are another format and cannot be read" if data[:1] != b"\x8f" else ""
