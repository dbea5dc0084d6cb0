"""The manager and its instruments, with passes that do what passes must not do."""

import contextlib
import io
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from cnn2snn_ir.backends.program import read_program
from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Severity, fail
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Tensor, TensorType, si, ui
from cnn2snn_ir.passes import registry
from cnn2snn_ir.passes.base import Contract, Pass, PassContext, option
from cnn2snn_ir.passes.instruments import DumpTree, Instrument, ValidateEach
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.passes.trial import Draw, Trial, batch
from cnn2snn_ir.text import parse_module, print_module
from cnn2snn_ir.tools import opt

TEXT = """\
module @m {
  %x = builtin.input {shape = [2, 3], element = si8} : tensor<?x2x3xsi8>
  %block = qnn.block {kind = add, layer = "fc"} {
    %inner = qnn.shift %x, #w<inner/shift, si8[], 0> {to = si8} : tensor<?x2x3xsi8>
    builtin.return %inner
  } : tensor<?x2x3xsi8>
  %fc = qnn.shift %block, #w<fc/shift, si8[], -2> {to = si8} : tensor<?x2x3xsi8>
  builtin.return %fc
}
"""


def shifts(op):
    return [o for o in op.walk() if isinstance(o, qnn.Shift)]


def tensor(value):
    return Tensor.of(np.array(value), si(8), "fc/shift")


@dataclass(frozen=True)
class Rename(Pass):
    """Give every shift another name."""

    name = "rename"
    anchors = ()
    to: str = option("renamed", "the name")
    claim: bool = option(True, "what to say")

    def run(self, op, context):
        for shift in shifts(op):
            shift.result.name = self.to
            context.statistics["rename: shifts"] += 1
            context.why_not["rename on block"] = "not a shift"
        return self.claim


@dataclass(frozen=True)
class Break(Pass):
    """Leave invalid IR behind."""

    name = "break"

    def run(self, op, context):
        shifts(op)[-1].result.type = TensorType((None, 2, 3), ui(4))
        return True


@dataclass(frozen=True)
class Crash(Pass):
    """Divide by zero while looking at the last op."""

    name = "crash"
    anchors = ()

    def run(self, op, context):
        look_at(shifts(op)[-1])
        return False


def look_at(op):
    raise ZeroDivisionError("inside")


@dataclass(frozen=True)
class Off(Pass):
    """Compute something else."""

    name = "off"
    shift: int = option(-1, "the new shift")

    def run(self, op, context):
        shifts(op)[-1].shift = tensor(self.shift)
        return True


@dataclass(frozen=True)
class NearlyRight(Off):
    """Compute something else, and say so."""

    name = "nearly-right"
    contract = Contract(16)


@dataclass(frozen=True)
class Refuse(Pass):
    """A user's problem."""

    name = "refuse"

    def run(self, op, context):
        raise fail("USER", "this model cannot be compiled", where="fc")


@dataclass(frozen=True)
class Collect(Pass):
    """Warn, and report a user's problem without raising."""

    name = "collect"
    bad: bool = option(True, "report an error too")

    def run(self, op, context):
        context.diagnostics.add(Diagnostic("WARN", "careful", where="fc", severity=Severity.WARNING))
        if self.bad:
            context.diagnostics.add(Diagnostic("USER", "no good", where="fc"))
        return False


@pytest.fixture(autouse=True)
def passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with registry.extended([Rename, Break, Crash, Off, NearlyRight, Refuse, Collect]):
        yield


def run_opt(*arguments, stdin=TEXT):
    """Exit code, standard output and standard error of `cnn2snn-opt - …`."""
    out, err = io.StringIO(), io.StringIO()
    saved, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = opt.main([*arguments])
    finally:
        sys.stdin = saved
    return code, out.getvalue(), err.getvalue()


# ---- the manager --------------------------------------------------------------------------------------------


class Log(Instrument):
    def __init__(self, name, lines):
        self.name, self.lines = name, lines

    def before_pass(self, run):
        self.lines.append(f"{self.name} before {run}")

    def after_pass(self, run):
        self.lines.append(f"{self.name} after {run}")

    def on_failure(self, run, error):
        self.lines.append(f"{self.name} failure {type(error).__name__}")

    def finish(self, context):
        self.lines.append(f"{self.name} finish")


