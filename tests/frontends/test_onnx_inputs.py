"""Who reads an input of an ONNX model, which says how it lies."""

from dataclasses import dataclass

import pytest

from cnn2snn_ir.frontends.onnx.standard.inputs import ELEMENTWISE, input_axes, real_readers


@dataclass
class Node:
    op: str
    outputs: tuple = ()
    attributes: dict = None

    def __post_init__(self):
        self.attributes = self.attributes or {}


class Graph:
    """Readers of values by name."""

    def __init__(self, **readers):
        self.by_name = readers

    def readers(self, name):
        return self.by_name.get(name, [])


PLAIN = sorted(ELEMENTWISE)[0]
TO_FRONT = Node("Transpose", ("t",), {"perm": (0, 3, 1, 2)})


def test_every_reader_is_found_through_elementwise_nodes():
    graph = Graph(
        x=[Node("Conv"), Node(PLAIN, ("a", "b")), Node("MatMul"), Node(PLAIN, ("a",))],
        a=[Node("Softmax"), Node(PLAIN, ("x",))],
        b=[Node("Gemm")],
    )
    assert sorted(node.op for node in real_readers("x", graph)) == ["Conv", "Gemm", "MatMul", "Softmax"]


@pytest.mark.parametrize("others", [[], [Node("Shape")], [Node(PLAIN, ("a",))]])
def test_a_transposition_behind_any_other_reader_says_that_channels_are_last(others):
    """A model that turns its input around itself takes it as it is."""
    assert input_axes("x", 4, Graph(x=[*others, TO_FRONT])) == (0, 1, 2, 3)
    assert input_axes("x", 4, Graph(x=others)) == (0, 2, 3, 1)
