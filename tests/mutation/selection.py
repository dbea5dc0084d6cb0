"""Which tests can kill a mutant: those that ran its line when the suite was recorded, the quick ones first."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, lru_cache
from pathlib import Path

from coverage import CoverageData

from .areas import Project
from .sites import Mutant
from .trial import Scratch


@dataclass(frozen=True)
class Recorded:
    """A run of the unmutated suite, kept in a folder: its tests, what each ran, and the tree that it ran on."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def tests(self) -> Path:
        return self.folder / "tests.json"

    def seconds(self) -> dict[str, float]:
        """Every test that passed ▶ how long it took."""
        return json.loads(self.tests.read_text()) if self.tests.exists() else {}

    def data(self) -> CoverageData:
        data = CoverageData(str(self.folder / "coverage"))
        data.read()
        return data

    def tests_by_line(self, path: str) -> dict[int, list[str]]:
        """Line of a file ▶ the tests that ran it; no tests for a line that runs when the file is imported."""
        return self.data().contexts_by_lineno(path)

    def changed(self, project: Project) -> list[str]:
        """The files of tests that are not as they were when recorded."""
        found = []
        for folder in project.tests:
            inside = project.root / folder
            for path in [inside] if inside.is_file() else sorted(inside.rglob("test_*.py")):
                name = path.relative_to(project.root).as_posix()
                known = self.tree / name
                if not known.exists() or known.read_bytes() != path.read_bytes():
                    found.append(name)
        return [name for name in found if not name.startswith(project.tests_left_out)]


def record(project: Project, folder: Path) -> Recorded:
    """Bring a recording up to date: run all tests if there is none yet, or else those of files that have changed."""
    recorded = Recorded(folder)
    whole = not recorded.tests.exists()
    wanted = list(project.tests) if whole else recorded.changed(project)
    if not wanted:
        return recorded
    with Scratch(project, folder / "run") as scratch:
        done = scratch.pytest(wanted, {"MUTATION_RECORD": str(scratch.folder)}, stop=False, limit=None)
        new = Recorded(scratch.folder)
        if not new.tests.exists():
            raise SystemExit(f"the unmutated suite cannot run:\n{done.output}")
        old = {} if whole else {t: s for t, s in recorded.seconds().items() if t.split("::")[0] not in wanted}
        recorded.tests.write_text(json.dumps(old | new.seconds()))
        data = CoverageData(str(folder / "coverage"))
        data.update(new.data())
        data.write()
        if whole:
            shutil.rmtree(recorded.tree, ignore_errors=True)
            shutil.copytree(scratch.tree, recorded.tree)
        for name in [] if whole else wanted:
            (recorded.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scratch.tree / name, recorded.tree / name)
    durations.cache_clear()
    lines.cache_clear()
    return recorded


@dataclass(frozen=True)
class Selection:
    """Chooses tests from what was recorded, up to a number of recorded seconds."""

    project: Project
    recorded: Recorded
    budget: float

    def tests(self, mutant: Mutant) -> list[str]:
        """Those that ran the line; then the others of their files, which may share what the first of them made."""
        seconds, by_line = durations(self.recorded), lines(self.recorded, mutant.path)
        every = {test for tests in by_line.values() for test in tests}
        function = self.function_lines(mutant)
        near = {test for line in function for test in by_line.get(line, ()) if test}
        near = near or every
        beside = {test.split("::")[0] for test in near if test}
        folders = tuple(
            f"{f}/" for pattern, found in self.project.tests_of.items() if fnmatch(mutant.path, pattern) for f in found
        )
        related = {test for test in seconds if test.startswith(folders)}
        groups = (near, related, {test for test in seconds if test.split("::")[0] in beside}, every)
        chosen = dict.fromkeys(
            t for group in groups for t in sorted(group & seconds.keys(), key=lambda t: (seconds[t], t))
        )
        return self.within_budget(list(chosen), seconds)

    def within_budget(self, tests: list[str], seconds: dict[str, float]) -> list[str]:
        spent, kept = 0.0, []
        for test in tests:
            spent += seconds[test]
            if kept and spent > self.budget:
                break
            kept.append(test)
        return kept

    def function_lines(self, mutant: Mutant) -> list[int]:
        """The lines of the mutant as they were numbered when recorded; of a whole function if it changed since."""
        now, then = (root / mutant.path for root in (self.project.root, self.recorded.tree))
        if not then.exists():
            return []
        name, first, text = enclosing(now.read_text(), mutant.line)
        for other, start, old in functions(then.read_text()):
            if other == name:
                if old == text:
                    return [start + mutant.line - first + k for k in range(mutant.before.count("\n") + 1)]
                return list(range(start + 1, start + old.count("\n") + 1))
        return []


@lru_cache(maxsize=1)
def durations(recorded: Recorded) -> dict[str, float]:
    return recorded.seconds()


@cache
def lines(recorded: Recorded, path: str) -> dict[int, list[str]]:
    return recorded.tests_by_line(path)


def functions(source: str) -> list[tuple[str, int, str]]:
    """Every function of a file: name in its class, first line, text."""
    found = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if isinstance(child, ast.FunctionDef):
                    text = "\n".join(source.splitlines()[child.lineno - 1 : child.end_lineno])
                    found.append((name, child.lineno, text))
                visit(child, f"{name}.")

    visit(ast.parse(source), "")
    return found


def enclosing(source: str, line: int) -> tuple[str, int, str]:
    """The innermost function around a line, or nothing: a line that runs at import."""
    around = [f for f in functions(source) if f[1] <= line <= f[1] + f[2].count("\n")]
    return around[-1] if around else ("", 0, "")
