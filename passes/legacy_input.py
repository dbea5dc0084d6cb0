"""What a legacy model reads, as the caller says it."""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic, Severity, fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.passes.kinds import is_legacy


def as_scaling(given: object) -> tuple[float, float] | None:
    """Scale and shift of the integers `scale · real + shift`; raises `CompileError` for anything but two numbers."""
    if given is None:
        return None
    try:
        scale, shift = map(float, given)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        message = "the input scaling must be two numbers"
        raise fail("INPUT-SCALING", message, found=repr(given), allowed="(scale, shift)") from None
    return scale, shift


def ignored_scaling(module: Module, scaling: tuple[float, float] | None) -> Iterator[Diagnostic]:
    """A warning, if the scaling is for another kind of model."""
    if scaling is not None and not is_legacy(module):
        message = "the input scaling is ignored: the model says itself what its integers stand for"
        found, allowed = f"{scaling[0]:g}, {scaling[1]:g}", "models quantized by the legacy API"
        yield Diagnostic("INPUT-SCALING", message, module.sym_name, found, allowed, severity=Severity.WARNING)
