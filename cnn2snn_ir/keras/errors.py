"""The error of this package, also caught by scripts that were written for the legacy API."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import CompileError, Diagnostic


class QuantizationError(CompileError, ValueError, RuntimeError, TypeError):
    """A user's mistake in building, quantizing or loading a Keras model.

    The legacy API raised one of the three built-in classes, each for some mistakes, so this is all of them.
    """


def refuse(code: str, message: str, **details: str) -> QuantizationError:
    """Build the error for a single problem: `raise refuse("QUANT-BITS", …, where=layer)`."""
    return QuantizationError(Diagnostic(code, message, **details))  # type: ignore[arg-type]