def test_order_and_nesting():
    lines = []
    module = parse_module(TEXT)
    manager = PassManager(parse_pipeline("qnn.block(rename{to=a}),rename{to=b}"), [Log("1", lines), Log("2", lines)])
    context = PassContext()
    assert manager.run(module, context)
    assert lines == [
        "1 before rename on qnn.block %block",
        "2 before rename on qnn.block %block",
        "2 after rename on qnn.block %block",
        "1 after rename on qnn.block %block",
        "1 before rename on builtin.module",
        "2 before rename on builtin.module",
        "2 after rename on builtin.module",
        "1 after rename on builtin.module",
        "1 finish",
        "2 finish",
    ]
    assert context.statistics == {"rename: shifts": 3}
    assert [s.result.name for s in shifts(module)] == ["b", "b_1"]


def test_instruments_hear_of_failures():
    lines = []
    with pytest.raises(CompileError, match="USER"):
        PassManager(parse_pipeline("refuse"), [Log("1", lines)]).run(parse_module(TEXT))
    assert lines[1:] == ["1 failure CompileError", "1 finish"]


def test_verification_is_the_default():
    with pytest.raises(CompileError, match=r"invalid after break on builtin\.module"):
        PassManager(parse_pipeline("break")).run(parse_module(TEXT))


def test_empty_pipeline_changes_nothing():
    assert PassManager(parse_pipeline("")).run(parse_module(TEXT)) is False


# ---- broken promises ----------------------------------------------------------------------------------------


def test_invalid_ir_is_the_compilers_fault():
    code, out, err = run_opt("-p", "break")
    assert (code, out) == (70, "")
    assert "IR-TYPE" in err
    assert '"qnn.shift"' in err  # the generic form of what is broken
    assert "--run-reproducer repro.c2s" in err
    assert run_opt("-p", "break", "--no-verify-each")[0] == 0


def test_a_false_claim_is_noticed():
    code, _, err = run_opt("-p", "rename{claim=false}")
    assert code == 70
    assert "PASS-CLAIM" in err


def test_a_crash_names_pass_and_layer_and_can_be_replayed(tmp_path):
    code, out, err = run_opt("-p", "rename, qnn.block(crash)")
    assert (code, out) == (70, "")
    assert "internal error while running crash on %renamed (qnn.shift)" in err
    assert "ZeroDivisionError: inside" in err
    assert "Traceback" not in err
    repro = (tmp_path / "repro.c2s").read_text()
    assert "// pipeline: builtin.module(qnn.block(crash))" in repro
    assert "look_at" in repro  # the traceback is in there
    code, _, err = run_opt("--run-reproducer", "repro.c2s", "--reproducer", "second.c2s")
    assert code == 70
    assert "ZeroDivisionError: inside" in err
    assert (tmp_path / "second.c2s").exists()


def test_a_reproducer_needs_a_pipeline(tmp_path):
    (tmp_path / "x.c2s").write_text(TEXT)
    code, _, err = run_opt("--run-reproducer", "x.c2s")
    assert code == 1
    assert "REPRODUCER" in err


@pytest.mark.parametrize("pipeline", ["refuse", "collect"])
def test_a_users_problem_leaves_no_reproducer(tmp_path, pipeline):
    code, out, err = run_opt("-p", pipeline)
    assert (code, out) == (1, "")
    assert "USER" in err
    assert err.count("WARN") == (pipeline == "collect")
    assert list(tmp_path.iterdir()) == []


def test_warnings_are_shown_and_do_not_fail():
    code, out, err = run_opt("-p", "collect{bad=false}")
    assert code == 0
    assert out.startswith("module @m")
    assert "warning: WARN" in err


# ---- validation ---------------------------------------------------------------------------------------------


def test_validation_names_pass_value_element_and_both_values():
    code, _, err = run_opt("-p", "rename{to=same},off", "--validate-each=2")
    assert code == 70
    assert "PASS-VALIDATE  off on builtin.module: %same_1 changes, and the pass promises exact" in err
    assert "found: -64 after, -32 before, at [0, 0] of input 0 (min)" in err
    assert "repro.c2s" in err


def test_validation_knows_contracts():
    assert run_opt("-p", "nearly-right{shift=-2}", "--validate-each=0")[0] == 0
    assert run_opt("-p", "nearly-right{shift=-3}", "--validate-each=0")[0] == 0  # off by 16
    assert run_opt("-p", "nearly-right{shift=-1}", "--validate-each=0")[0] == 70  # off by 32
    assert run_opt("-p", "off{shift=-2}, rename", "--validate-each=3")[0] == 0


