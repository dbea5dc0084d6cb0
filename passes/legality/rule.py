"""What a legality rule is: data, a predicate, a sentence, a source.

Diagnostics, documentation and tests derive from the same tables of rules, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.verify import place

Predicate = Callable[[Any], str]
"""What is wrong with an op, as a short phrase of what was found; empty if it obeys."""

CONVERTER = "block rules of cnn2snn 2.19.3 (Apache-2.0), restated"
GUIDE = "BrainChip user guide, Akida 2.0 hardware constraints"


@dataclass(frozen=True)
class Rule:
    """One rule about ops of the given classes.

    `sentence` states the rule, `allowed` the values it allows, `help` what a user can do; a rule of severity
    warning keeps a model off the chip but not out of the simulator.
    """

    code: str
    sentence: str
    allowed: str
    help: str
    source: str
    applies_to: tuple[type[Op], ...]
    predicate: Predicate
    severity: Severity = Severity.ERROR
    once_fused: bool = False
    """True for a rule that makes sense only once blocks have been formed."""

    def check(self, op: Op) -> Diagnostic | None:
        """The diagnostic for an op that breaks the rule."""
        if not isinstance(op, self.applies_to):
            return None
        found = self.predicate(op)
        if not found:
            return None
        return Diagnostic(self.code, self.sentence, named(op), found, self.allowed, self.help, self.severity)


def named(op: Op) -> str:
    """The op by its source layer and class, as the user knows it."""
    sources = layers(op.loc)
    return str(sources[0]) if sources else place(op)
