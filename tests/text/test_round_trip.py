"""parse∘print and print∘parse are identities: for modules drawn from the op tables, in every form."""

import numpy as np
import pytest
from generators.op_tables import modules, snapshot
from hypothesis import HealthCheck, given, settings

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.text import parse_module, print_module, read_weights, write_weights
from cnn2snn_ir.text.weights import tensors

many = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def without_locations(module):
    return [(entry[:4], entry[5:]) for entry in snapshot(module)]


@many
@given(modules())
def test_custom_form(module):
    text = print_module(module, locations=True, weights="inline")
    read = parse_module(text)
    assert print_module(read, locations=True, weights="inline") == text
    assert without_locations(read) == without_locations(module)
    for ours, theirs in zip(module.walk(), read.walk(), strict=True):
        assert ours.loc == theirs.loc


@many
@given(modules())
def test_generic_form(module):
    text = print_module(module, generic=True, weights="inline")
    read = parse_module(text)
    assert print_module(read, generic=True, weights="inline") == text
    assert without_locations(read) == without_locations(module)


@many
@given(modules())
def test_elided_text_parses_and_prints_the_same(module):
    text = print_module(module)
    assert print_module(parse_module(text)) == text


@many
@given(modules())
def test_clone_is_equal(module):
    assert snapshot(module.clone()) == snapshot(module)


@pytest.fixture
def weighty():
    rng = np.random.default_rng(0)
    x = builtin.Input((6, 6, 3), ui(8), name="x")
    conv = qnn.Conv2D(x.result, Tensor.of(rng.integers(-128, 128, (3, 3, 3, 4)), si(8), "conv/kernel"), name="conv")
    return builtin.Module("m", Graph([x, conv, builtin.Return((conv.result,))]))


def test_sidecar(weighty, tmp_path):
    write_weights(tmp_path / "m.c2sw", weighty)
    first = (tmp_path / "m.c2sw").read_bytes()
    read = parse_module(print_module(weighty), weights=read_weights(tmp_path / "m.c2sw"))
    assert snapshot(read)[2][2] == snapshot(weighty)[2][2]
    (conv,) = (op for op in read.body if isinstance(op, qnn.Conv2D))
    assert not conv.weights.is_opaque
    write_weights(tmp_path / "m.c2sw", weighty)
    assert (tmp_path / "m.c2sw").read_bytes() == first


def test_elided_weights_complain_only_when_needed(weighty):
    read = parse_module(print_module(weighty))
    (conv,) = (op for op in read.body if isinstance(op, qnn.Conv2D))
    assert conv.weights.is_opaque
    with pytest.raises(Exception, match="IR-WEIGHTS-ELIDED"):
        _ = conv.weights.array


def test_wrong_bytes_are_refused(weighty):
    (digest,) = tensors(weighty)
    wrong = {digest: np.zeros((3, 3, 3, 4), np.int8)}
    with pytest.raises(Exception, match="IR-WEIGHTS-HASH"):
        parse_module(print_module(weighty), weights=wrong)


def test_an_op_of_nothing_but_its_name_does_not_take_the_next_one_for_its_operands():
    x = builtin.Input((4,), si(8), name="x")
    empty = builtin.Return(())
    module = builtin.Module("m", Graph([empty, x, builtin.Return((x.result,))]))
    text = print_module(module)
    assert text.splitlines()[1].strip() == '"builtin.return"() : () -> ()'
    assert print_module(parse_module(text)) == text


@pytest.mark.parametrize("change", [{"max": 3}, {"step": 1}], ids=str)
def test_a_broken_op_is_printed_as_it_is(change):
    x = builtin.Input((4,), si(8), name="x")
    relu = qnn.ReLU(x.result, name="r")
    relu.attributes.update(change)
    module = builtin.Module("m", Graph([x, relu, builtin.Return((relu.result,))]))
    assert '"qnn.relu"(%x)' in print_module(module)


def test_an_escape_that_json_does_not_know_stays_as_it_is_written():
    module = parse_module('module @m {note = "a\\qb", other = "a\\tb"} {\n}\n')
    assert module.annotations == {"note": "a\\qb", "other": "a\tb"}
    assert parse_module(print_module(module)).annotations == module.annotations
