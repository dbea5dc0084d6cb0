"""`python -m tests.mutation [--mutants N] [--seed S] [--paths P …] [--minutes T] [--again]`: see docs/mutation.md."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from .areas import compiler
from .campaign import Request, retry, run
from .report import entered, section
from .sites import Mutant
from .trial import Outcome, Verdict

ROOT = Path(__file__).parent.parent.parent


def line_of(verdict: Verdict) -> str:
    """A verdict for the journal."""
    return json.dumps(asdict(verdict)) + "\n"


def verdict_of(line: str) -> Verdict:
    """A verdict as the journal has it."""
    told = json.loads(line)
    return Verdict(**told | {"mutant": Mutant(**told["mutant"]), "outcome": Outcome(told["outcome"])})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=250, help="how many to plant")
    parser.add_argument("--seed", default="0", help="draws them")
    parser.add_argument("--paths", nargs="*", default=(), help="only files that begin with, or match, one of these")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="plant no more after this time")
    parser.add_argument("--budget", type=float, default=120, help="seconds of tests that a mutant must survive")
    parser.add_argument("--again", action="store_true", help="only what survived the last campaign of this seed")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cnn2snn-mutation")
    parser.add_argument("--output", type=Path, help="enter the table in this file, for that of the same seed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    journal = options.work / f"verdicts-{options.seed}.jsonl"
    earlier = [verdict_of(line) for line in journal.read_text().splitlines()] if options.again else []
    journal.write_text("")  # and then line by line, for who stops it

    def tell(verdict: Verdict) -> None:
        print(f"{verdict.outcome:<10} {verdict.seconds:5.1f} s  {verdict.mutant}", verdict.test, sep="  ", flush=True)
        with open(journal, "a") as file:
            file.write(line_of(verdict))

    request = Request(options.mutants, options.seed, tuple(options.paths), options.minutes, options.budget)
    project = compiler(ROOT)
    verdicts = retry(project, earlier, options.work, tell) if earlier else run(project, request, options.work, tell)
    journal.write_text("".join(map(line_of, verdicts)))
    paths = f" --paths {' '.join(options.paths)}" if options.paths else ""
    drawn = f"--mutants {len(verdicts)} --seed {options.seed} --budget {options.budget:g}"
    command = f"python -m tests.mutation {drawn}{paths}"
    title = f"Seed `{options.seed}`{', survivors once more' if earlier else ''}"
    text = section(project, verdicts, title, command + (" --again" if earlier else ""))
    print(f"\n{text}")
    if options.output:
        options.output.write_text(entered(options.output.read_text() if options.output.exists() else "", text))


if __name__ == "__main__":
    main()
