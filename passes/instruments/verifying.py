"""Instruments that check after every pass what every pass promises."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import CompileError, Diagnostic
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun


class VerifyEach(Instrument):
    """The IR is valid after every pass that changed it.  `CheckChanged` holds passes to what they say of that."""

    def after_pass(self, run: PassRun) -> None:
        if run.changed and (errors := verify(run.module).errors):
            raise PassFaultError(errors, f"the IR is invalid after {run}")


class CheckChanged(Instrument):
    """A pass that says it changed nothing did not."""

    def before_pass(self, run: PassRun) -> None:
        self._before = _generic_text(run)

    def after_pass(self, run: PassRun) -> None:
        if not run.changed and _generic_text(run) != self._before:
            raise PassFaultError(
                Diagnostic("PASS-CLAIM", "the pass changed the IR and says it did not", where=str(run))
            )


class VerifyRoundTrip(Instrument):
    """What is printed after a pass reads back as the same IR, in both forms."""

    def after_pass(self, run: PassRun) -> None:
        from cnn2snn_ir.text import parse_module, print_module

        for generic in (False, True):
            text = print_module(run.module, generic=generic, locations=True)
            form = "generic" if generic else "custom"
            try:
                again = print_module(parse_module(text), generic=generic, locations=True)
            except CompileError as error:
                raise PassFaultError(error.diagnostics, f"the {form} form after {run} does not parse") from error
            if again != text:
                raise PassFaultError(_first_difference(text, again, f"{form} form after {run}"))


def _generic_text(run: PassRun) -> str:
    from cnn2snn_ir.text import print_module  # an ordinary conversion prints nothing

    return print_module(run.module, generic=True)


def _first_difference(text: str, again: str, where: str) -> Diagnostic:
    pairs = zip([*text.splitlines(), ""], [*again.splitlines(), ""], strict=False)
    old, new = next(((a, b) for a, b in pairs if a != b), ("", ""))
    return Diagnostic("PASS-ROUNDTRIP", "printed, parsed and printed again is different", where, found=new, allowed=old)
