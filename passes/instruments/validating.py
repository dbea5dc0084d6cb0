"""Translation validation: run the module before and after every pass, and compare under the pass's contract."""

from __future__ import annotations

from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.passes.trial import Results, Trial


class ValidateEach(Instrument):
    """Compares the module before and after each pass on five adversarial and `count` random inputs."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.seed = seed
        self._trial: Trial | None = None
        self._known: Results | None = None
        self._module: Module | None = None
        self._original: Module | None = None

    def before_pass(self, run: PassRun) -> None:
        if self._module is not run.module:
            self._module, self._known = run.module, None
        if self._known is None:
            self._trial = Trial.of(run.module, self.count, seed=self.seed)
            self._known = self._trial.run(run.module)
        self._original = run.module.clone() if run.pass_.changes_inputs else None

    def after_pass(self, run: PassRun) -> None:
        assert self._trial is not None
        assert self._known is not None
        if run.changed and self._original is not None:
            self._trial, self._known = self._trial.anew(run.module, self._original, run.pass_)
        found = self._trial.again(run.module, self._known, run.pass_.contract)
        fault = next(self._trial.compare(self._known, found, run.pass_.contract, str(run)), None)
        if fault is not None:
            raise PassFaultError(fault, f"the results after {run} are not those before it")
        self._known = self._trial.run(run.module) if run.pass_.contract.by_op else found
