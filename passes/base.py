"""What a pass is: a frozen dataclass whose fields are its options.

    @dataclass(frozen=True)
    class FuseBlocks(Pass):
        '''Group the ops that one hardware layer computes together.'''

        name = "fuse-blocks"
        contract = EXACT

        target: AkidaVersion = option(AkidaVersion.V2, "the generation to build blocks for")

        def run(self, op: Op, context: PassContext) -> bool: ...

A pass without options needs no decorator of its own: it inherits that of `Pass`, and a start is a little faster.

The claims of a pass (its contract, whether it changed anything) are checked by instruments, not believed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy.typing as npt

from cnn2snn_ir.diagnostics import Diagnostics, fail
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rewriter, Rule, rewrite
from cnn2snn_ir.ir.verify import place

Array = npt.NDArray[Any]


class Contract(NamedTuple):
    """How far results may move: `exact`, so many steps of the last bit, so far in proportion, or as the pass states."""

    max_lsb: float = 0
    """Steps of an integer; of a float, the real distance of two of the integers that it was made of."""
    stated: bool = False
    """Each op's `OFF_BY`, one number a channel, bounds what its result moves by when its operands do not move."""
    relative: float = 0
    """Of reals, as a part of the largest magnitude in the tensor."""
    ties: bool = False
    """A real next to the boundary of two integers may become either: one step, in few elements; ops are seen apart."""
    lossy: bool = False
    """Nothing is promised: the pass is there to approximate, and what it costs is measured."""

    @property
    def by_op(self) -> bool:
        """True if each op is held to the contract on what it read before, so that what one may do is no other's."""
        return self.stated or self.ties

    def __str__(self) -> str:
        if self.lossy:
            return "lossy"
        if self.stated:
            return "as stated"
        parts = [f"max-lsb({self.max_lsb:g})"] if self.max_lsb else []
        parts += [f"relative({self.relative:g})"] if self.relative else []
        parts += ["ties"] if self.ties else []
        return ", ".join(parts) or "exact"


OFF_BY = "off_by"
"""The annotation with which ops state how far they may be off, one number a channel."""

RATE = "rate"
"""The annotation that says what the real numbers of a value were multiplied by, one factor a channel or one for all."""

EXACT = Contract()
REAL = Contract(relative=1e-6)
"""For rewrites that are exact in real numbers: float64 may round on other ways to the same result."""
STATED = Contract(stated=True)
LOSSY = Contract(lossy=True)


def option(default: Any, help: str) -> Any:
    """A pass option with its default and a phrase for `--list-passes`."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass
class PassContext:
    """What passes share: diagnostics, counters, and why rules did not fire."""

    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    statistics: Counter[str] = field(default_factory=Counter)
    why_not: dict[str, str] = field(default_factory=dict)
    """`rule on %op` ▶ the reason."""
    samples: Array | None = None
    """Typical inputs of the model, a batch, where choices are weighed by what occurs."""

    def __post_init__(self) -> None:
        if self.samples is not None and not len(self.samples):
            raise fail("SAMPLES-EMPTY", "there are no samples to choose by", help="give some, or none at all")

    def absorb(self, pass_name: str, rewriter: Rewriter) -> None:
        """Take over the counts and reasons of a rewriter."""
        for rule, count in rewriter.hits.items():
            self.statistics[f"{pass_name}: {rule}"] += count
        for (rule, op), reason in rewriter.missed.items():
            if op.graph is not None:
                self.why_not[f"{rule} on {place(op)}"] = reason


@dataclass(frozen=True)
class Pass:
    """Base of all passes.  `run` edits `op` (the module, or a nested op the pipeline names)."""

    name: ClassVar[str]
    contract: ClassVar[Contract] = EXACT
    anchors: ClassVar[tuple[str, ...]] = ("builtin.module",)
    """The ops it may run on, by name."""
    requires: ClassVar[Level | None] = None
    ensures: ClassVar[Level | None] = None
    """The levels that the module is at before and after the pass; checked by the manager."""
    changes_inputs: ClassVar[bool] = False
    """True if the module reads something else after the pass; see `inputs_before`."""

    def run(self, op: Op, context: PassContext) -> bool:
        """Do it; True if anything changed.  Raises `CompileError` for a user's problem."""
        raise TypeError(f"{self.name} does not say what it does")

    def inputs_before(self, inputs: Array) -> Array:
        """What the module would have read before the pass, for what it reads now; for passes that change inputs."""
        raise TypeError(f"{self.name} does not say what the module read before it")


@dataclass(frozen=True)
class RewritePass(Pass):
    """A pass that applies rules to the ops of a graph until none fires."""

    def rules(self) -> Sequence[Rule]:
        """The rules, in the order in which they are tried on an op."""
        raise TypeError(f"{self.name} has no rules")

    def run(self, op: Op, context: PassContext) -> bool:
        rewriter = Rewriter()
        changed = [rewrite(graph, self.rules(), rewriter) for graph in op.regions]
        context.absorb(self.name, rewriter)
        return any(changed)
