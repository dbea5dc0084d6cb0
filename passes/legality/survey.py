"""Every reason at once: what a pipeline would say if no error stopped it.

A conversion stops at the first check that fails, because the passes behind it need a legal model.  A survey goes on
through fusion all the same and collects what the later checks find, as long as the passes can make sense of the model.
"""

from __future__ import annotations

from collections.abc import Container

from cnn2snn_ir.diagnostics import CompileError, Diagnostics
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.instruments import PassFaultError
from cnn2snn_ir.passes.legality.akida2_predicates import CONVOLUTIONS
from cnn2snn_ir.passes.legality.check import TABLES, CheckLegality, illegalities
from cnn2snn_ir.passes.manager import PassCrashError, PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.versions import AkidaVersion


def survey(module: Module, pipeline: Pipeline) -> Diagnostics:
    """What `pipeline` finds wrong with `module`, which it changes; without errors the module is converted."""
    context = PassContext()
    found = Diagnostics()
    checks = [i for i, item in enumerate(pipeline.items) if isinstance(item, CheckLegality)]
    for index, item in enumerate(pipeline.items):
        if found.errors and index > max(checks, default=-1):
            break  # what follows needs a legal model
        if isinstance(item, CheckLegality):
            found.extend(illegalities(module, TABLES[item.target]))
        elif not proceed(item, module, context, found):
            break
    found.extend(context.diagnostics)
    return found


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


def survey_part(module: Module, target: AkidaVersion, guessed: Container[Op]) -> Diagnostics:
    """What can be said of a model that could be imported only in part: rules on single layers.

    `guessed` are ops whose inputs have a shape that nobody knows; of those, only a kernel can be judged.
    """
    ends = (builtin.Module, builtin.Input, builtin.Return)
    rules = tuple(rule for rule in TABLES[target] if not rule.once_fused)
    certain = (op for op in module.body if not isinstance(op, ends))
    judged = (op for op in certain if op not in guessed or isinstance(op, CONVOLUTIONS))
    return Diagnostics(diagnostic for op in judged for diagnostic in illegalities(op, rules))
