"""A campaign: mutants drawn by a seed, each on trial, and what came of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from .areas import Project, sample
from .selection import Selection, record
from .sites import Mutant, short
from .trial import Outcome, Scratch, Verdict

DEAD = (Outcome.KILLED, Outcome.TIMEOUT)


@dataclass(frozen=True)
class Request:
    """What to plant: how many, drawn by which seed, from which files, for how long."""

    mutants: int = 250
    seed: str = "0"
    paths: tuple[str, ...] = ()
    minutes: float = float("inf")
    budget: float = 120.0


def equivalence(project: Project, mutant: Mutant) -> str:
    """Why nobody can tell the mutant from the program, or nothing."""
    return project.equivalent.get((mutant.path, short(mutant.before), short(mutant.after)), "")


def run(project: Project, request: Request, folder: Path, tell: Callable[[Verdict], None]) -> list[Verdict]:
    """Put every drawn mutant on trial; `folder` keeps what the tests run from one campaign to the next."""
    selection = Selection(project, record(project, folder / "recorded"), request.budget)
    verdicts: list[Verdict] = []
    ends = monotonic() + 60 * request.minutes
    with Scratch(project, folder / "scratch") as scratch:
        for area, mutant in sample(project, request.mutants, request.seed, request.paths):
            if monotonic() > ends:
                break
            if equivalence(project, mutant):
                verdict = Verdict(area, mutant, Outcome.EQUIVALENT, "", 0.0)
            else:
                verdict = scratch.run(area, mutant, selection.tests(mutant))
            verdicts.append(verdict)
            tell(verdict)
        acquit(scratch, verdicts)
    return verdicts


def retry(project: Project, earlier: list[Verdict], folder: Path, tell: Callable[[Verdict], None]) -> list[Verdict]:
    """The verdicts of a campaign, with another trial of each mutant that no test had killed.

    A mutant whose place has changed since is left out: the line that nobody held is not there any more.
    """
    selection = Selection(project, record(project, folder / "recorded"), Request().budget)
    verdicts = []
    with Scratch(project, folder / "scratch") as scratch:
        for verdict in earlier:
            mutant = verdict.mutant
            if verdict.outcome is not Outcome.KILLED:
                if not mutant.fits((project.root / mutant.path).read_text()):
                    continue
                if equivalence(project, mutant):
                    verdict = Verdict(verdict.area, mutant, Outcome.EQUIVALENT, "", 0.0)
                else:
                    verdict = scratch.run(verdict.area, mutant, selection.tests(mutant))
                tell(verdict)
            verdicts.append(verdict)
        acquit(scratch, [verdict for verdict in verdicts if verdict not in earlier])
    return verdicts


def acquit(scratch: Scratch, verdicts: list[Verdict]) -> None:
    """A test kills only if it passes without a mutant: run all that killed once more, on the tree as it is."""
    killers = sorted({v.test for v in verdicts if v.outcome is Outcome.KILLED and v.test})
    again = scratch.chosen(killers) if killers else None
    if again is not None and again.code:
        raise SystemExit(f"a test that killed mutants fails without one: {again.last}\n{again.output}")


def counts(verdicts: list[Verdict]) -> dict[str, Counter[str]]:
    """Area ▶ how many of each outcome."""
    found: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.area, Counter())[verdict.outcome] += 1
    return found


def score(verdicts: list[Verdict]) -> float:
    """The part that died, of those that could."""
    died = sum(v.outcome in DEAD for v in verdicts)
    could = sum(v.outcome is not Outcome.EQUIVALENT for v in verdicts)
    return died / could if could else 1.0
