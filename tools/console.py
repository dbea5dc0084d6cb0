"""What every command shares: errors as text, progress, and a word where another tool has our name."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from cnn2snn_ir.diagnostics import CompileError, Diagnostics, Severity
from cnn2snn_ir.files import is_standard_output
from cnn2snn_ir.tools import process

PATIENCE = 1.0
"""Seconds of work before a progress line appears."""

DEBUG = "CNN2SNN_DEBUG"
"""The environment variable that lets tracebacks through."""

USER_ERROR = 1
INTERNAL_ERROR = 70
"""Exit codes; 70 is EX_SOFTWARE of sysexits.h."""


def run(app: typer.Typer, name: str, argv: list[str] | None) -> int:
    """Run a command with a user's mistakes as text instead of tracebacks; returns the exit code."""
    try:
        app(args=argv, prog_name=name)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except CompileError as error:
        report(error)
        return USER_ERROR
    except OSError as error:
        if DEBUG in os.environ:
            raise
        report(process.unwritten(error))
        return USER_ERROR
    except Exception as error:  # a bug of ours; the user gets a sentence, and the traceback on request
        if DEBUG in os.environ:
            raise
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"    help: please report this; {DEBUG}=1 shows where it happened", file=sys.stderr)
        return INTERNAL_ERROR
    return 0


def report(error: CompileError) -> None:
    """Print a user's problems on standard error."""
    problems = [d for d in error.diagnostics if d.severity is Severity.ERROR]
    print(error.render(), file=sys.stderr)
    if len(problems) > 1:
        print(f"{len(problems)} problems", file=sys.stderr)


def remark(diagnostics: Diagnostics, also: Container[str] = ()) -> None:
    """Print warnings on standard error, and those remarks whose codes are in `also`."""
    for diagnostic in diagnostics:
        if diagnostic.severity is Severity.WARNING or diagnostic.code in also:
            print(diagnostic.render(), file=sys.stderr)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean …?`, or nothing if no name is near."""
    import difflib  # needed after a mistake only

    near = difflib.get_close_matches(name, list(names), 3)
    return f"did you mean {', '.join(near)}?" if near else ""


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show that work goes on, if it takes over a second and somebody watches a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(what)
    timer = threading.Timer(PATIENCE, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


def say(sentence: str, output: Path | None) -> None:
    """Print what was done, on standard error where `output` is standard output, so that it holds nothing else."""
    print(sentence, file=sys.stderr if output is not None and is_standard_output(output) else sys.stdout)


def shadowed() -> str:
    """A sentence if the command `cnn2snn` on the path is not ours; empty otherwise."""
    script = shutil.which("cnn2snn")
    if script is None:
        return ""
    try:
        ours = "cnn2snn_ir" in Path(script).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    if ours:
        return ""
    return f"note: the command `cnn2snn` ({script}) belongs to another package; ours is `cnn2snn-ir` here"
