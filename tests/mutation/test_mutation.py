"""The tool finds a planted fault, lets an equivalent one live, and leaves the tree alone."""

from pathlib import Path

import pytest

pytest.importorskip("coverage")

from mutation.areas import Project, compiler, sample
from mutation.campaign import Request, retry, run, score
from mutation.operators import OPERATORS
from mutation.report import entered
from mutation.sites import differs, mutants, short
from mutation.trial import Outcome, Scratch, Verdict

ROOT = Path(__file__).parent.parent.parent

TINY = {
    "tiny.py": '''
"""A tiny package."""

def clamped(x: int, top: int = 7) -> int:
    """At most `top`."""
    assert top >= 0, "words"
    if x > top:
        return top
    return x


def unseen(x: int) -> int:
    return x + 1
''',
    "test_tiny.py": """
import tiny

def test_clamped():
    assert [tiny.clamped(x) for x in (1, 6, 7, 8, 9)] == [1, 6, 7, 7, 7]
    assert tiny.clamped(4, 3) == 3
""",
    "loop.py": "def count(n):\n    while n:\n        n -= 1\n    return 5\n",
    "test_loop.py": "import loop\n\ndef test_count():\n    assert loop.count(3) == 5\n",
    "outer.py": """
from numba import njit
from inner import increment

@njit(cache=True)
def twice(x):
    return increment(increment(x))
""",
    "inner.py": """
from numba import njit

@njit
def increment(x):
    return x + 1
""",
    "test_outer.py": "import outer\n\ndef test_twice():\n    assert outer.twice(1) == 3\n",
    "pytest.ini": "[pytest]\npythonpath = .\n",
}


