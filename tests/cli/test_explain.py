"""`cnn2snn explain`: codes, and what became of a layer."""

import ast
import re

import pytest
from generators.recorded import EXAMPLES, FIXTURES

from cnn2snn_ir.ir.verify import CODES
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.codes import EXAMPLES as CODE_EXAMPLES
from cnn2snn_ir.tools.explain_code import meanings, rules

ROOT = FIXTURES.parent.parent
MNIST = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
CODE = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+|TARGET|DEVICE|LEGALIZED")


def output(arguments, capsys, code=0):
    assert main(["explain", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


# ---- codes ----------------------------------------------------------------------------------------------------------


def codes_in_use():
    """Every code that the sources hand to a function, which is how diagnostics are made."""
    for folder in ("cnn2snn_ir", "frontends", "passes", "backends", "runtime", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "codes.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                given = [*node.args, *(k.value for k in node.keywords)] if isinstance(node, ast.Call) else []
                for value in given:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and CODE.fullmatch(value.value):
                        yield value.value


def test_every_code_in_use_is_explained():
    unexplained = set(codes_in_use()) - set(meanings()) - set(rules())
    assert not unexplained, "give them a line in tools/codes.py"


@pytest.mark.parametrize("code", [*rules(), *meanings()])
def test_every_code_can_be_asked_for(code, capsys):
    text = output([code], capsys)
    assert text.startswith(f"{code}: ")
    assert "fix:" in text


def test_a_rule_in_full(capsys):
    text = output(["AK2-CONV-01"], capsys)
    for word in ("kernels are square", "allowed:", "fix:", "source:", "severity: error", "example:"):
        assert word in text


def test_lower_case_will_do(capsys):
    assert output(["ak2-conv-01"], capsys) == output(["AK2-CONV-01"], capsys)


def test_examples_are_of_rules():
    assert set(CODE_EXAMPLES) <= set(rules())


def test_the_codes_of_the_verifier_are_all_there():
    assert set(CODES) <= set(meanings())


def test_all_codes_are_listed(capsys):
    listed = {line.split()[0] for line in output([], capsys).splitlines() if line.startswith("  ")}
    assert listed == {*rules(), *meanings()}


def test_an_unknown_code_has_neighbours(capsys):
    text = output(["AK2-CONF-01"], capsys, code=1)
    assert "EXPLAIN-CODE" in text
    assert "did you mean AK2-CONV-01" in text
    assert "lists all" in output(["zzz"], capsys, code=1)


# ---- layers ---------------------------------------------------------------------------------------------------------


def test_a_layer_at_every_level(capsys):
    text = output(["--layer", "conv2d_2", MNIST], capsys)
    assert text.startswith("conv2d_2 (QuantizedConv2D) is layer 9 of mnist_v2_i8_w8_a8.h5\n")
    assert "qnn.conv2d %" in text
    assert "block conv2d_2 (conv2d) of conv2d_2 (QuantizedConv2D), max_pooling2d (QuantizedMaxPool2D), re_lu_3" in text
    assert "on Akida 2: Conv2D, 14x14x32 si8 ▶ 7x7x32 si8" in text
    assert re.search(r"weights +3x3x32x32 +8 +9,216 +-127 to 127", text)
    assert "(22 bits)" in text


def test_a_fused_layer_shares_its_hardware_layer(capsys):
    texts = [output(["--layer", name, MNIST], capsys) for name in ("conv2d_2", "max_pooling2d", "re_lu_3")]
    assert len({text.partition("fused into")[2] for text in texts}) == 1


def test_layers_that_the_host_computes(capsys):
    text = output(["--layer", "probabilities", FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"], capsys)
    assert "on the host: Softmax" in text


def test_a_layer_without_ops(capsys):
    text = output(["--layer", "rescaling", FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"], capsys)
    assert "no op is its own" in text


@pytest.mark.parametrize("name", ["c1", "c0"])
def test_a_model_that_cannot_be_converted(name, capsys):
    text = output(["--layer", name, FIXTURES / "bad" / "unsupported_layer.h5"], capsys)
    assert "not converted" in text
    assert ("KERAS-LAYER  c1" in text) == (name == "c1")


def test_an_unknown_layer_has_neighbours(capsys):
    text = output(["--layer", "conv2d2", MNIST], capsys, code=1)
    assert "EXPLAIN-LAYER" in text
    assert "did you mean conv2d_2" in text


def test_layer_needs_a_model(capsys):
    assert main(["explain", "--layer", "x"]) == 2
    assert "FILE-MISSING" in output(["--layer", "x", "nothing.h5"], capsys, code=1)


def test_a_layer_that_remembers(capsys):
    model = FIXTURES / "quantizeml" / "recurrent_fs_w8_a8.h5"
    out = output([model, "--layer", "states0"], capsys)
    assert "fused into the block out0 (stateful_recurrent)" in out
    assert "remembers states0/real: 6 si16 for each stream" in out
    assert "on Akida 2: StatefulRecurrent" in out
