"""The rules of legacy models, all faults at once, with what passes said that could not help.  Nothing is changed.

Preconditions: `apply-input-scaling`, `remove-training-ops`, the swaps and `fold-batchnorm` have run.  Contract: exact.
"""

from __future__ import annotations

from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.passes.legality import legacy
from cnn2snn_ir.passes.legality.check import RuleCheck
from cnn2snn_ir.passes.legality.rule import Rule


class CheckLegacy(RuleCheck):
    """Hold every op against the rules of models that the legacy API quantized."""

    name = "check-legacy"
    requires = Level.NN

    @property
    def rules(self) -> tuple[Rule, ...]:
        return legacy.RULES

    @property
    def subject(self) -> str:
        return "Akida 1"
