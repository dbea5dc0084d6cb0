"""A command as a process: what the system may do to it.  Signals, closed streams, full disks and odd locales."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from cnn2snn_ir.diagnostics import CompileError, fail

STOPPED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""The signals that ask a command to stop, and what it says then."""


class Stopped(BaseException):
    """A signal asked us to stop.  Files being written are put in order on the way out, as for any exception."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def protected(work: Callable[[], int]) -> int:
    """The exit code of `work`, or 130 and 143 after SIGINT and SIGTERM, or 1 where nothing more can be printed.

    A reader of our output that has seen enough ends us as it ends other tools, by SIGPIPE.
    """
    prepare_streams()
    prepare_signals()
    try:
        code = work()
        sys.stdout.flush()
    except Stopped as stopped:
        print(STOPPED[stopped.number], file=sys.stderr)
        return 128 + stopped.number
    except OSError as error:
        print(unwritten(error).render(), file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer must not fail again
        return 1
    finally:
        for number in STOPPED:
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_DFL)
    return code


def unwritten(error: OSError) -> CompileError:
    """The error for a file that nobody looked after, standard output mostly."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "standard output"
    return fail("FILE-ACCESS", "cannot read or write", where=where, found=error.strerror or str(error))


def prepare_streams() -> None:
    """Streams that were closed lead nowhere; the others take every character, whatever the locale."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  they stay open until the end
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def prepare_signals() -> None:
    """Turn signals into exceptions, but for those that whoever started us wants ignored."""
    for number in STOPPED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def stop(number: int, frame: FrameType | None) -> None:
    """Leave, wherever we are."""
    raise Stopped(number)
