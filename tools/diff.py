"""`cnn2snn diff`: what differs between two programs, dumps or models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cnn2snn_ir.analysis.difference import Change, ModuleDifference, difference
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.tools.loading import sources


def diff(first: Path, second: Path) -> ModuleDifference:
    """Compare two files; raises `CompileError` if one cannot be read."""
    return difference(load(first), load(second))


def load(path: Path) -> Module:
    """The module of a file."""
    (source,) = sources(str(path))
    return source.load()


def render(found: ModuleDifference) -> str:
    """The differences for a reader."""
    counts = Counter(change.kind for change in found.changes)
    told = [f"{counts[kind]} {kind}" for kind in ("added", "removed", "changed") if counts[kind]]
    lines = [", ".join([*told, f"{found.same} the same"]) if told else f"no difference in {found.same} ops"]
    lines += [line for change in found.changes for line in about(change)]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def about(change: Change) -> Iterator[str]:
    """The lines about one change."""
    yield f"{change.kind:7}  {change.name} ({change.op_name})"
    yield from (f"           {detail}" for detail in change.details)
