"""Diagnostics: what went wrong, where, what was found, what is allowed, what to do.

Design rule: checks *yield* diagnostics and never stop at the first fault; only the outermost caller
turns a collection with errors into one `CompileError`.  So a user sees every problem of a model at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

LONGEST_TEXT = 2000
"""Characters of one part of a diagnostic that are shown."""

MOST_SHOWN = 200
"""Diagnostics of one error that are shown; all are in its data."""


class Severity(StrEnum):
    """How bad a diagnostic is; only `ERROR` fails a compilation."""

    ERROR = "error"
    WARNING = "warning"
    REMARK = "remark"


class Span(NamedTuple):
    """A piece of one source line, for a caret: 1-based `line` and `column`, `length` characters."""

    source: str
    line: int
    column: int
    length: int = 1
    file: str = "<text>"

    def render(self) -> str:
        """`file:line:col`, the line, and carets below it."""
        lines = self.source.splitlines()
        text = lines[self.line - 1] if 0 < self.line <= len(lines) else ""
        start = max(0, self.column - 60)  # long lines: a window around the caret
        window = text[start : start + 120]
        carets = max(1, min(self.length, len(window) - (self.column - 1 - start)))
        pointer = " " * (self.column - 1 - start) + "^" * carets
        return f"{self.file}:{self.line}:{self.column}\n  {window}\n  {pointer}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, as data.

    `code` is stable and greppable; `where` names the user's layer (or the op, or the file);
    `found` / `allowed` / `help` are short phrases; `span` points into a text, when there is one.
    """

    code: str
    message: str
    where: str = ""
    found: str = ""
    allowed: str = ""
    help: str = ""
    severity: Severity = Severity.ERROR
    span: Span | None = field(default=None, compare=False)

    def render(self) -> str:
        """The diagnostic as text, one to a few lines."""
        head = f"{self.severity}: {self.code}"
        if self.where:
            head += f"  {shown(self.where)}"
        lines = [f"{head}: {shown(self.message)}"]
        if self.found:
            lines.append(f"    found: {shown(self.found)}")
        if self.allowed:
            lines.append(f"    allowed: {shown(self.allowed)}")
        if self.help:
            lines.append(f"    help: {shown(self.help)}")
        if self.span is not None:
            lines.extend("    " + shown(line) for line in self.span.render().splitlines())
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON output."""
        data = asdict(self)
        data.pop("span")
        if self.span is not None:
            data["file"], data["line"], data["column"] = self.span.file, self.span.line, self.span.column
        return data


def shown(text: str) -> str:
    """A text fit for a terminal: names come from files, and may hold control characters, or a megabyte."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class Diagnostics:
    """A collection of diagnostics in the order found, without duplicates."""

    def __init__(self, items: Iterable[Diagnostic] = ()) -> None:
        self._items: dict[Diagnostic, None] = {}
        self.extend(items)

    def add(self, diagnostic: Diagnostic) -> None:
        """Record one diagnostic; an equal one recorded before is not repeated."""
        self._items.setdefault(diagnostic)

    def extend(self, items: Iterable[Diagnostic]) -> None:
        """Record several."""
        for item in items:
            self.add(item)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that fail the compilation."""
        return [d for d in self if d.severity is Severity.ERROR]

    def raise_errors(self, title: str = "") -> None:
        """Raise one `CompileError` holding everything collected, if any of it is an error."""
        if self.errors:
            raise CompileError(list(self), title)

    def render(self) -> str:
        """All diagnostics as text."""
        return "\n".join(d.render() for d in self)

    def to_json(self) -> str:
        """All diagnostics as a JSON list."""
        return json.dumps([d.as_dict() for d in self], indent=2)


class CompileError(Exception):
    """Raised for a user's mistake; carries every diagnostic, prints without a traceback in the commands."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic, title: str = "") -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = [diagnostics]
        self.diagnostics = list(diagnostics)
        self.title = title
        super().__init__(self.render())

    def render(self) -> str:
        """Title and all diagnostics as text."""
        lines = [shown(self.title)] if self.title else []
        lines.extend(d.render() for d in self.diagnostics[:MOST_SHOWN])
        if len(self.diagnostics) > MOST_SHOWN:
            lines.append(f"and {len(self.diagnostics) - MOST_SHOWN} more")
        return "\n".join(lines)


def fail(code: str, message: str, **details: str) -> CompileError:
    """Build the error for a single problem: `raise fail("H5-MISSING", …, where=path)`."""
    return CompileError(Diagnostic(code, message, **details))  # type: ignore[arg-type]
