"""Lark's syntax errors as diagnostics: a caret, and what was expected in words.  Serves every grammar."""

from __future__ import annotations

from lark import Token, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from cnn2snn_ir.diagnostics import Diagnostic, Span

WORDS = {
    "VALUE": "a value such as %conv_0",
    "SYMBOL": "a name such as @model",
    "OP_NAME": "an op such as qnn.conv2d",
    "QUOTED_OP": 'an op such as "qnn.conv2d"',
    "TYPE": "a type such as tensor<?x10xsi8>",
    "ELEMENTS": "a tensor type such as si8[3, 3, 1, 16]",
    "DIGEST": "a hash such as sha256:0123456789abcdef",
    "TENSOR_NAME": "a tensor's name",
    "NAME": "a word",
    "STRING": "a quoted string",
    "INT": "an integer",
    "FLOAT": "a number",
    "$END": "the end of the text",
}
"""Terminals in words; literal terminals are shown as they are written."""

LITERALS = {
    "LBRACE": "{",
    "RBRACE": "}",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "LESSTHAN": "<",
    "MORETHAN": ">",
    "EQUAL": "=",
    "COLON": ":",
    "COMMA": ",",
    "HASH": "#",
}


def in_words(terminal: str) -> str:
    """What a terminal stands for."""
    if terminal in WORDS:
        return WORDS[terminal]
    return f"'{LITERALS.get(terminal, terminal.lower())}'"


def syntax_error(error: UnexpectedInput, text: str, file: str, code: str = "PARSE-SYNTAX") -> Diagnostic:
    """The diagnostic for text that the grammar does not allow."""
    line, column, length, found = error.line, error.column, 1, ""
    expected: set[str] = set()
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        token = error.token
        at_end = isinstance(token, Token) and token.type == "$END"
        found = "the end of the text" if at_end else f"'{token}'"
        length = 1 if at_end else len(token)
    elif isinstance(error, UnexpectedCharacters):
        expected = error.allowed
        found = f"'{text[error.pos_in_stream or 0]}'"
    elif isinstance(error, UnexpectedEOF):
        expected, found = set(error.expected), "the end of the text"
    if line < 1:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    words = sorted({in_words(t) for t in expected if not t.startswith("__")})
    return Diagnostic(
        code,
        f"unexpected {found}",
        where=f"{file}:{line}",
        allowed=", ".join(words[:8]) + (", …" if len(words) > 8 else ""),
        span=Span(text, line, column, length, file),
    )
