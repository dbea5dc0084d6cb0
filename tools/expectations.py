"""`--verify-diagnostics`: the diagnostics of a run are those that comments in the input expect, and no others.

    // expected-error@+1 {{%y is not defined above}}
    %z = qnn.relu %y : tensor<?x4xsi8>

The place is a line relative to the comment (`@+1`, `@-2`, `@below`, `@above`, none for the same line), or
`@unknown` for a diagnostic without a line.  The text in braces is part of the diagnostic, its code included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, Severity, Span

_COMMENT = re.compile(r"//\s*expected-(error|warning|remark)\s*(@\S*?)?\s*\{\{(.*?)\}\}")
_OFFSETS = {"@below": 1, "@above": -1, None: 0, "": 0}
_RELATIVE = re.compile(r"@([+-]\d+)\Z")


@dataclass(frozen=True)
class Expectation:
    """A diagnostic that must come; `line` is None where it has none."""

    severity: Severity
    line: int | None
    text: str
    comment: Span

    def meets(self, diagnostic: Diagnostic, line: int | None) -> bool:
        """True if `diagnostic`, found at `line`, is the expected one."""
        head = f"{diagnostic.code} {diagnostic.where} {diagnostic.message} {diagnostic.found}"
        return diagnostic.severity is self.severity and line == self.line and self.text in head


def unmet(diagnostics: Iterable[Diagnostic], text: str, file: str) -> Diagnostics:
    """What differs between the diagnostics and the comments of `text`; empty if nothing does."""
    problems = Diagnostics()
    waiting = list(expectations(text, file, problems))
    for diagnostic in diagnostics:
        line = line_of(diagnostic, file)
        met = next((e for e in waiting if e.meets(diagnostic, line)), None)
        if met is not None:
            waiting.remove(met)
        else:
            problems.add(diagnostic)
    for expectation in waiting:
        message = f"this {expectation.severity} did not come"
        problems.add(Diagnostic("EXPECTED", message, where=file, allowed=expectation.text, span=expectation.comment))
    return problems


def expectations(text: str, file: str, problems: Diagnostics) -> Iterable[Expectation]:
    """The expectations in the comments of `text`."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in _COMMENT.finditer(line):
            span = Span(text, number, match.start() + 1, len(match[0]), file)
            place = match[2]
            relative = _RELATIVE.match(place or "")
            if relative or place in _OFFSETS:
                offset = int(relative[1]) if relative else _OFFSETS[place]
                yield Expectation(Severity(match[1]), number + offset, match[3], span)
            elif place == "@unknown":
                yield Expectation(Severity(match[1]), None, match[3], span)
            else:
                problems.add(Diagnostic("EXPECTED", f"no such place: {place}", where=file, span=span))


def line_of(diagnostic: Diagnostic, file: str) -> int | None:
    """The line of `file` that a diagnostic is about: of its caret, or of the op that it names."""
    if diagnostic.span is not None:
        return diagnostic.span.line
    match = re.search(rf"{re.escape(file)}:(\d+)(:\d+)?\Z", diagnostic.where)
    return int(match[1]) if match else None
