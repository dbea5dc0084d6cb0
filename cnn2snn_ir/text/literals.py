"""The literals of the text form: numbers, words, lists, tensors, locations.  `parser.py` builds ops of them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
from lark import Token, Transformer, v_args

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, Span
from cnn2snn_ir.ir.fields import AttrValue
from cnn2snn_ir.ir.location import UNKNOWN, Fused, Layer, Location, Text
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import ElementType, TensorType

_ELEMENT = re.compile(r"(si|ui|f)[1-9][0-9]?\Z")
MAX_ELEMENTS = 1 << 25
"""A constant written as a single value for more elements than this is refused before it is allocated."""


class Word(str):
    """A bare word, whose meaning depends on the field it is given to."""

    __slots__ = ()


@v_args(inline=True)
class Literals(Transformer[Token, Any]):
    """One method a grammar rule; faults are collected, with the span of a token of the text."""

    def reset(self, text: str, file: str) -> None:
        """Begin a text."""
        self.text, self.file = text, file
        self.found = Diagnostics()

    def fault(self, code: str, message: str, token: Token, help: str = "") -> None:
        """Record a fault at a token."""
        span = Span(self.text, token.line or 1, token.column or 1, len(token), self.file)
        self.found.add(Diagnostic(code, message, where=f"{self.file}:{token.line}", help=help, span=span))

    # ---- attribute values -----------------------------------------------------------------------------------

    def number(self, token: Token) -> int | float:
        if token.type == "FLOAT":
            return float(token)
        if len(token) > 30:
            self.fault("PARSE-NUMBER", "the integer is too large", token)
            return 0
        return int(token)

    def word(self, token: Token) -> AttrValue:
        match str(token):
            case "true" | "false" as boolean:
                return boolean == "true"
            case "null":
                return None
            case element if _ELEMENT.match(element):
                try:
                    return ElementType.parse(element)
                except ValueError as error:
                    self.fault("PARSE-TYPE", str(error), token)
                    return None
            case word:
                return Word(word)

    def items(self, *items: Any) -> tuple[AttrValue, ...]:
        return tuple(unquote(i) if isinstance(i, Token) else plain(i) for i in items)

    # ---- tensors --------------------------------------------------------------------------------------------

    def tensor_name(self, token: Token) -> str:
        return unquote(token)

    def elements(self, *numbers: int | float) -> list[int | float]:
        return [*numbers]

    def tensor(self, name: str, header: Token, contents: Any) -> Tensor:
        element_text, _, dims = header[:-1].partition("[")
        scalar = Tensor.of(np.zeros((), np.int8), ElementType.parse("si8"), name)
        try:
            element = ElementType.parse(element_text)
            shape = tuple(int(d) for d in dims.split(",")) if dims.strip() else ()
        except ValueError:
            self.fault("PARSE-TENSOR", f"not the type of a tensor: {header}", header, "for example si8[3, 3, 1, 16]")
            return scalar
        if isinstance(contents, Token):
            return Tensor(name, TensorType(shape, element), None, contents.removeprefix("sha256:"))
        if math.prod(shape) > MAX_ELEMENTS:
            self.fault("PARSE-TENSOR", f"a tensor of {math.prod(shape)} elements is too large", header)
            return scalar
        try:
            dtype = np.float64 if element.is_float else None
            array = np.array(contents, dtype) if isinstance(contents, list) else np.full(shape, contents, dtype)
            if array.size == 0:
                array = array.astype(element.dtype)
            return Tensor.of(array.reshape(shape), element, name)
        except (ValueError, OverflowError):
            self.fault("PARSE-TENSOR", f"the values do not fit {header}", header)
            return scalar

    # ---- locations ------------------------------------------------------------------------------------------

    def position_of(self, token: Token) -> Text:
        return Text(self.file, token.line or 0, token.column or 0)

    def location(self, loc: Location) -> Location:
        return loc

    def unknown(self) -> Location:
        return UNKNOWN

    def layer(self, name: Token, kind: Token | None = None, index: Token | None = None) -> Layer:
        words = "" if kind is None else unquote(kind)
        return Layer(unquote(name), words, -1 if index is None else int(index[:12]))

    def position(self, file: Token, line: Token, column: Token) -> Text:
        return Text(unquote(file), int(line[:12]), int(column[:12]))

    def fused(self, *parts: Layer | Text) -> Location:
        return Fused(parts)


def plain(value: AttrValue) -> AttrValue:
    """A bare word that no field gave a meaning is a string."""
    return str.__str__(value) if isinstance(value, Word) else value


def unquote(token: str) -> str:
    """The text of a string literal, or the word itself."""
    if token.startswith('"'):
        try:
            return str(json.loads(token))
        except ValueError:
            return token[1:-1]
    return str(token)
