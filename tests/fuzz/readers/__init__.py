"""The readers by name.  Each is imported when it is wanted: one needs onnx, another h5py."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from fuzz.contract import Reader

READERS = ("c2s", "weights", "pipeline", "h5", "keras", "onnx", "fbz", "device", "samples")


@cache
def reader_of(name: str) -> Reader:
    """The reader called so, with its seeds read."""
    reader: Reader = import_module(f"fuzz.readers.{name}").READER()
    return reader