def test_validation_needs_the_weights():
    opaque = TEXT.replace("#w<fc/shift, si8[], -2>", "#w<fc/shift, si8[3], sha256:0123456789abcdef>")
    code, _, err = run_opt("-p", "rename", "--validate-each=1", stdin=opaque)
    assert code == 1
    assert "IR-WEIGHTS-ELIDED" in err


def test_validated_outputs_must_keep_their_size():
    class Drop(Off):
        name = "drop"

        def run(self, op, context):
            op.terminator.set_operands([op.inputs[0].result, op.inputs[0].result])
            return True

    manager = PassManager(Pipeline("builtin.module", (Drop(),)), [ValidateEach(1)])
    with pytest.raises(CompileError, match="the outputs have other sizes"):
        manager.run(parse_module(TEXT))


class Flatten(Off):
    name = "flatten"

    def run(self, op, context):
        (fc,) = op.outputs
        flat = qnn.Reshape(fc, (6,))
        op.body.insert_after(fc.owner, flat)
        op.terminator.set_operands([flat.result])
        fc.name, flat.result.name = None, "fc"
        if self.shift != -1:
            fc.owner.shift = tensor(self.shift)
        return True


def test_values_of_one_name_and_size_are_compared_whatever_their_shape():
    PassManager(Pipeline("builtin.module", (Flatten(),)), [ValidateEach(1)]).run(parse_module(TEXT))
    with pytest.raises(CompileError, match=r"%fc changes(.|\n)*at \[0\] of input 0"):
        PassManager(Pipeline("builtin.module", (Flatten(-3),)), [ValidateEach(1)]).run(parse_module(TEXT))


QUANTIZED = """module @m {
  %x = builtin.input {shape = [2, 2], element = f32} : tensor<?x2x2xf32>
  %a = qnn.quantize %x, #w<f, si16[2], [3, 9]> {to = si8} : tensor<?x2x2xsi8>
  %b = qnn.block {kind = quantizer, layer = "q"} {
    %q = qnn.quantize %x, #w<f, si16[], 5> {to = si9} : tensor<?x2x2xsi9>
    builtin.return %q
  } : tensor<?x2x2xsi9>
  builtin.return %a, %b
}"""


def test_float_inputs_cover_what_their_quantizers_cover():
    (samples,) = Trial.of(parse_module(QUANTIZED), 50).inputs.values()
    low, high = samples.min(axis=(0, 1)), samples.max(axis=(0, 1))
    assert low.tolist() == [-16.0, -8.0]  # of si8 / 2^3, and of si9 / 2^5
    assert high.tolist() == [15.875, 255 / 32]
    assert (samples[5:].min(axis=(0, 1)) < [-10, -5]).all()
    scales = QUANTIZED.replace("qnn.quantize %x, #w<f, si16[2], [3, 9]>", "akida2.quantizer %x, #w<s, f32[], 4.0>")
    scales = scales.replace("{to = si8} : tensor<?x2x2xsi8>", "{to = si8} : tensor<?x1x2x2xsi8>")
    (samples,) = Trial.of(parse_module(scales), 1).inputs.values()
    assert (samples.min(), samples.max()) == (-32.0, 31.75)


@pytest.mark.parametrize("element", ["si2", "ui1", "si8", "si63", "ui63", "f32"])
def test_inputs_stay_inside_their_type(element):
    text = f"""module @m {{
      %x = builtin.input {{shape = [3, 5], element = {element}}} : tensor<?x3x5x{element}>
      builtin.return %x
    }}"""
    module = parse_module(text)
    (samples,) = Trial.of(module, 3).inputs.values()
    assert samples.shape == (8, 3, 5)
    (op,) = module.inputs
    again = batch(op, 3, Draw(0))
    assert np.array_equal(samples, again)
    if element != "f32":
        assert op.element.contains(samples)
        assert samples.min() == op.element.lo
        assert samples.max() == op.element.hi


# ---- looking inside -----------------------------------------------------------------------------------------


