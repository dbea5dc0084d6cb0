"""`--list-passes` and `--list-pipelines`.

To describe our passes from their classes takes fifty imports, numpy among them.  What they say is therefore written
down beside them, by `python -m cnn2snn_ir.tools.listing`; a test compares it with the classes.
"""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cnn2snn_ir.passes.registry import PASSES, PIPELINES, find_pass, find_pipeline, is_ours, pass_names

if TYPE_CHECKING:
    from cnn2snn_ir.passes.base import Pass

WRITTEN = "listing.txt"
"""The file in the folder of the passes."""


def list_passes() -> str:
    """Every pass with its contract, what it runs on, its sentence and its options."""
    ours = written()
    return "\n".join(ours[name] if is_ours(name) else described(name) for name in sorted(pass_names()))


def written() -> dict[str, str]:
    """Name ▶ what is written down about a pass of ours."""
    text = (files("cnn2snn_ir.passes") / WRITTEN).read_text("utf-8")
    return {part.partition("  ")[0]: part for part in re.split(r"\n(?! )", text.rstrip("\n"))}


def described(name: str) -> str:
    """What the class of a pass says about itself; raises `CompileError` if it cannot be loaded."""
    found = find_pass(name)
    assert found is not None, name
    return "\n".join(describe(found))


def describe(pass_class: type[Pass]) -> list[str]:
    """The lines about one pass."""
    from cnn2snn_ir.passes.options import options_of

    on = ", ".join(pass_class.anchors) or "any op"
    sentence = (pass_class.__doc__ or "").strip().partition("\n")[0]
    lines = [f"{pass_class.name}  ({pass_class.contract}; on {on})", f"    {sentence}"]
    for option in options_of(pass_class).values():
        default = option.print(option.default).partition("=")[2] or "true"
        lines.append(f"    {option.name}={default}  {option.help}  [{option.allowed}]")
    return lines


def list_pipelines() -> str:
    """Every named pipeline and what it stands for."""
    return "\n".join(f"{name}\n    {find_pipeline(name)}" for name in PIPELINES)


def main() -> int:
    """Write down what our passes say."""
    from cnn2snn_ir.files import atomic_write

    text = "".join(f"{described(name)}\n" for name in sorted(PASSES))
    atomic_write(Path(str(files("cnn2snn_ir.passes") / WRITTEN)), text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
