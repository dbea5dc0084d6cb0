"""Files: read whole, written whole or not at all; every trouble with them is a diagnostic."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
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
    return as_text(read_bytes(path), str(path))


def as_text(data: bytes, where: str) -> str:
    """UTF-8 text from `where`; raises `CompileError` if it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail("FILE-TEXT", "the file is not UTF-8 text", where=where, found=str(error)) from None


def name_as_text(path: str | os.PathLike[str]) -> str:
    """The last part of a path as Unicode, whatever the locale; bytes that are none as `\\xff`."""
    return os.path.basename(os.fsencode(path)).decode("utf-8", "backslashreplace")


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Make `path` hold `data`: a reader sees the old file or the new one, never a part of either.

    The bytes go to a temporary file in the same directory first, because a rename is atomic only within one
    file system, and reach the disk before the rename, because a crash could otherwise leave an empty file.  All
    that a process which is killed can leave behind is that file, `.NAME.….tmp`.  A link stays, and what it points
    to is replaced.  What cannot be replaced (a pipe, a device, our own standard output) is written into.
    """
    try:
        status = _status(path)
        if is_standard_output(path) or (status is not None and not stat.S_ISREG(status.st_mode)):
            _write_into(path, data)
        else:
            _write_and_replace(Path(os.path.realpath(path)), data, status)
    except (OSError, ValueError) as error:
        raise _trouble("cannot write the file", path, error) from None


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is where this process prints, as `/dev/stdout` is."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))
    except (OSError, ValueError):  # no such file, or no standard output
        return False


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _write_into(path: str | os.PathLike[str], data: bytes) -> None:
    if is_standard_output(path):
        if sys.stdout is not None:
            sys.stdout.flush()  # what was printed before comes before
        target: int | str | os.PathLike[str] = os.dup(1)  # opened afresh, a file would be emptied
    else:
        target = path
    with open(target, "wb") as stream:
        stream.write(data)


def _write_and_replace(target: Path, data: bytes, status: os.stat_result | None) -> None:
    temporary = target.with_name(f".{target.name[:32]}.{os.urandom(6).hex()}.tmp")  # 255 bytes are all a name can have
    with open(temporary, "xb") as stream:  # "x": it is not there yet, and not a link that somebody left
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            if status is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
            os.replace(temporary, target)
        except BaseException:  # an interrupt, too, must leave nothing behind
            with suppress(FileNotFoundError):
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