def test_printing():
    _, _, err = run_opt("-p", "rename, collect{bad=false}", "--print-ir-before=collect", "--print-ir-after=rename")
    assert err.count("// ----- IR") == 2
    assert err.index("IR after rename on builtin.module") < err.index("IR before collect")
    _, _, err = run_opt("-p", "rename, collect{bad=false}", "--print-ir-before-all", "--print-ir-after-all")
    assert err.count("// ----- IR") == 4
    _, _, err = run_opt("-p", "rename, collect{bad=false}", "--print-ir-after-change")
    assert err.count("// ----- IR") == 1
    _, _, err = run_opt("-p", "rename", "--print-ir-diff")
    assert "-  %fc = qnn.shift" in err
    assert "+  %renamed_1 = qnn.shift" in err


def test_a_misspelt_pass_to_print_is_an_error():
    code, _, err = run_opt("-p", "rename", "--print-ir-after=renam")
    assert code == 1
    assert "did you mean rename?" in err


def test_timing_and_statistics():
    _, _, err = run_opt("-p", "rename, qnn.block(rename)", "--timing", "--pass-statistics")
    assert "2 x  rename\n" in err
    shares = [float(line.split()[2]) for line in err.splitlines() if "%" in line and " x  " in line]
    assert sum(shares) == pytest.approx(100, abs=0.1)
    assert "3 x  rename: shifts" in err
    assert "not done  rename on block: not a shift" in err


def test_dumps_in_a_folder(tmp_path):
    run_opt("-p", "rename, collect{bad=false}", "--print-ir-tree-dir=dumps")
    names = sorted(p.name for p in (tmp_path / "dumps").iterdir())
    assert names == ["000_rename.c2s", "001_collect.c2s"]
    assert print_module(parse_module((tmp_path / "dumps" / names[0]).read_text())).count("renamed") == 4
    run_opt("-p", "rename", "--print-ir-tree-dir=dumps")
    assert [p.name for p in (tmp_path / "dumps").iterdir()] == ["000_rename.c2s"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "000_rename.c2s").touch()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CompileError, match=r"found: thesis\.tex"):
        DumpTree(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


# ---- inputs and outputs -------------------------------------------------------------------------------------


BIG = """module @m {
  %x = builtin.input {shape = [4], element = si8} : tensor<?x4xsi8>
  %y = qnn.dense %x, #w<w, si8[4, 5], WEIGHTS> : tensor<?x5xsi28>
  builtin.return %y
}
""".replace("WEIGHTS", str(list(range(20))))


def test_outputs(tmp_path):
    code, out, _ = run_opt(stdin=BIG)
    assert code == 0
    assert "sha256:" in out
    assert run_opt("--weights=inline", stdin=BIG)[1].startswith(out)
    assert run_opt("--weights=sidecar", "-o", "x.c2s", stdin=BIG)[:2] == (0, "")
    assert (tmp_path / "x.c2sw").exists()
    code, _, _ = run_opt("x.c2s", "-o", "x.fbz")  # the sidecar beside the input is found
    assert code == 0
    assert read_program(tmp_path / "x.fbz").sym_name == "m"
    assert run_opt("x.fbz") == (0, out, "")
    assert run_opt("--weights=sidecar", stdin=BIG)[0] == 1
    assert run_opt("--weights=sidecar", "--weights-file=y.c2sw", stdin=BIG)[0] == 0
    assert run_opt("-o", "none/x.c2s", stdin=BIG)[0] == 1


def test_elided_input_cannot_become_a_program(tmp_path):
    _, elided, _ = run_opt(stdin=BIG)
    code, _, err = run_opt("-o", "x.fbz", stdin=elided)
    assert code == 1
    assert "IR-WEIGHTS-ELIDED" in err
    assert list(tmp_path.iterdir()) == []


def test_split_input_keeps_line_numbers():
    text = f"{TEXT}// -----\nmodule @bad {{ builtin.return %y }}\n// -----\n{TEXT}"
    code, out, err = run_opt("--split-input-file", stdin=text)
    assert code == 1
    assert out == f"{TEXT}// -----\n{TEXT}"
    assert f"<stdin>:{TEXT.count(chr(10)) + 2}" in err


def test_help_and_lists():
    assert run_opt("--help")[0] == 0
    code, out, _ = run_opt("--list-passes")
    assert code == 0
    assert "rename  (exact; on any op)" in out
    assert "nearly-right  (max-lsb(16); on builtin.module)" in out
    assert "to=renamed  the name  [a string]" in out
    assert run_opt("--list-pipelines")[0] == 0
    assert run_opt("--dump-pass-pipeline", "-p", "rename") == (0, "builtin.module(rename)\n", "")
