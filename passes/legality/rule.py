"""What a legality rule is: data, a predicate, a sentence, a source.

Diagnostics, documentation and tests derive from the same tables of rules, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.verify import place

Predicate = Callable[[Any], str]
"""What is wrong with an op, as a short phrase of what was found; empty if it obeys."""

CONVERTER = "block rules of cnn2snn 2.19.3 (Apache-2.0), restated"
GUIDE = "BrainChip user guide, Akida 2.0 hardware constraints"
PICO = "BrainChip user guide, Akida Pico constraints"
SANITIZER = "what QuantizeML 1.2.5 (Apache-2.0) rewrites for the hardware, restated"


class Rule(NamedTuple):
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
    rewrites: tuple[str, ...] = ()
    """The passes that make an op obey, where they can do so exactly."""

    def check(self, op: Op, why_not: Mapping[str, str] | None = None) -> Diagnostic | None:
        """The diagnostic for an op that breaks the rule; `why_not` is what passes said that left it alone."""
        if not isinstance(op, self.applies_to):
            return None
        found = self.predicate(op)
        if not found:
            return None
        remedy = "; ".join([self.help, *self.about_rewrites(op, why_not or {})])
        return Diagnostic(self.code, self.sentence, named(op), found, self.allowed, remedy, self.severity)

    def about_rewrites(self, op: Op, why_not: Mapping[str, str]) -> Iterator[str]:
        """Why the rewrites cannot help; else which they are."""
        reasons = {
            f"{rewrite} cannot here: {why_not[key]}"
            for inner in op.walk()
            for rewrite in self.rewrites
            if (key := f"{rewrite} on {place(inner)}") in why_not
        }
        if reasons:
            yield from sorted(reasons)
        elif self.rewrites:
            yield f"{' and '.join(self.rewrites)} can do it where that is exact"


def unless(legal: bool, found: str) -> str:
    """What was found, if it is not legal."""
    return "" if legal else found


def named(op: Op) -> str:
    """The op by its source layer and class, as the user knows it."""
    sources = layers(op.loc)
    return str(sources[0]) if sources else place(op)
