"""The trial of a whole conversion: the model as it was imported and the program that it became, on random inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.passes.base import EXACT, Contract
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.passes.trial import Results, Trial, other_shapes

WHOLE_ELEMENTS, MOST_SAMPLES = 1024, 16
"""Elements of an input in the trial of a conversion, one sample at least: small models get more for the same time."""


class WholeTrial(Instrument):
    """Compares a module with what a pipeline made of it, on random samples with random memories.

    All passes that promise to be exact are tried together.  Around one that does not the module is run too, so that
    the comparison holds that pass to what it does promise, and the others to equality.
    """

    def __init__(self, module: Module) -> None:
        size = max((math.prod(op.shape) for op in module.inputs), default=1)
        self._trial = Trial.of(module, min(max(WHOLE_ELEMENTS // size, 1), MOST_SAMPLES), adversarial=False)
        self._before = self._trial.run(module)
        self._original: Module | None = None
        self._untried = False
        """True if something changed since the last run."""

    def before_pass(self, run: PassRun) -> None:
        if run.pass_.contract != EXACT and self._untried:
            self.check(run.module, f"before {run}")
        self._original = run.module.clone() if run.pass_.changes_inputs else None

    def after_pass(self, run: PassRun) -> None:
        self._untried = self._untried or run.changed
        if not run.changed or run.pass_.contract == EXACT:
            return
        if self._original is not None:
            self._trial, self._before = self._trial.anew(run.module, self._original, run.pass_)
        self.check(run.module, str(run), run.pass_.contract)

    def check(self, module: Module, where: str, contract: Contract = EXACT) -> None:
        """Raise `PassFaultError` with every difference to the last module that was run, which this one replaces."""
        after = self._trial.again(module, self._before, contract)
        if faults := list(self._differences(after, where, contract)):
            raise PassFaultError(faults, "the program does not compute what the model does: a bug of the compiler")
        self._before = self._trial.run(module) if contract.by_op else after
        self._untried = False

    def faults(self, module: Module, where: str, contract: Contract = EXACT) -> Iterator[Diagnostic]:
        """Every difference between the results of a module and those of the last one, that the contract forbids."""
        return self._differences(self._trial.again(module, self._before, contract), where, contract)

    def _differences(self, after: Results, where: str, contract: Contract) -> Iterator[Diagnostic]:
        yield from self._trial.compare(self._before, after, contract, where)
        yield from other_shapes(self._before, after, where)
