"""Reads a module from whatever file a command was given: IR text, a program, a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.files import as_text, read_text

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module

PROGRAM_SUFFIX = ".fbz"
MODEL_SUFFIXES = (".h5", ".hdf5", ".keras", ".onnx")
SEPARATOR = "// -----"
"""A line that is nothing else parts the inputs of one file."""


@dataclass(frozen=True)
class Source:
    """One module to be read: IR text, or a file of another kind (then `text` is None)."""

    file: str
    text: str | None = None
    weights_file: Path | None = None

    def load(self) -> Module:
        """The module; raises `CompileError` with everything wrong with it."""
        if self.text is not None:
            return self._parse(self.text)
        if self.file.endswith(PROGRAM_SUFFIX):
            from cnn2snn_ir.backends.program import read_program

            return read_program(self.file)
        from cnn2snn_ir.frontends import load_model

        return load_model(self.file)

    def _parse(self, text: str) -> Module:
        from cnn2snn_ir.text import parse_module, read_weights, weights_beside

        sidecar = self.weights_file or weights_beside(Path(self.file))
        return parse_module(text, self.file, read_weights(sidecar) if sidecar else None)


def sources(file: str, weights_file: Path | None = None, split: bool = False) -> list[Source]:
    """The module of `file` (`-` is standard input), or with `split` all that separators part."""
    if file.lower().endswith((PROGRAM_SUFFIX, *MODEL_SUFFIXES)):
        if not Path(file).is_file():
            raise fail("FILE-MISSING", "there is no such file", where=file)
        return [Source(file)]
    text = read_standard_input() if file == "-" else read_text(file)
    name = "<stdin>" if file == "-" else file
    return [Source(name, part, weights_file) for part in (split_text(text) if split else [text])]


def read_standard_input() -> str:
    """All of it, UTF-8 whatever the locale."""
    stream = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if stream is None else as_text(stream.read(), "<stdin>")  # a StringIO has no bytes


def split_text(text: str) -> Iterator[str]:
    """The parts between separators, each preceded by empty lines so that its line numbers are the file's."""
    part: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.rstrip() == SEPARATOR:
            yield "\n".join(part) + "\n"
            part = [""] * number
        else:
            part.append(line)
    yield "\n".join(part) + "\n"
