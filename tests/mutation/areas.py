"""What is mutated, and by which tests it is held: the declared part of a campaign."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from .sites import Mutant, differs, mutants


@dataclass(frozen=True)
class Project:
    """A tree, the areas that its mutants are spread over, and what coverage cannot tell."""

    root: Path
    areas: Mapping[str, tuple[str, ...]]
    """Area ▶ patterns of paths."""

    left_out: tuple[str, ...] = ()
    """Patterns of files without mutants."""

    kernels: tuple[str, ...] = ()
    """Patterns of files that numba compiles: coverage does not see them run, and they are compiled anew."""

    tests_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pattern of files ▶ folders of tests that hold them, where coverage does not see it: kernels, tables."""

    tests: tuple[str, ...] = ("tests",)
    tests_left_out: tuple[str, ...] = ()
    """Tests that say nothing about a mutant: of other packages, of how the project is packed."""

    equivalent: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """Path, before, after ▶ why nobody can tell."""

    def files(self, area: str) -> list[str]:
        """The files of an area, sorted."""
        found = {p for pattern in self.areas[area] for p in self.root.glob(pattern) if p.suffix == ".py"}
        names = sorted(p.relative_to(self.root).as_posix() for p in found)
        return [name for name in names if not any(fnmatch(name, out) for out in self.left_out)]

    def is_kernel(self, path: str) -> bool:
        return any(fnmatch(path, pattern) for pattern in self.kernels)


COMPILER_AREAS = {
    "passes": ("passes/**/*.py",),
    "backends": ("backends/**/*.py",),
    "runtime": ("runtime/**/*.py",),
    "analysis": ("cnn2snn_ir/analysis/*.py",),
    "reference": ("cnn2snn_ir/reference/*.py",),
    "text": ("cnn2snn_ir/text/*.py",),
    "ir": ("cnn2snn_ir/ir/*.py", "cnn2snn_ir/dialects/*.py"),
    "frontends": ("frontends/**/*.py",),
}


def compiler(root: Path) -> Project:
    """The compiler of this repository."""
    from .equivalent import EQUIVALENT

    return Project(
        root,
        COMPILER_AREAS,
        left_out=("runtime/report/*",),  # pages and tables for people
        kernels=(
            "runtime/numba_kernels.py",
            "runtime/numba_events.py",
            "runtime/numba_recurrence.py",
            "runtime/vector_*",
        ),
        tests_of={
            "passes/*": ("tests/passes", "tests/e2e"),
            "backends/mapping/*": ("tests/backends", "tests/cli"),
            "backends/program/*": ("tests/backends", "tests/runtime"),
            "runtime/*": ("tests/runtime",),
            "cnn2snn_ir/analysis/*": ("tests/analysis", "tests/passes"),
            "cnn2snn_ir/reference/*": ("tests/runtime", "tests/e2e"),
            "cnn2snn_ir/text/*": ("tests/text", "tests/filecheck"),
            "cnn2snn_ir/ir/*": ("tests/ir", "tests/text"),
            "cnn2snn_ir/dialects/*": ("tests/ir", "tests/text"),
            "frontends/*": ("tests/frontends", "tests/e2e"),
        },
        tests_left_out=("tests/keras_api", "tests/packaging", "tests/mutation"),
        equivalent=EQUIVALENT,
    )


def sample(project: Project, count: int, seed: str, paths: tuple[str, ...] = ()) -> Iterator[tuple[str, Mutant]]:
    """Area and mutant, `count` times: in turn from every area, in it from every file, there from every operator."""
    streams = {area: stream(project, area, seed, paths) for area in project.areas}
    while count and streams:
        for area in list(streams):
            mutant = next(streams[area], None)
            if mutant is None:
                del streams[area]
            elif count:
                count -= 1
                yield area, mutant


def stream(project: Project, area: str, seed: str, paths: tuple[str, ...]) -> Iterator[Mutant]:
    """All mutants of an area in the order of the draw."""
    choice = random.Random(f"{seed} {area}")
    files = [f for f in project.files(area) if not paths or any(f.startswith(p) or fnmatch(f, p) for p in paths)]
    sources = {f: (project.root / f).read_text() for f in files}
    left = {f: by_operator(mutants(f, source)) for f, source in sources.items()}
    while left:
        for file in choice.sample(sorted(left), len(left)):
            if not left[file]:
                del left[file]
                continue
            operator = choice.choice(sorted(left[file]))
            sites = left[file][operator]
            mutant = sites.pop(choice.randrange(len(sites)))
            if not sites:
                del left[file][operator]
            if differs(mutant, sources[file]):
                yield mutant


def by_operator(found: list[Mutant]) -> dict[str, list[Mutant]]:
    groups: dict[str, list[Mutant]] = {}
    for mutant in found:
        groups.setdefault(mutant.operator, []).append(mutant)
    return groups
