"""Keras 3 must be installed: one clear error if it is not."""

from __future__ import annotations

import os

from cnn2snn_ir.diagnostics import CompileError, Diagnostic

INSTALL = "pip install 'cnn2snn-ir[keras]'"


class MissingLibraryError(CompileError, ImportError):
    """An optional library is not installed; an `ImportError` too, so that `try: import` works as ever."""


def require_keras() -> None:
    """Raise `MissingLibraryError` unless Keras 3 and its backend can be imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets everybody on standard error
    try:
        import keras
    except ImportError as error:
        raise missing(str(error)) from None
    version = getattr(keras, "__version__", "without a version")  # a folder called keras can be imported too
    if not version[:1].isdigit() or int(version.partition(".")[0]) < 3:
        raise missing(f"keras {version}")


def missing(found: str) -> MissingLibraryError:
    """The error for a Keras that is absent or too old."""
    return MissingLibraryError(
        Diagnostic(
            "QUANT-LIBRARY",
            "the quantization API needs TensorFlow and Keras 3",
            found=found,
            allowed="keras 3 or newer, with TensorFlow",
            help=INSTALL,
        )
    )
