"""The program file `.fbz`: a module with its weights in one compressed, checksummed, self-describing file.

The format is our own and open (`program.fbs`); it is not the vendor's file of that suffix.  It holds any
module, so nothing here changes when a dialect is added.  Writing verifies first, reading trusts nothing:
whatever the bytes are, the outcome is a verified module or a `CompileError`.
"""

from __future__ import annotations

import os

from cnn2snn_ir.backends.program.container import unwrap, wrap
from cnn2snn_ir.backends.program.encode import encode
from cnn2snn_ir.backends.program.manifest import Manifest, manifest_of
from cnn2snn_ir.backends.program.pack import pack
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.files import atomic_write, read_bytes
from cnn2snn_ir.ir.verify import verify

__all__ = ["Manifest", "dumps", "loads", "read_manifest", "read_program", "write_program"]


def dumps(module: builtin.Module) -> bytes:
    """The program file of `module`; raises `CompileError` if the module is invalid or its weights are elided."""
    verify(module).raise_errors("the module is invalid and cannot be written")
    return wrap(pack(encode(module)))


def loads(data: bytes, name: str = "<bytes>") -> builtin.Module:
    """The module in a program file; raises `CompileError`, naming `name`, for anything but a valid one."""
    from cnn2snn_ir.backends.program.decode import decode  # a conversion only writes
    from cnn2snn_ir.backends.program.unpack import unpack

    module = decode(unpack(unwrap(data, name), name), name)
    verify(module).raise_errors(f"{name}: the program is invalid")
    return module


def write_program(module: builtin.Module, path: str | os.PathLike[str]) -> None:
    """Write `module` to `path`, atomically."""
    atomic_write(path, dumps(module))


def read_program(path: str | os.PathLike[str]) -> builtin.Module:
    """The module in the program file at `path`."""
    return loads(read_bytes(path), str(path))


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Who made the program file at `path`, from what and how; does not build the module."""
    from cnn2snn_ir.backends.program.unpack import unpack

    return manifest_of(unpack(unwrap(read_bytes(path), str(path)), str(path)))
