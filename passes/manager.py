"""Runs pipelines.  Everything else that happens around a pass is an instrument.

PassManager(parse_pipeline("canonicalize"), [VerifyEach()]).run(module)
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level, verify_level
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.passes.instruments.verifying import VerifyEach
from cnn2snn_ir.passes.pipeline import Pipeline


class PassCrashError(Exception):
    """A pass raised what no pass may raise: a bug of the compiler, with the pass and the op it worked on."""

    def __init__(self, run: PassRun, cause: BaseException) -> None:
        self.pass_name = run.pass_.name
        self.where = place(culprit(cause) or run.op)
        self.reproducer = run.reproducer
        super().__init__(f"{run.pass_.name} on {self.where}: {type(cause).__name__}: {cause}")


class PassManager:
    """A pipeline with its instruments.  Without any given, the IR is verified after every pass."""

    def __init__(self, pipeline: Pipeline, instruments: Sequence[Instrument] | None = None) -> None:
        self.pipeline = pipeline
        self.instruments = [VerifyEach()] if instruments is None else list(instruments)

    def run(self, module: Module, context: PassContext | None = None) -> bool:
        """Run everything on `module`, in place; True if a pass changed something.

        Raises `CompileError` for a user's problem, `PassFaultError` when an instrument catches a pass breaking its
        promises, and `PassCrashError` when a pass raises anything else.
        """
        context = context or PassContext()
        self._count = 0
        try:
            return self._run_pipeline(self.pipeline, module, module, context)
        finally:
            for instrument in self.instruments:
                instrument.finish(context)

    def _run_pipeline(self, pipeline: Pipeline, op: Op, module: Module, context: PassContext) -> bool:
        changed = False
        for item in pipeline.items:
            if isinstance(item, Pass):
                changed |= self._run_pass(item, op, module, context)
            else:
                for nested in [o for o in op.walk() if o is not op and o.op_name == item.anchor]:
                    if nested.graph is not None:  # not erased by an earlier run
                        changed |= self._run_pipeline(item, nested, module, context)
        return changed

    def _run_pass(self, pass_: Pass, op: Op, module: Module, context: PassContext) -> bool:
        run = PassRun(self._count, pass_, op, module, context)
        self._count += 1
        try:
            enter(pass_.requires, run, CompileError)
            for instrument in self.instruments:
                instrument.before_pass(run)
            run.changed = pass_.run(op, context)
            enter(pass_.ensures, run, PassFaultError)
            context.diagnostics.raise_errors()  # a pass may collect instead of raising
            for instrument in reversed(self.instruments):
                instrument.after_pass(run)
        except Exception as error:
            for instrument in self.instruments:
                instrument.on_failure(run, error)
            if isinstance(error, PassFaultError):
                error.reproducer = run.reproducer
            if isinstance(error, CompileError):
                raise
            raise PassCrashError(run, error) from error
        return run.changed


def enter(level: Level | None, run: PassRun, error: type[CompileError]) -> None:
    """Check the level that a pass requires or ensures; raises `error` with every op that is left over."""
    found = [] if level is None else list(verify_level(run.module, level))
    if found:
        raise error(found, f"{run} needs a module at the level {level}" if error is CompileError else f"after {run}")


def culprit(error: BaseException) -> Op | None:
    """The op that a crashed pass worked on: the innermost local variable `op` of the traceback."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        candidate = trace.tb_frame.f_locals.get("op")
        if isinstance(candidate, Op) and not isinstance(candidate, Module):
            found = candidate
        trace = trace.tb_next
    return found
