"""What a campaign found, as the text that is kept in the repository."""

from __future__ import annotations

import re
from collections import Counter

from .areas import Project
from .campaign import counts, equivalence, score
from .sites import short
from .trial import Outcome, Verdict

HEAD = ("area", "planted", "killed", "by time", "equivalent", "survived")


def table(verdicts: list[Verdict]) -> str:
    """A row an area, and one for all of them."""
    rows = [row(area, found) for area, found in counts(verdicts).items()]
    rows.append(row("**all**", Counter(v.outcome for v in verdicts)))
    lines = [HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def row(name: str, found: Counter[str]) -> tuple[str, ...]:
    ends = (Outcome.KILLED, Outcome.TIMEOUT, Outcome.EQUIVALENT, Outcome.SURVIVED)
    return (name, str(sum(found.values())), *(str(found[end]) for end in ends))


def survivors(verdicts: list[Verdict]) -> str:
    """A line each, with file, line and change; none is said too."""
    found = [v.mutant for v in verdicts if v.outcome is Outcome.SURVIVED]
    return "\n".join(f"* `{m.path}:{m.line}`, {m.operator}: `{short(m.before)}` ▶ `{short(m.after)}`" for m in found)


def equivalents(project: Project, verdicts: list[Verdict]) -> str:
    """A line each, with the reason."""
    found = [v.mutant for v in verdicts if v.outcome is Outcome.EQUIVALENT]
    return "\n".join(
        f"* `{m.path}:{m.line}`: `{short(m.before)}` ▶ `{short(m.after)}`. {equivalence(project, m)}" for m in found
    )


def section(project: Project, verdicts: list[Verdict], title: str, command: str) -> str:
    """Everything about one campaign, under a heading."""
    died = f"{100 * score(verdicts):.1f} % of those that anyone could tell from the program died."
    parts = [f"## {title}", f"`{command}`: {died}", table(verdicts)]
    for title, text in (("Survived:", survivors(verdicts)), ("Equivalent:", equivalents(project, verdicts))):
        parts += [title, text] if text else []
    return "\n\n".join(parts) + "\n"


def entered(document: str, text: str) -> str:
    """A document with a section in the place of the one of the same heading, or behind all others."""
    heading = text.splitlines()[0]
    parts = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    kept = [text if part.splitlines()[:1] == [heading] else part.rstrip("\n") + "\n" for part in parts if part]
    return "\n".join(kept if text in kept else [*kept, text])
