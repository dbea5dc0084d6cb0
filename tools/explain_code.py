"""`cnn2snn explain CODE`: what a diagnostic means and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.passes.legality.rule import Rule
from cnn2snn_ir.passes.legality.tables import RULES_OF
from cnn2snn_ir.tools.codes import EXAMPLES, MEANINGS, Meaning
from cnn2snn_ir.tools.console import did_you_mean


def rules() -> dict[str, Rule]:
    """The legality rules of all targets by code."""
    return {rule.code: rule for table in RULES_OF.values() for rule in table}


def meanings() -> dict[str, Meaning]:
    """All other codes."""
    return {code: meaning for family in MEANINGS.values() for code, meaning in family.items()}


def describe(code: str) -> str:
    """A code in full; raises `CompileError` with the nearest ones if there is none of this name."""
    code = code.upper()
    if rule := rules().get(code):
        return "\n".join(describe_rule(rule))
    if meaning := meanings().get(code):
        return f"{code}: {meaning.sentence}\n  fix: {meaning.help}"
    near = did_you_mean(code, [*rules(), *meanings()]) or "`cnn2snn explain` lists all codes"
    raise fail("EXPLAIN-CODE", "there is no such code", found=code, help=near)


def describe_rule(rule: Rule) -> Iterator[str]:
    """The lines about a legality rule."""
    yield f"{rule.code}: {rule.sentence}"
    yield f"  allowed:  {rule.allowed}"
    yield f"  fix:      {rule.help}"
    if rule.code in EXAMPLES:
        yield f"  example:  {EXAMPLES[rule.code]}"
    yield f"  severity: {rule.severity}"
    yield f"  source:   {rule.source}"


def listing() -> str:
    """All codes, a line each, by family."""
    lines: list[str] = []
    for subject, table in RULES_OF.items():
        for severity, group in groupby(table, key=lambda rule: rule.severity):
            lines += ["", f"Rules of {subject} ({severity})"]
            lines += [f"  {rule.code:24}  {rule.sentence}" for rule in group]
    for title, family in MEANINGS.items():
        lines += ["", title, *(f"  {code:24}  {meaning.sentence}" for code, meaning in family.items())]
    return "\n".join(lines[1:])
