"""What a function of QuantizeML's files computes, as a term; a node called so is no input and no constant."""

import pytest

from cnn2snn_ir.frontends.onnx.graph import Function, Node
from cnn2snn_ir.frontends.onnx.quantizeml.terms import RESERVED, call, constant, difference, given, terms_of


def function(*nodes):
    return Function("com.brainchip", "F", ("x",), ("y",), (), nodes, {"": 18})


def node(op, inputs=("x",), outputs=("y",), **attributes):
    return Node(0, op, op, "", inputs, outputs, attributes)


def test_names_and_absent_arguments_make_no_difference():
    (one,) = terms_of(function(node("Clip", ("x", "", "")), node("Relu", ("nothing else reads this",), ("z",))))
    assert one == call("Clip", given("x"))
    assert difference(call("Clip", given("x")), one) is None


@pytest.mark.parametrize(
    ("op", "attributes", "rival"),
    [
        ("input", {"name": "x"}, given("x")),
        ("constant", {"value": 3}, constant(3)),
        ("none", {}, call("none")),
    ],
)
def test_a_node_is_not_taken_for_what_it_is_called(op, attributes, rival):
    assert op in RESERVED
    (found,) = terms_of(function(node(op, (), **attributes)))
    assert found != rival
    place, here, _ = difference(found, rival)
    assert here.startswith(f":{op}")
    assert place
    (without,) = terms_of(function(node(op, ())))
    assert str(without) == f":{op}"  # it has none of the attributes that the real one would be shown with
    assert difference(rival, without)
