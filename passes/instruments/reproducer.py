"""Crash reproducers: a text with the IR before the failing pass, its weights, and the pipeline to replay."""

from __future__ import annotations

import platform
import re
import traceback
from pathlib import Path

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.files import atomic_write, read_text
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.text import FORMAT_VERSION, print_module
from cnn2snn_ir.version import TOOL

_PIPELINE = re.compile(r"^// pipeline: (.+)$", re.MULTILINE)


class Reproducer(Instrument):
    """Writes the reproducer to `path` when a pass fails through no fault of the user's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before: Module | None = None

    def before_pass(self, run: PassRun) -> None:
        self._before = run.module.clone()  # constants are shared: this costs microseconds an op

    def on_failure(self, run: PassRun, error: Exception) -> None:
        if self._before is None or (isinstance(error, CompileError) and not isinstance(error, PassFaultError)):
            return
        try:
            atomic_write(self.path, reproducer(self._before, run, error).encode())
        except CompileError:
            return  # the failure itself matters more; without a file, none is announced
        run.reproducer = self.path


def reproducer(before: Module, run: PassRun, error: Exception) -> str:
    """The text of a reproducer."""
    pipeline = Pipeline(MODULE, (_nested(run.op, run.pass_),))
    versions = f"{TOOL}, python {platform.python_version()}, numpy {np.__version__}"
    trace = "".join(traceback.format_exception(error)).splitlines()
    header = [f"// c2s {FORMAT_VERSION}", f"// {versions}", f"// pipeline: {pipeline}", "//"]
    header += [f"// {line}".rstrip() for line in trace]
    return "\n".join(header) + "\n" + print_module(before, generic=True, weights="inline", locations=True)


def read_reproducer(path: Path) -> tuple[str, str]:
    """The pipeline and the text of a reproducer; raises `CompileError` if it names no pipeline."""
    text = read_text(path)
    found = _PIPELINE.search(text)
    if found is None:
        raise fail("REPRODUCER", "this is not a reproducer: it has no line `// pipeline: …`", where=str(path))
    return found[1], text


def _nested(op: Op, pass_: Pass) -> Pass | Pipeline:
    """The pass inside the pipelines that lead to `op`."""
    item: Pass | Pipeline = pass_
    current: Op | None = op
    while current is not None and current.op_name != MODULE:
        item = Pipeline(current.op_name, (item,))
        current = current.graph.owner if current.graph is not None else None
    return item
