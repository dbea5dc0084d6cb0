"""Golden texts: what every pass makes of small IR, and what it says where it does nothing.

    [case a name]
    module @m { … }
    [out]
    module @m { … }        or: unchanged
    [why_not]
    rule on %op (qnn.shift): the reason

A file `golden/PASS.test` runs PASS; a case that needs more says `// pipeline: …`.  Sections are `out`, `why_not`,
`diagnostics` (warnings and remarks) and `error`; those without content are left out.  Every run is checked by all
instruments, so an output is valid IR that computes what its input computes.

`pytest tests/passes/test_golden.py --update-golden` writes the expected sections anew; read the difference.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import ops_of
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import UNKNOWN, Text
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes import canonicalize, fold_scales, materialize_alignment
from cnn2snn_ir.passes.base import PassContext, RewritePass
from cnn2snn_ir.passes.default_pipelines import LEGALIZATIONS
from cnn2snn_ir.passes.instruments import CheckChanged, PassFaultError, ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.prepare_pipeline import prepare_nn
from cnn2snn_ir.passes.registry import PASSES
from cnn2snn_ir.text import parse_module, print_module

FOLDER = Path(__file__).parent / "golden"
LEGACY = [item for item in legacy_to_qnn().items if isinstance(item, RewritePass)]
PREPARE = [item for item in prepare_nn().items if isinstance(item, RewritePass)]
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.test"))}
SECTIONS = ("out", "why_not", "diagnostics", "error")
HEADER = re.compile(r"^\[(case .+|" + "|".join(SECTIONS) + r")\]\n", re.MULTILINE)
PIPELINE = re.compile(r"^// pipeline: (.+)$", re.MULTILINE)


@dataclass
class Case:
    name: str
    text: str
    expected: dict[str, str]

    def __str__(self):
        sections = "".join(f"[{name}]\n{text}\n" for name, text in self.expected.items())
        return f"[case {self.name}]\n{self.text}\n{sections}"


def read_cases(path: Path) -> tuple[str, list[Case]]:
    """The words before the first case, and the cases."""
    preamble, *parts = HEADER.split(path.read_text("utf-8"))
    cases: list[Case] = []
    for header, body in zip(parts[::2], parts[1::2], strict=True):
        if header.startswith("case "):
            cases.append(Case(header.removeprefix("case "), body.strip(), {}))
        else:
            cases[-1].expected[header] = body.strip()
    return preamble, cases


def write_cases(path: Path, preamble: str, cases: list[Case]) -> None:
    path.write_text(preamble + "\n".join(map(str, cases)), "utf-8")


def run(pass_name: str, case: Case) -> tuple[dict[str, str], Counter[str]]:
    """The sections that a case should have, and what the rules did."""
    module = parse_module(case.text)
    for op in module.walk():
        op.loc = UNKNOWN if isinstance(op.loc, Text) else op.loc  # line numbers would change with every edit
    assert not verify(module).errors
    before = print_module(module)
    pipeline = PIPELINE.search(case.text)
    context = PassContext()
    checks = [ValidateEach(3), CheckChanged(), VerifyRoundTrip(), VerifyEach()]
    try:
        PassManager(parse_pipeline(pipeline[1] if pipeline else pass_name), checks).run(module, context)
    except PassFaultError:
        raise
    except CompileError as error:
        return {"error": error.render()}, context.statistics
    after = print_module(module)
    sections = {
        "out": "unchanged" if after == before else after.strip(),
        "why_not": "\n".join(f"{what}: {reason}" for what, reason in context.why_not.items()),
        "diagnostics": context.diagnostics.render(),
    }
    assert all(count >= 0 for count in context.statistics.values())
    return {name: text for name, text in sections.items() if text}, context.statistics


CASES = [(name, case.name) for name, path in FILES.items() for case in read_cases(path)[1]]


@pytest.mark.parametrize(("pass_name", "case_name"), CASES, ids=[f"{p}: {c}" for p, c in CASES])
def test_golden(pass_name, case_name, request):
    preamble, cases = read_cases(FILES[pass_name])
    (case,) = (c for c in cases if c.name == case_name)
    found, _ = run(pass_name, case)
    if request.config.getoption("--update-golden"):
        case.expected = found
        write_cases(FILES[pass_name], preamble, cases)
    assert found == case.expected


# ---- the files cover what the passes can do -----------------------------------------------------------------


def test_files_are_written_as_the_update_would_write_them():
    for path in FILES.values():
        preamble, cases = read_cases(path)
        assert path.read_text("utf-8") == preamble + "\n".join(map(str, cases))
        assert len({case.name for case in cases}) == len(cases)


def test_every_pass_has_a_file():
    assert list(FILES) == sorted(PASSES)


def test_every_rule_and_every_kind_of_block_is_seen():
    done: Counter[str] = Counter()
    for name, path in FILES.items():
        for case in read_cases(path)[1]:
            done += run(name, case)[1]
    rules = {"canonicalize": canonicalize.RULES, "fold-scales": fold_scales.RULES}
    expected = {f"{name}: {rule.name}" for name, table in rules.items() for rule in table}
    expected |= {f"materialize-alignment: {materialize_alignment.identity_layer.name}", "fold-thresholds: fold-chain"}
    expected |= {"sink-biases: bias-behind-max", "sink-biases: bias-behind-sum"}
    expected |= {f"fuse-blocks: {kind}" for kind in BlockKind}
    expected |= {f"{p.name}: {rule.name}" for p in (*LEGALIZATIONS, *LEGACY, *PREPARE) for rule in p.rules()}
    assert expected - set(done) == set()


@pytest.mark.parametrize("target", ["akida1", "akida2"])
def test_every_layer_of_the_target_is_seen(target):
    outputs = [case.expected.get("out", "") for case in read_cases(FILES[f"convert-to-{target}"])[1]]
    assert [name for name in ops_of(target) if not any(f"= {name} " in text for text in outputs)] == []


def test_every_reason_for_not_doing_something_is_seen():
    """The words of every `why_not` in the sources, but for the parts that are computed."""
    seen = "\n".join(case.expected.get("why_not", "") for path in FILES.values() for case in read_cases(path)[1])
    call = re.compile(r"why_not\([^,]+, f?\"([^\"]+)\"\)")
    sources = Path(canonicalize.__file__).parent.rglob("*.py")
    reasons = [reason for source in sources for reason in call.findall(source.read_text("utf-8"))]
    assert len(reasons) >= 7
    for reason in reasons:
        words = ".*".join(re.escape(part) for part in re.split(r"\{[^}]*(?:'[^']*')?[^}]*\}", reason))
        assert re.search(words, seen), reason
