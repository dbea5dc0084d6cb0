"""`--list-passes` and `--list-pipelines`."""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.options import options_of
from cnn2snn_ir.passes.registry import PIPELINES, find_pass, find_pipeline, pass_names


def list_passes() -> str:
    """Every pass with its contract, what it runs on, its sentence and its options."""
    classes = (find_pass(name) for name in sorted(pass_names()))
    return "\n".join(line for found in classes if found is not None for line in describe(found))


def describe(pass_class: type[Pass]) -> Iterator[str]:
    """The lines about one pass."""
    on = ", ".join(pass_class.anchors) or "any op"
    yield f"{pass_class.name}  ({pass_class.contract}; on {on})"
    yield f"    {(pass_class.__doc__ or '').strip().splitlines()[0]}"
    for option in options_of(pass_class).values():
        default = option.print(option.default).partition("=")[2] or "true"
        yield f"    {option.name}={default}  {option.help}  [{option.allowed}]"


def list_pipelines() -> str:
    """Every named pipeline and what it stands for."""
    return "\n".join(f"{name}\n    {find_pipeline(name)}" for name in PIPELINES)
