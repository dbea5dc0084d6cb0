"""Pipelines: what to run in which order.

    Pipeline("builtin.module", (Canonicalize(), Pipeline("qnn.block", (FoldScales(),))))
    ▶ str: builtin.module(canonicalize,qnn.block(fold-scales))

The text reads back as the same pipeline (`parse_pipeline`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.options import print_pass

MODULE = "builtin.module"


@dataclass(frozen=True)
class Pipeline:
    """Passes, and pipelines for nested ops, to run on every op called `anchor`."""

    anchor: str
    items: tuple[Pass | Pipeline, ...]

    def __str__(self) -> str:
        inner = ",".join(str(i) if isinstance(i, Pipeline) else print_pass(i) for i in self.items)
        return f"{self.anchor}({inner})"


def parse_pipeline(text: str, file: str = "<pipeline>") -> Pipeline:
    """The pipeline that `text` describes, on the module; raises `CompileError` with carets into `text`.

    Named pipelines are expanded.
    """
    from cnn2snn_ir.passes.pipeline_parser import Resolver  # a conversion with a default pipeline needs no parser

    resolver = Resolver(text, file)
    pipeline = resolver.pipeline()
    resolver.found.raise_errors()
    return pipeline
