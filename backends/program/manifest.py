"""What a program file says about its own making."""

from __future__ import annotations

from typing import NamedTuple

from cnn2snn_ir.backends.program import schema


class Manifest(NamedTuple):
    """Who made a program from what, and how; None where the maker did not say."""

    tool: str
    source: str | None = None
    source_sha256: str | None = None
    pipeline: str | None = None
    target: str | None = None


def manifest_of(program: schema.Program) -> Manifest:
    """The manifest: the writer's name, and the annotations of the module that tell the rest."""
    told = {a.name: a.value.text for a in program.module.annotations if a.value.kind is schema.Kind.TEXT}
    return Manifest(
        program.tool,
        source=told.get("source"),
        source_sha256=told.get("source_sha256"),
        pipeline=told.get("pipeline"),
        target=told.get("target"),
    )
