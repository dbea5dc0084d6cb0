"""What legalizations share: rules that tell the user what they did to which layer.

`convert` and `cnn2snn convert` show these sentences, because the program has other layers than the model:

    note: square-kernels made the 3x5 kernel of conv2 5x5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from cnn2snn_ir.analysis.ranges import RangesOnDemand
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Layer, Op, Value
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rewrite, rule
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import PassContext, RewritePass
from cnn2snn_ir.passes.legality.rule import named

LEGALIZED = "LEGALIZED"
"""The code of the remarks."""

INSERTED = "inserted"
"""The class of layers that the model does not have."""


@dataclass
class Legalizer(Rewriter):
    """A rewriter that remembers what was done, as a sentence without its subject."""

    done: list[tuple[str, str]] = field(default_factory=list)
    ranges: RangesOnDemand = field(default_factory=RangesOnDemand)

    def tell(self, op: Op, what: str) -> None:
        """Record what is about to be done to the layer of `op`; `{}` in `what` is that layer's name."""
        self.done.append((named(op), what.format(layer_name(op))))


def legalization(
    roots: type[Op] | tuple[type[Op], ...], algebra: str
) -> Callable[[Callable[[Any, Legalizer], bool]], Rule]:
    """Like `rule`, for rules that tell what they do."""

    def make(function: Callable[[Any, Legalizer], bool]) -> Rule:
        return rule(roots, algebra)(telling(function))

    return make


def telling(function: Callable[[Any, Legalizer], bool]) -> Callable[[Any, Rewriter], bool]:
    """The function as rules have it."""

    @wraps(function)
    def apply(op: Any, rewriter: Rewriter) -> bool:
        assert isinstance(rewriter, Legalizer)
        return function(op, rewriter)

    return apply


@dataclass(frozen=True)
class Legalization(RewritePass):
    """A rewrite pass at the level `qnn` whose rules tell what they do."""

    requires = Level.QNN
    ensures = Level.QNN

    def run(self, op: Op, context: PassContext) -> bool:
        rewriter = Legalizer()
        changed = [rewrite(graph, self.rules(), rewriter) for graph in op.regions]
        for (_, missed), reason in rewriter.missed.items():
            if missed.graph is not None:
                context.why_not[f"{self.name} on {place(missed)}"] = reason  # as legality rules look it up
        rewriter.missed.clear()
        context.absorb(self.name, rewriter)
        for where, what in rewriter.done:
            context.diagnostics.add(Diagnostic(LEGALIZED, f"{self.name} {what}", where, severity=Severity.REMARK))
        return any(changed)


def layer_name(op: Op) -> str:
    """What the user calls the layer of `op`, or the next best name."""
    sources = layers(op.loc)
    names = (r.name for r in op.results if r.name)
    return sources[0].name if sources else next(names, op.op_name)


def inserted(op: Op, suffix: str) -> Layer:
    """The location of a layer that the model does not have; `op` is why it is there."""
    return Layer(f"{layer_name(op)}_{suffix}", INSERTED)


def again(op: Op, x: Value, anchor: Op, rewriter: Rewriter) -> Value:
    """The result of a copy of `op` that reads `x`, of whatever size, inserted before `anchor`."""
    copy = op.clone({op.operands[0]: x})
    (copy.results[0].type,) = copy.infer()
    copy.results[0].name = None
    copy.annotations.clear()
    return rewriter.insert_before(anchor, copy).results[0]
