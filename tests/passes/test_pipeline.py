"""Pipelines: syntax, options, names, and the round trip."""

import contextlib
import importlib.metadata
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.passes import registry
from cnn2snn_ir.passes.base import Pass, option
from cnn2snn_ir.passes.options import options_of
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline


class Mode(StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True)
class Everything(Pass):
    """Has an option of every kind."""

    name = "everything"
    anchors = ()

    count: int = option(1, "a number")
    keep: bool = option(False, "a flag")
    strict: bool = option(True, "a flag that is on")
    ratio: float = option(0.5, "a float")
    label: str = option("", "a text")
    mode: Mode = option(Mode.FAST, "a choice")
    bits: tuple[int, ...] = option((), "numbers")
    layer_names: tuple[str, ...] = option((), "texts")
    limit: int | None = option(None, "a number or none")
    title: str | None = option("x", "a text or none")


@dataclass(frozen=True)
class OnlyModule(Pass):
    """Runs on modules only."""

    name = "only-module"


@dataclass(frozen=True)
class OnlyBlock(Pass):
    """Runs on blocks only."""

    name = "only-block"
    anchors = ("qnn.block",)


PIPELINES = {
    "twice": "only-module, only-module",
    "more": "builtin.module(twice, qnn.block(only-block))",
    "snake": "only-module, snake",
    "ouroboros": "tail",
    "tail": "ouroboros",
    "broken": "only-modul",
}


@pytest.fixture(autouse=True, scope="module")
def passes():
    with registry.extended([Everything, OnlyModule, OnlyBlock], PIPELINES):
        yield


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "builtin.module()"),
        ("builtin.module()", "builtin.module()"),
        ("only-module , only-module", "builtin.module(only-module,only-module)"),
        ("builtin.module(only-module)", "builtin.module(only-module)"),
        ("qnn.block(only-block,everything)", "builtin.module(qnn.block(only-block,everything))"),
        ("everything{}", "builtin.module(everything)"),
        ("everything{ count=1, keep=false }", "builtin.module(everything)"),
        ("everything{mode=safe,keep count=-4}", "builtin.module(everything{count=-4 keep mode=safe})"),
        ("everything{strict=false}", "builtin.module(everything{strict=false})"),
        ("everything{bits=[1, 2 3] layer-names=a/b}", "builtin.module(everything{bits=[1,2,3] layer-names=[a/b]})"),
        ('everything{label="a b" title=none}', 'builtin.module(everything{label="a b" title=none})'),
        ("twice", "builtin.module(only-module,only-module)"),
        ("more,twice", "builtin.module(only-module,only-module,qnn.block(only-block),only-module,only-module)"),
    ],
)
def test_canonical_text(text, canonical):
    assert str(parse_pipeline(text)) == canonical
    assert parse_pipeline(canonical) == parse_pipeline(text)


@pytest.mark.parametrize(
    ("text", "code", "column", "part"),
    [
        ("only-module,only-modul", "PIPELINE-PASS", 13, "did you mean only-module?"),
        ("zzz", "PIPELINE-PASS", 1, "--list-passes"),
        ("everything{cuont=3}", "PIPELINE-OPTION", 12, "did you mean count?"),
        ("everything{count=3 count=4}", "PIPELINE-OPTION", 20, "given twice"),
        ("everything{count=many}", "PIPELINE-VALUE", 12, "allowed: an integer"),
        ("everything{count}", "PIPELINE-VALUE", 12, "found: no value"),
        ("everything{count=[1]}", "PIPELINE-VALUE", 12, "found: a list"),
        ("everything{mode=slow}", "PIPELINE-VALUE", 12, "allowed: fast | safe"),
        ("everything{keep=maybe}", "PIPELINE-VALUE", 12, "allowed: true | false"),
        ("everything{bits=[1,x]}", "PIPELINE-VALUE", 12, "a list [a, b] of an integer"),
        ("everything{ratio=nan}", "PIPELINE-VALUE", 12, "a number"),
        ("twice{a=1}", "PIPELINE-OPTION", 1, "has no options"),
        ("qnn.block", "PIPELINE-OP", 1, "needs a pipeline"),
        ("qnn.relu(only-module)", "PIPELINE-OP", 1, "holds no other ops"),
        ("qnn.block(builtin.module(only-module))", "PIPELINE-OP", 11, "stands outermost"),
        ("qnn.block{a=1}(only-block)", "PIPELINE-OP", 1, "no options"),
        ("qnn.block(only-module)", "PIPELINE-ANCHOR", 11, "allowed: builtin.module"),
        ("qnn.block(twice)", "PIPELINE-ANCHOR", 11, "runs on builtin.module"),
        ("only-module,", "PIPELINE-SYNTAX", 12, "the end of the text"),
        ("only-module)", "PIPELINE-SYNTAX", 12, "')'"),
        ("everything{count=}", "PIPELINE-SYNTAX", 18, "}"),
        ("a;b", "PIPELINE-SYNTAX", 2, ";"),
    ],
)
def test_faults_have_a_caret(text, code, column, part):
    with pytest.raises(CompileError) as caught:
        parse_pipeline(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.span is not None
    assert diagnostic.span.column == column
    assert part in diagnostic.render()


def test_all_faults_come_at_once():
    with pytest.raises(CompileError) as caught:
        parse_pipeline("x, everything{y z=1}, qnn.relu(a)")
    assert [d.code for d in caught.value.diagnostics] == [
        "PIPELINE-PASS", "PIPELINE-OPTION", "PIPELINE-OPTION", "PIPELINE-OP",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "file"), [("snake", "<snake>"), ("ouroboros", "<tail>"), ("broken", "<broken>")])
