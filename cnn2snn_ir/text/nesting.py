"""How deep the brackets of a text nest: what reads or prints nested things is recursive: it must not meet thousands."""

from __future__ import annotations

import re

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Span

MAX_NESTING = 64
"""Levels; a module with blocks and lists in lists needs five."""

_PIECES = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|([\[{(])|([\])}])')


def check_nesting(text: str, file: str, code: str) -> None:
    """Raise `CompileError` with the code at the bracket that is one too deep; strings and comments do not count."""
    depth = 0
    for piece in _PIECES.finditer(text):
        depth += 1 if piece[1] else -1 if piece[2] else 0
        if depth > MAX_NESTING:
            start = piece.start()
            line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
            span = Span(text, line, column, 1, file)
            message = "brackets are nested too deeply"
            where = f"{file}:{line}"
            raise CompileError(Diagnostic(code, message, where=where, allowed=f"{MAX_NESTING} levels", span=span))
