"""What an operator's importer raises where it cannot go on."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import Diagnostic


class UnsupportedNodeError(Exception):
    """Becomes a diagnostic that names the node; the import goes on behind it."""

    def __init__(self, message: str, *, found: str = "", allowed: str = "", help: str = "", code: str = "") -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code or "ONNX-NODE", message, found=found, allowed=allowed, help=help)


def require(fits: bool, message: str, *, found: object = "", allowed: str = "", help: str = "", code: str = "") -> None:
    """Raise the error unless `fits`."""
    if not fits:
        raise UnsupportedNodeError(message, found=str(found), allowed=allowed, help=help, code=code)
