"""Every reason at once: what a pipeline would say if no error stopped it.

A conversion stops at the first check that fails, because the passes behind it need a legal model.  A survey goes on
through fusion all the same and collects what the later checks find, as long as the passes can make sense of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.instruments import PassFaultError
from cnn2snn_ir.passes.legality.akida2_predicates import CONVOLUTIONS
from cnn2snn_ir.passes.legality.check import RuleCheck, illegalities
from cnn2snn_ir.passes.legality.rule import Rule
from cnn2snn_ir.passes.manager import PassCrashError, PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline


def survey(module: Module, pipeline: Pipeline) -> Diagnostics:
    """What `pipeline` finds wrong with `module`, which it changes; without errors the module is converted."""
    context = PassContext()
    found = Diagnostics()
    checked = len(through_last_check(pipeline))
    for index, item in enumerate(pipeline.items):
        if found.errors and index >= checked:
            break  # what follows needs a legal model
        if isinstance(item, RuleCheck):
            found.extend(illegalities(module, item.rules, context.why_not))
        elif not proceed(item, module, context, found):
            break
    found.extend(context.diagnostics)
    return without_consequences(found)


CONSEQUENCES = ("AK1-LEFT", "AK1-ACT-04", "AK1-MAP-08")
"""Rules on blocks of Akida 1, which are formed only of legal layers: behind another error they say nothing new."""


def without_consequences(found: Diagnostics) -> Diagnostics:
    """The diagnostics without those that others explain."""
    causes = [d for d in found.errors if not d.code.startswith(CONSEQUENCES)]
    return Diagnostics(d for d in found if not causes or not d.code.startswith(CONSEQUENCES))


def add_new(found: Diagnostics, more: Iterable[Diagnostic]) -> None:
    """Record what no earlier check has found; its advice may have got longer since."""
    known = {(d.code, d.where, d.found) for d in found}
    found.extend(d for d in more if (d.code, d.where, d.found) not in known)


def proceed(item: Pass | Pipeline, module: Module, context: PassContext, found: Diagnostics) -> bool:
    """Run one pass; False if the survey ends here, because the model does not let it do its work."""
    try:
        PassManager(Pipeline(MODULE, (item,))).run(module, context)
    except (PassFaultError, PassCrashError):
        if not found.errors:
            raise  # a bug of the compiler
        return False  # passes owe nothing to an illegal model
    except CompileError as error:
        found.extend(error.diagnostics)
        return False
    return True


# ---- models with holes ----------------------------------------------------------------------------------------------

FIRST_LAYER = ("AK1-PAD", "AK1-MAP-08", "AK1-MAP-09", "AK2-INPUT", "AK2-PAD")
"""Rules on a first layer; behind a hole nobody knows whether a layer is one."""


@dataclass(frozen=True)
class Holes:
    """What is uncertain in a module whose frontend had to leave layers out.

    Its inputs other than the real one stand in for layers; it returns every value that nothing reads.
    """

    broken: frozenset[str] = frozenset()
    """Layers that are not there, or only in part."""
    guessed: frozenset[str] = frozenset()
    """Layers that read a value of unknown shape; only their kernels can be judged."""


def survey_part(module: Module, pipeline: Pipeline, holes: Holes) -> Diagnostics:
    """What can be said for certain of a module with holes, which it changes."""
    found = Diagnostics()
    context = PassContext()
    for item in through_last_check(pipeline):
        if isinstance(item, RuleCheck):
            add_new(found, certain(module, item.rules, holes, context.why_not))
        else:
            try:
                PassManager(Pipeline(MODULE, (item,)), []).run(module, context)
            except (CompileError, PassCrashError):
                break  # passes owe nothing to such a module
    return found


def through_last_check(pipeline: Pipeline) -> tuple[Pass | Pipeline, ...]:
    """The pipeline up to what needs a legal model."""
    last = max((i for i, item in enumerate(pipeline.items) if isinstance(item, RuleCheck)), default=-1)
    return pipeline.items[: last + 1]


def certain(module: Module, rules: tuple[Rule, ...], holes: Holes, why_not: Mapping[str, str]) -> Iterator[Diagnostic]:
    """The rules broken by ops of which all that a rule may look at is there."""
    rules = tuple(rule for rule in rules if not rule.once_fused)
    cut = set(module.outputs)
    for op in module.body:
        names = {layer.name for layer in layers(op.loc)}
        if isinstance(op, builtin.Input | builtin.Return) or (
            names & holes.guessed and not isinstance(op, CONVOLUTIONS)
        ):
            continue
        if isinstance(op, qnn.Block) and (names & holes.broken or op.result in cut):
            continue  # the rest of the block may be what is missing
        for diagnostic in illegalities(op, rules, why_not):
            if not diagnostic.code.startswith(FIRST_LAYER):
                yield diagnostic
