"""Legality: every rule on every op, all faults at once.

Run before fusion it judges single ops; run after it, blocks and whatever no block took.  Nothing is changed.

Preconditions: none.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Pass, PassContext, option
from cnn2snn_ir.passes.legality.rule import Rule
from cnn2snn_ir.versions import AkidaVersion


def rules_of(target: AkidaVersion) -> tuple[Rule, ...]:
    """The table of a generation; only that one is imported."""
    module = import_module(f"cnn2snn_ir.passes.legality.akida{str(target)[1:]}")
    rules: tuple[Rule, ...] = module.RULES
    return rules


def illegalities(op: Op, rules: tuple[Rule, ...], why_not: Mapping[str, str] | None = None) -> Iterator[Diagnostic]:
    """Every rule that `op` or an op nested in it breaks; `why_not` is what passes said that did not help."""
    fused = any(isinstance(inner, qnn.Block) for inner in op.walk())
    rules = tuple(rule for rule in rules if fused or not rule.once_fused)
    for inner in op.walk():
        for rule in rules:
            diagnostic = rule.check(inner, why_not)
            if diagnostic is not None:
                yield diagnostic


@dataclass(frozen=True)
class RuleCheck(Pass):
    """A pass that holds every op against a table of rules."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The table."""
        raise TypeError(f"{self.name} has no rules")

    @property
    def subject(self) -> str:
        """What an illegal model is not legal for."""
        raise TypeError(f"{self.name} does not say what it checks")

    def run(self, op: Op, context: PassContext) -> bool:
        found = Diagnostics(illegalities(op, self.rules, context.why_not))
        found.raise_errors(f"the model is not legal for {self.subject}")
        context.diagnostics.extend(found)
        return False


@dataclass(frozen=True)
class CheckLegality(RuleCheck):
    """Hold every op against the rules of the target."""

    name = "check-legality"

    target: AkidaVersion = option(AkidaVersion.v2, "the generation whose rules apply")

    @property
    def rules(self) -> tuple[Rule, ...]:
        return rules_of(self.target)

    @property
    def subject(self) -> str:
        return f"Akida {str(self.target)[1:]}"
