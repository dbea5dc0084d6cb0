"""What a model reads: legacy models are given integers before anything else happens to them."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import Diagnostic, Severity, fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level, is_at
from cnn2snn_ir.passes.apply_input_scaling import ApplyInputScaling
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline


def is_legacy(module: Module) -> bool:
    """True for a module as imported from a legacy model: nothing in it is an integer op yet."""
    return is_at(module, Level.NN)


def scale_input(module: Module, scaling: tuple[float, float] | None, context: PassContext) -> None:
    """Let a legacy model read integers, by its Rescaling layer or by `scaling`; others have quantizers for that.

    `scaling` is (scale, shift) of the integers `scale · real + shift`.  Raises `CompileError` if it makes no sense.
    """
    given = None if scaling is None else as_pair(scaling, module)
    if is_legacy(module):
        scale, shift = given or (None, None)
        PassManager(Pipeline(MODULE, (ApplyInputScaling(scale, shift),))).run(module, context)
    elif given is not None:
        message = "the input scaling is ignored: the model says itself what its integers stand for"
        found, allowed = f"{given[0]:g}, {given[1]:g}", "models quantized by the legacy API"
        context.diagnostics.add(
            Diagnostic("INPUT-SCALING", message, module.sym_name, found, allowed, severity=Severity.WARNING)
        )


def as_pair(scaling: object, module: Module) -> tuple[float, float]:
    """Two floats; raises `CompileError` for anything but two numbers."""
    try:
        scale, shift = map(float, scaling)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        message = "the input scaling must be two numbers"
        raise fail(
            "INPUT-SCALING", message, where=module.sym_name, found=repr(scaling), allowed="(scale, shift)"
        ) from None
    return scale, shift
