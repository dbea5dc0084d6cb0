"""What an instrument is: an object told before and after every pass, and when one fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Pass, PassContext


class PassFaultError(CompileError):
    """A pass broke a promise (valid IR, its contract, its claims): the compiler's fault, not the user's."""

    reproducer: Path | None = None


@dataclass
class PassRun:
    """One run of one pass: the `index`-th of the pipeline, on `op` in `module`."""

    index: int
    pass_: Pass
    op: Op
    module: Module
    context: PassContext
    changed: bool = False
    """What the pass says; true only after it."""
    reproducer: Path | None = None
    """Where the reproducer is, after a failure."""

    def __str__(self) -> str:
        name = next((f" %{r.name}" for r in self.op.results if r.name), "")
        return f"{self.pass_.name} on {self.op.op_name}{name}"


class Instrument:
    """Base of all instruments; does nothing.

    Instruments hear of the beginning of a pass in their order and of its end in the reverse order, so the last
    is nearest to the pass: put a clock there.
    """

    def before_pass(self, run: PassRun) -> None:
        """The pass is about to run."""

    def after_pass(self, run: PassRun) -> None:
        """The pass has run.  Raise `PassFaultError` to stop the pipeline."""

    def on_failure(self, run: PassRun, error: Exception) -> None:
        """The pass, or an instrument, raised `error`."""

    def finish(self, context: PassContext) -> None:
        """The pipeline has ended, well or not."""
