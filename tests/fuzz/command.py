"""`python -m tests.fuzz`: runs hostile inputs, prints what became of them, keeps each finding as a file."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.contract import Outcome, Reader, judge, random_of
from fuzz.readers import READERS, reader_of
from fuzz.worker import run


@dataclass
class Summary:
    """What became of all inputs of a reader."""

    reader: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    results: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Outcome] = field(default_factory=dict)
    """The first input of each kind."""
    slowest: tuple[float, int] = (0.0, 0)
    largest: tuple[int, int] = (0, 0)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.inputs += 1
        self.results[outcome.result] += 1
        if outcome.is_finding:
            self.findings.setdefault(outcome.result, outcome)
        self.slowest = max(self.slowest, (outcome.seconds, outcome.index))
        self.largest = max(self.largest, (outcome.growth, outcome.index))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        codes = {name: count for name, count in self.results.most_common() if not name.startswith("!")}
        return {
            "inputs": self.inputs,
            "seed": self.seed,
            "findings": sum(count for name, count in self.results.items() if name.startswith("!")),
            "accepted": codes.pop("ok", 0),
            "slowest_ms": round(self.slowest[0] * 1000, 1),
            "slowest_input": self.slowest[1],
            "largest_mib": round(self.largest[0] / 2**20, 1),
            "largest_input": self.largest[1],
            "seconds": round(self.seconds, 1),
            "codes": codes,
        }

    def render(self) -> str:
        """A few lines."""
        data = self.as_dict()
        lines = [
            f"{self.reader}: {self.inputs} inputs of seed {self.seed} in {self.seconds:.1f} s; "
            f"{data['accepted']} accepted, {data['findings']} findings; slowest {data['slowest_ms']} ms "
            f"(input {self.slowest[1]}), most memory {data['largest_mib']} MiB (input {self.largest[1]})",
            "  " + ", ".join(f"{code} {count}" for code, count in data["codes"].items()),
        ]
        for name, outcome in self.findings.items():
            lines.append(f"  FINDING {name} (input {outcome.index}, {self.results[name]} times)")
        return "\n".join(lines)


def fuzz(reader: Reader, seed: int, inputs: int, minutes: float = 0, first: int = 0) -> Summary:
    """Run inputs from number `first` on: so many, or as many as the time allows."""
    summary, start = Summary(reader.name, seed), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        for outcome in run(reader, seed, first, inputs, Path(folder)):
            summary.add(outcome)
            summary.seconds = time.perf_counter() - start
            if minutes and summary.seconds > 60 * minutes:
                break
    return summary


def fast_folder() -> str | None:
    """Where files cost no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def one(reader: Reader, seed: int, index: int, folder: Path) -> Outcome:
    """Write input number `index` to a file, and have it read here: a debugger can follow."""
    path = folder / f"{reader.name}-{seed}-{index}{reader.suffix}"
    path.write_bytes(reader.make(random_of(reader.name, seed, index)))
    print(f"wrote {path}")
    return judge(reader, path, index)


def keep(summary: Summary, reader: Reader, folder: Path) -> None:
    """Write a file and its traceback for each kind of finding."""
    folder.mkdir(parents=True, exist_ok=True)
    for outcome in summary.findings.values():
        stem = folder / f"{reader.name}-{summary.seed}-{outcome.index}"
        if not outcome.result.startswith("!no input"):
            data = reader.make(random_of(reader.name, summary.seed, outcome.index))
            stem.with_suffix(reader.suffix).write_bytes(data)
        stem.with_suffix(".txt").write_text(f"{outcome.result}\n\n{outcome.details}\n", "utf-8", "backslashreplace")


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), help="all, if not given")
    parser.add_argument("--inputs", type=int, default=1000, help="for each reader")
    parser.add_argument("--minutes", type=float, default=0, help="stop a reader after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="write this one input to a file and read it here")
    parser.add_argument("--findings", type=Path, help="folder for a file of each kind of finding")
    parser.add_argument("--json", type=Path, help="table to enter the counts into")
    given = parser.parse_args(arguments)
    found = False
    for name in given.readers:
        reader = reader_of(name)
        if given.only is not None:
            outcome = one(reader, given.seed, given.only, Path.cwd())
            print(f"{outcome.result}\n{outcome.details}", file=sys.stderr)
            found |= outcome.is_finding
            continue
        summary = fuzz(reader, given.seed, given.inputs, given.minutes, given.first)
        print(summary.render(), flush=True)
        found |= bool(summary.findings)
        if given.findings:
            keep(summary, reader, given.findings)
        if given.json:
            enter(summary, given.json)
    return int(found)


def enter(summary: Summary, path: Path) -> None:
    """Put the counts of a reader into the table, in the place of its last ones."""
    table = json.loads(path.read_text()) if path.exists() else {}
    table[summary.reader] = summary.as_dict()
    path.write_text(json.dumps(table, indent=1) + "\n")
