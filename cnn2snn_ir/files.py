"""Files: read whole, written whole or not at all; every trouble with them is a diagnostic."""

from __future__ import annotations

import os
from pathlib import Path

from cnn2snn_ir.diagnostics import CompileError, fail


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; raises `CompileError` if it is missing, unreadable or empty."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _trouble("cannot read the file", path, error) from None
    if not data:
        raise fail("FILE-EMPTY", "the file is empty", where=str(path))
    return data


def read_text(path: str | os.PathLike[str]) -> str:
    """The content of a UTF-8 text file; raises `CompileError` like `read_bytes`, and for other encodings."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail("FILE-TEXT", "the file is not UTF-8 text", where=str(path), found=str(error)) from None


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Make `path` hold `data`: a reader sees the old file or the new one, never a part of either.

    The bytes go to a temporary file in the same directory first, because a rename is atomic only within one
    file system, and reach the disk before the rename, because a crash could otherwise leave an empty file.
    """
    try:
        _write_and_replace(Path(path), data)
    except (OSError, ValueError) as error:
        raise _trouble("cannot write the file", path, error) from None


def _write_and_replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name[:64]}.{os.urandom(6).hex()}.tmp")
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    with open(temporary, "xb") as stream:  # "x": it is not there yet, and not a link that somebody left
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            os.replace(temporary, target)
        except BaseException:  # an interrupt, too, must leave nothing behind
            os.unlink(temporary)
            raise


def _trouble(message: str, path: str | os.PathLike[str], error: OSError | ValueError) -> CompileError:
    hints: dict[type[Exception], str] = {
        FileNotFoundError: "check the path; directories are not created",
        PermissionError: "check the permissions of the file and of its directory",
        IsADirectoryError: "name a file",
    }
    code = "FILE-MISSING" if isinstance(error, FileNotFoundError) else "FILE-ACCESS"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return fail(code, message, where=str(path), found=reason, help=hints.get(type(error), ""))
