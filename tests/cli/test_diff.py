"""`cnn2snn diff`: what differs between programs and dumps, op by op."""

import numpy as np
import pytest
from generators.recorded import EXAMPLES

from cnn2snn_ir.analysis.difference import difference
from cnn2snn_ir.api import compile_model
from cnn2snn_ir.backends.program import write_program
from cnn2snn_ir.dialects import akida2, builtin, nn
from cnn2snn_ir.ir import F32, Tensor
from cnn2snn_ir.text import print_module
from cnn2snn_ir.tools.cnn2snn import main

MNIST = EXAMPLES / "mnist_v2_i8_w8_a8.h5"


@pytest.fixture
def module():
    return compile_model(MNIST)[0]


def find(module, name):
    return next(op for op in module.body if op.results and op.results[0].name == name)


def with_one_more(op, name, step=1):
    tensor = op.attributes[name]
    array = tensor.array.copy()
    array.reshape(-1)[3] -= step
    op.attributes[name] = Tensor.of(array, tensor.type.element, tensor.name)


def run(first, second, capsys):
    code = main(["diff", str(first), str(second)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out or captured.err


def test_the_same_file(module, tmp_path, capsys):
    write_program(module, tmp_path / "a.fbz")
    code, out = run(tmp_path / "a.fbz", tmp_path / "a.fbz", capsys)
    assert code == 0
    assert out.startswith("no difference")


def test_a_program_is_its_dump(module, tmp_path, capsys):
    write_program(module, tmp_path / "a.fbz")
    (tmp_path / "a.c2s").write_text(print_module(module))
    assert run(tmp_path / "a.fbz", tmp_path / "a.c2s", capsys)[0] == 0


def test_a_changed_variable_in_numbers(module, tmp_path, capsys):
    write_program(module, tmp_path / "a.fbz")
    with_one_more(find(module, "re_lu_3"), "weights", 2)
    write_program(module, tmp_path / "b.fbz")
    code, out = run(tmp_path / "a.fbz", tmp_path / "b.fbz", capsys)
    assert code == 1
    assert "1 changed" in out
    assert "changed  re_lu_3 (akida2.conv2d)" in out
    assert "weights: 1 of 9,216 values differ, by at most 2; the first at [0, 0, 0, 3]: " in out


def test_tensors_known_by_hash_only(module, tmp_path, capsys):
    (tmp_path / "a.c2s").write_text(print_module(module))
    with_one_more(find(module, "re_lu_3"), "weights")
    (tmp_path / "b.c2s").write_text(print_module(module))
    code, out = run(tmp_path / "a.c2s", tmp_path / "b.c2s", capsys)
    assert code == 1
    assert "weights: the hashes differ: " in out


def test_a_changed_attribute(module):
    other = module.clone()
    find(other, "re_lu_3").attributes["activation"] = akida2.Activation.NONE
    (change,) = difference(module, other).changes
    assert (change.kind, change.name, change.details) == ("changed", "re_lu_3", ("activation: relu ▶ none",))


def test_added_and_removed_layers(module):
    other = module.clone()
    last = other.outputs[0]
    head = nn.Softmax(last, 1, name="probabilities")
    other.body.insert_before(other.terminator, head)
    other.terminator.set_operand(0, head.result)
    found = difference(module, other)
    assert [(c.kind, c.op_name) for c in found.changes if c.name == "probabilities"] == [("added", "nn.softmax")]
    back = difference(other, module)
    assert [(c.kind, c.op_name) for c in back.changes if c.name == "probabilities"] == [("removed", "nn.softmax")]


def test_rewired_operands(module):
    other = module.clone()
    add = find(other, "add")
    add.set_operands(reversed(add.operands))
    (change,) = difference(module, other).changes
    assert change.details[0].startswith("reads: ")


def test_annotations_are_no_changes(module):
    other = module.clone()
    other.annotations["pipeline"] = "by hand"
    for op in other.body:
        op.annotations.pop("range", None)
    found = difference(module, other)
    assert found.changes == ()
    assert found.notes[0].startswith("pipeline: ")


def test_a_renamed_constant_is_told(module):
    other = module.clone()
    op = find(other, "dense")
    op.attributes["weights"] = op.attributes["weights"].renamed("other")
    (change,) = difference(module, other).changes
    assert change.details == ("weights: called dense/kernel ▶ other, the same values",)


def test_zeros_of_both_signs():
    def program(zero):
        x = builtin.Input((2, 2, 1), akida2.si(8), name="x")
        scales = Tensor.of(np.array(zero, np.float32), F32, "scales")
        end = akida2.Dequantizer(x.result, scales, name="y")
        graph = akida2_graph([x, end, builtin.Return((end.result,))])
        return builtin.Module("net", graph)

    (change,) = difference(program(0.0), program(-0.0)).changes
    assert change.details == ("scales: the same numbers in other bits",)


def akida2_graph(ops):
    from cnn2snn_ir.ir import Graph

    return Graph(ops)


def test_levels_of_one_model(tmp_path, capsys):
    code, out = run(MNIST, MNIST, capsys)
    assert code == 0
    write_program(compile_model(MNIST)[0], tmp_path / "a.fbz")
    code, out = run(MNIST, tmp_path / "a.fbz", capsys)
    assert code == 1
    assert "op: qnn.shift ▶ akida2.conv2d" in out


def test_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "broken.fbz").write_bytes(b"nothing")
    for bad, code in (("broken.fbz", "FBZ-"), ("missing.fbz", "FILE-MISSING"), ("missing.c2s", "FILE-MISSING")):
        exit_code, text = run(MNIST, tmp_path / bad, capsys)
        assert exit_code == 1
        assert code in text
