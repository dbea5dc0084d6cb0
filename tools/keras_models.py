"""Keras models for commands: loaded and saved without TensorFlow's messages, written whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.files import atomic_write, read_bytes


def load(path: Path) -> Any:
    """A Keras model, float or with quantized layers, not compiled; raises `CompileError` if it cannot be loaded."""
    with quiet():
        from cnn2snn_ir.keras.objects import load_quantized_model

        return load_quantized_model(path, compile_model=False)


def save(model: Any, path: Path) -> None:
    """Write a Keras model; raises `CompileError` if the file cannot be written."""
    if path.suffix not in (".h5", ".keras"):
        raise fail(
            "FILE-FORMAT",
            "models are saved in the formats of Keras",
            where=str(path),
            found=path.suffix or "no suffix",
            allowed=".h5, .keras",
        )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{path.suffix}"
        with quiet():
            model.save(copy)
        atomic_write(path, read_bytes(copy))


def deprecate(command: str, replacement: str) -> None:
    """Say on standard error that a command of the legacy API has a replacement."""
    print(f"note: `cnn2snn {command}` is deprecated; use {replacement}", file=sys.stderr)


@contextmanager
def quiet() -> Iterator[None]:
    """Throw away what is written to the file descriptor of standard error.

    TensorFlow greets everybody there from C++, before any setting of its own silences it.  Errors are exceptions.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