@pytest.fixture
def tiny(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    for name, text in TINY.items():
        (root / name).write_text(text)
    areas = {"tiny": ("tiny.py",), "loop": ("loop.py",), "kernel": ("inner.py",)}
    return Project(root, areas, kernels=("inner.py",), tests=("test_tiny.py",))


def found(source, operator):
    return [(short(m.before), short(m.after)) for m in mutants("x.py", source) if m.operator == operator]


EXAMPLES = {
    "comparison": ("a < b", ("a < b", "(a <= b)")),
    "arithmetic": ("a // b", ("a // b", "(-(-a // b))")),
    "assignment": ("a += 1", ("a += 1", "a -= 1")),
    "integer": ("f(3)", ("3", "2")),
    "boolean": ("f(x=True)", ("True", "False")),
    "default": ("def f(n=1): pass", ("1", "2")),
    "connective": ("a and b", ("a and b", "(a or b)")),
    "negation": ("not a", ("not a", "a")),
    "opposite": ("np.minimum(a, b)", ("np.minimum(a, b)", "np.maximum(a, b)")),
    "arguments": ("f(a, b, c)", ("f(a, b, c)", "f(b, a, c)")),
    "slice": ("a[:n]", (":n", ":n - 1")),
    "return": ("def f(): return a", ("return a", "return None")),
    "effect": ("found.append(x)", ("found.append(x)", "pass")),
    "refusal": ("if a:\n  raise fail('CODE', 'words')", ("raise fail('CODE', 'words')", "pass")),
    "finding": ("def f():\n  yield Diagnostic('CODE')", ("yield Diagnostic('CODE')", "yield from ()")),
    "leaving": ("for a in b:\n  break", ("break", "continue")),
}


@pytest.mark.parametrize("operator", [o.name for o in OPERATORS])
def test_every_operator_is_planted(operator):
    source, change = EXAMPLES[operator]
    assert change in found(source, operator)


@pytest.mark.parametrize(
    "source",
    [
        '"""Words 1 + 1."""',
        "assert a < 1",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 1",
        "class A:\n    def __repr__(self):\n        return 'a' + str(1)",
        "x: tuple[1, 2]",
        "def f(x: 1 + 1) -> 1 < 2: pass",
        "@dataclass(frozen=True)\nclass A: pass",
        "fail('CODE', 1 + 1)",
        "x = A | None",
        "f'{a + 1}'",
    ],
)
def test_words_and_declarations_are_left_alone(source):
    assert not [m for m in mutants("x.py", source) if m.operator != "effect"]


def test_a_mutant_is_one_change_whatever_stands_around_it():
    source = "y = (\n    a * (b + ä)\n    << 2\n)\n"
    for mutant in mutants("x.py", source):
        assert differs(mutant, source)
    assert [m.apply(source) for m in mutants("x.py", source) if m.before == "b + ä"] == [
        source.replace("b + ä", "(b - ä)")
    ]


def test_faults_die_and_an_equivalent_one_lives(tiny, tmp_path):
    before = {path: path.read_text() for path in sorted(tiny.root.rglob("*")) if path.is_file()}
    verdicts = run(tiny, Request(100, paths=("tiny.py",)), tmp_path / "work", lambda verdict: None)
    alive = {(short(v.mutant.before), short(v.mutant.after)) for v in verdicts if v.outcome is Outcome.SURVIVED}
    assert alive == {
        ("x > top", "(x >= top)"),  # the same for every x
        ("x + 1", "(x - 1)"),  # no test runs it
        ("1", "2"),
        ("1", "0"),
        ("return x + 1", "return None"),
    }
    dead = {(short(v.mutant.before), short(v.mutant.after)) for v in verdicts if v.outcome is Outcome.KILLED}
    assert {("7", "8"), ("7", "6"), ("return top", "return None")} <= dead
    assert score(verdicts) == len(dead) / len(verdicts)
    assert {path: path.read_text() for path in sorted(tiny.root.rglob("*")) if path.is_file()} == before


def test_survivors_are_tried_once_more(tiny, tmp_path):
    verdicts = run(tiny, Request(100, paths=("tiny.py",)), tmp_path / "work", lambda verdict: None)
    alive = [v for v in verdicts if v.outcome is Outcome.SURVIVED]
    tests = tiny.root / "test_tiny.py"
    tests.write_text(tests.read_text() + "\n\ndef test_unseen():\n    assert tiny.unseen(4) == 5\n")
    again: list[Verdict] = []
    found = retry(tiny, verdicts, tmp_path / "work", again.append)
    assert [v.mutant for v in again] == [v.mutant for v in alive]
    assert [short(v.mutant.before) for v in found if v.outcome is Outcome.SURVIVED] == ["x > top"]
    source = tiny.root / "tiny.py"
    source.write_text("\n" + source.read_text())
    assert {v.outcome for v in retry(tiny, found, tmp_path / "work", again.append)} == {Outcome.KILLED}


def test_a_loop_without_end_is_told_apart(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("mutation.trial.SECONDS_A_TEST", 1)
    (mutant,) = [m for m in mutants("loop.py", TINY["loop.py"]) if m.operator == "assignment"]
    with Scratch(tiny, tmp_path / "work") as scratch:
        assert scratch.run("loop", mutant, ["test_loop.py::test_count"]).outcome is Outcome.TIMEOUT


def test_a_mutated_kernel_is_the_one_that_runs(tiny, tmp_path):
    (mutant,) = [m for m in mutants("inner.py", TINY["inner.py"]) if m.operator == "arithmetic"]
    tests = ["test_outer.py::test_twice"]
    with Scratch(tiny, tmp_path / "work") as scratch:
        assert scratch.chosen(tests).code == 0  # numba keeps what it compiled
        assert scratch.run("kernel", mutant, tests).outcome is Outcome.KILLED
        assert scratch.chosen(tests).code == 0


def test_a_seed_draws_the_same_mutants_from_every_area():
    project = compiler(ROOT)
    paths = ("cnn2snn_ir/text", "cnn2snn_ir/analysis/interval.py", "backends/mapping")
    first, again, other = (list(sample(project, 30, seed, paths)) for seed in ("a", "a", "b"))
    assert first == again != other
    assert [area for area, _ in first[:3]] == ["backends", "analysis", "text"]
    assert len({mutant.path for area, mutant in first if area == "text"}) >= 5
    assert all(project.files(area) for area in project.areas)


def test_a_campaign_takes_the_place_of_the_one_with_its_seed():
    document = "# Title\n\nWords.\n"
    for text in ("## Seed `a`\n\n1\n", "## Seed `b`\n\n2\n", "## Seed `a`\n\n3\n"):
        document = entered(document, text)
    assert document == "# Title\n\nWords.\n\n## Seed `a`\n\n3\n\n## Seed `b`\n\n2\n"


@pytest.mark.slow
def test_a_small_campaign_on_the_compiler(tmp_path):
    project = compiler(ROOT)
    project = Project(project.root, project.areas, tests=("tests/ir", "tests/text"), equivalent=project.equivalent)
    verdicts = run(
        project, Request(8, "ci", ("cnn2snn_ir/text/", "cnn2snn_ir/ir/op.py")), tmp_path, lambda verdict: None
    )
    assert len(verdicts) == 8  # how many die of so few tests is chance; the whole suite's figure is in docs/mutation.md
    assert {Outcome.KILLED} <= {v.outcome for v in verdicts} <= {Outcome.KILLED, Outcome.SURVIVED}