def test_faults_in_named_pipelines_name_them(text, file):
    with pytest.raises(CompileError) as caught:
        parse_pipeline(text)
    assert [d.where for d in caught.value.diagnostics] == [file]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["none", "true", "a b", "]", ""]
)
everythings = st.builds(
    Everything,
    count=st.integers(),
    keep=st.booleans(),
    strict=st.booleans(),
    ratio=st.floats(allow_nan=False),
    label=texts,
    mode=st.sampled_from(Mode),
    bits=st.lists(st.integers(), max_size=3).map(tuple),
    layer_names=st.lists(texts, max_size=3).map(tuple),
    limit=st.none() | st.integers(),
    title=st.none() | texts,
)
blocks = st.lists(everythings | st.just(OnlyBlock()), max_size=3).map(lambda p: Pipeline("qnn.block", tuple(p)))
pipelines = st.lists(everythings | st.just(OnlyModule()) | blocks, max_size=4).map(
    lambda p: Pipeline("builtin.module", tuple(p))
)


@given(pipelines)
def test_round_trip(pipeline):
    assert parse_pipeline(str(pipeline)) == pipeline
    assert str(parse_pipeline(str(pipeline))) == str(pipeline)


@given(st.text(alphabet='everything{}count=1,()[]" -only.module\\', max_size=30))
def test_any_text_parses_or_is_refused(text):
    with contextlib.suppress(CompileError):
        parse_pipeline(text)


# ---- the registry -------------------------------------------------------------------------------------------


def test_every_registered_pass_and_pipeline_loads():
    for name in registry.pass_names():
        found = registry.find_pass(name)
        assert found is not None
        assert found.name == name
        assert all(o.help for o in options_of(found).values())
        assert parse_pipeline(name if not found.anchors or "builtin.module" in found.anchors else "")
    for name in registry.PIPELINES.keys() - PIPELINES.keys():
        assert parse_pipeline(name).items


@pytest.fixture
def entry_point(monkeypatch):
    """Pretends that other distributions are installed."""

    def install(*points):
        registry._sources.cache_clear()
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [EntryPoint(*p, group) for p in points])

    yield install
    registry._sources.cache_clear()


def test_duplicate_names_are_refused(entry_point):
    entry_point(("canonicalize", "other.module:Canonicalize"))
    with pytest.raises(CompileError, match=r"PASS-DUPLICATE.*\n.*found: cnn2snn_ir\S+ of cnn2snn-ir and other\.module"):
        registry.find_pass("canonicalize")


@pytest.mark.parametrize(
    "target", ["no_such_module:Thing", "cnn2snn_ir.passes.base:Thing", "cnn2snn_ir.passes.base:Pass", "os:path"]
)
def test_a_broken_plugin_is_a_diagnostic_on_use(entry_point, target):
    entry_point(("plugin", target))
    assert "plugin" in registry.pass_names()
    with pytest.raises(CompileError, match="PASS-LOAD"):
        parse_pipeline("plugin")
