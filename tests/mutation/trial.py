"""A mutant on trial: a scratch copy of the tree, the chosen tests in a process of their own, and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic, time
from types import TracebackType

from .areas import Project
from .sites import Mutant

PLUGIN = Path(__file__).parent / "plugin"
SECONDS_A_TEST = 60
"""A test that takes longer does not end; the slowest of the suite takes a quarter, and numba compiles in a sixth."""

SECONDS = 600
"""All tests of a mutant, which are chosen to take less than this; a mutant may hang before the first begins."""

FIRST = 12
"""So many tests are run before the others are even collected: mostly one of them kills."""

HUNG = -1

NOT_COPIED = shutil.ignore_patterns(".git", "__pycache__", ".hypothesis", ".venv", "build", "*.egg-info", ".*_cache")


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, by which test, and how long it took."""

    area: str
    mutant: Mutant
    outcome: Outcome
    test: str
    seconds: float


@dataclass(frozen=True)
class Run:
    """How pytest ended."""

    code: int
    output: str
    last: str
    """The test that ran last: with `-x`, the one that failed; empty if none began."""

    @property
    def hung(self) -> bool:
        return self.code == HUNG or "Timeout (" in self.output


class Scratch:
    """A copy of a project's tree in a folder; only it is ever mutated."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder.resolve()
        self.tree = self.folder / "tree"
        self.stamp = int(time())

    def __enter__(self) -> Scratch:
        shutil.rmtree(self.tree, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.project.root, self.tree, ignore=NOT_COPIED)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self.folder / "numba-fresh", ignore_errors=True)

    def run(self, area: str, mutant: Mutant, tests: list[str]) -> Verdict:
        """Plant the mutant, run the tests until one fails, and take it out again."""
        file, began = self.tree / mutant.path, monotonic()
        source = file.read_text()
        self.write(file, mutant.apply(source))
        run = Run(0, "", "")
        try:
            for batch in filter(None, (tests[:FIRST], tests[FIRST:])):
                run = run if run.code else self.chosen(batch, self.project.is_kernel(mutant.path))
        finally:
            self.write(file, source)
        outcome = Outcome.TIMEOUT if run.hung else Outcome.KILLED if run.code else Outcome.SURVIVED
        return Verdict(area, mutant, outcome, run.last, monotonic() - began)

    def write(self, file: Path, text: str) -> None:
        """Change a file, and its date to one that it never had: Python and numba know by it what they have compiled."""
        file.write_text(text)
        self.stamp += 1
        os.utime(file, (self.stamp, self.stamp))

    def chosen(self, tests: list[str], recompile: bool = False) -> Run:
        """Run these tests in this order until one fails.

        numba keeps compiled code by the file of the outermost function, and does not see that one it calls has
        changed: a mutant of a kernel begins with an empty cache.
        """
        chosen = self.folder / "chosen.json"
        chosen.write_text(json.dumps(tests))
        fresh = self.folder / "numba-fresh"
        if recompile:
            shutil.rmtree(fresh, ignore_errors=True)
        variables = {"MUTATION_CHOSEN": str(chosen)} | ({"NUMBA_CACHE_DIR": str(fresh)} if recompile else {})
        return self.pytest(list(dict.fromkeys(test.split("::")[0] for test in tests)), variables)

    def pytest(
        self, arguments: list[str], variables: dict[str, str], stop: bool = True, limit: float | None = SECONDS
    ) -> Run:
        """Run pytest in the copy, which comes before every installed package, also in processes that tests start."""
        started = self.folder / "started"
        started.write_text("")
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "PYTHONPATH": os.pathsep.join(
                [str(PLUGIN), str(self.tree), *(p for p in inherited if Path(p).is_absolute())]
            ),
            "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            "PYTHONHASHSEED": "0",
            "NUMBA_CACHE_DIR": str(self.folder / "numba"),
            "MUTATION_STARTED": str(started),
            **variables,
        }
        ini = {
            "cache_dir": self.folder / "pytest",
            "faulthandler_timeout": SECONDS_A_TEST if stop else 0,
            "faulthandler_exit_on_timeout": "true",
        }
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "chosen_tests", *(["-x"] if stop else [])]
        command += [word for name, value in ini.items() for word in ("-o", f"{name}={value}")]
        command += [f"--ignore={path}" for path in self.project.tests_left_out]
        with open(self.folder / "output", "w+") as output:
            try:
                code = subprocess.call(
                    [*command, *arguments], cwd=self.tree, env=environment, stdout=output, stderr=output, timeout=limit
                )
            except subprocess.TimeoutExpired:
                code = HUNG
            output.seek(0)
            return Run(code, output.read(), started.read_text())
