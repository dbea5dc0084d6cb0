"""The contract of a reader, and the judgement of one input: success, a diagnostic, or a finding.

A reader gives what it reads, or a `CompileError` that can be printed; never another exception, a warning, a word on
stderr, more than `SECONDS`, or more than `MEMORY` beyond what the process had.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from cnn2snn_ir.diagnostics import CompileError

SECONDS = 5
MEMORY = 1 << 30
PATH = re.compile(r"'/[^']*'")
LONGEST_MESSAGE = 1 << 20
"""Characters of an error as text; a name of a megabyte must not come back whole."""


class Reader(Protocol):
    """What a file of `readers/` offers."""

    name: str
    suffix: str

    def make(self, random: Random) -> bytes:
        """A mutant, which depends on nothing but `random`."""

    def read(self, path: Path) -> None:
        """Read a file as a user would have it read."""


class Outcome(NamedTuple):
    """What became of an input: `ok`, the code of its first error, or `!` and the signature of a finding."""

    index: int
    result: str
    seconds: float
    growth: int
    """Bytes by which the process's peak of memory rose."""
    details: str = ""

    @property
    def is_finding(self) -> bool:
        """True if the contract was broken."""
        return self.result.startswith("!")


class TooSlow(BaseException):
    """Raised by the clock; no reader may catch it."""


def random_of(reader: str, seed: int, index: int) -> Random:
    """All that input number `index` depends on."""
    return Random(f"{reader}/{seed}/{index}")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` when the time is up."""

    def ring(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(reader: Reader, path: Path, index: int = 0, errors: int | None = None) -> Outcome:
    """Have a file read, and say what became of it; `errors` is where stderr goes, an empty file."""
    heard: list[str] = []
    peak, start = peak_memory(), time.perf_counter()
    details = ""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_, **__: heard.append(  # type: ignore[assignment]
            f"!{category.__name__} at {place(traceback.extract_stack())}: {PATH.sub('FILE', str(message))}"
        )
        try:
            with limited(SECONDS):
                reader.read(path)
            result = "ok"
        except CompileError as error:
            result, details = of_error(error)
        except TooSlow as error:
            result, details = signature(error), traceback.format_exc()
        except Exception as error:
            result, details = signature(error), traceback.format_exc()
    seconds, growth = time.perf_counter() - start, peak_memory() - peak
    if heard and not result.startswith("!"):
        result, details = heard[0][:300], "\n".join(heard)
    if growth > MEMORY:
        result = f"!memory: {growth >> 20} MiB"
    if errors is not None and (spoken := os.fstat(errors).st_size):
        words = os.pread(errors, min(spoken, 2000), 0).decode("utf-8", "replace")
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)
        if not result.startswith("!"):
            result, details = f"!stderr: {words.splitlines()[0][:100] if words else ''}", words
    return Outcome(index, result, seconds, growth, details)


def of_error(error: CompileError) -> tuple[str, str]:
    """The code of a diagnostic, or a finding if it is not one that can be shown."""
    text = error.render()
    if len(text) > LONGEST_MESSAGE:
        return f"!message of more than {LONGEST_MESSAGE} characters: {error.diagnostics[0].code}", text[:2000]
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"!message that cannot be printed: {error.diagnostics[0].code}", repr(text)
    code = error.diagnostics[0].code
    if code == "INTERNAL":
        return "!INTERNAL", text
    return code, text


def signature(error: BaseException) -> str:
    """The kind of an exception, and where in this project it passed last."""
    return f"!{type(error).__name__} at {place(traceback.extract_tb(error.__traceback__))}"


def place(stack: traceback.StackSummary) -> str:
    """The innermost frame of the project, and that of the library below it."""
    stack = [f for f in stack if "h5py/" not in f.filename]
    ours = [f for f in stack if "/tests/fuzz/" not in f.filename and "/lib/python" not in f.filename]
    last = [f for f in stack if "/tests/fuzz/" not in f.filename]
    names = [f"{Path(f.filename).parent.name}/{Path(f.filename).name}:{f.name}" for f in (*ours[-1:], *last[-1:])]
    return " > ".join(dict.fromkeys(names))


def peak_memory() -> int:
    """The most bytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
