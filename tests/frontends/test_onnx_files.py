"""ONNX files as data: what is read of a file equals what `onnx` itself reads, and constants are read when needed."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends.onnx.importer import read_graph
from cnn2snn_ir.frontends.onnx.tensors import ENCODINGS, StoredTensor

PLAIN = ("f4", "f8", "u1", "i1", "u2", "i2", "i4", "i8", "u4", "u8", "?", "f2")


def stored(proto, folder="."):
    from pathlib import Path

    return StoredTensor(proto.name, "conv (Conv)", proto, Path(folder))


def relu_model(*more, **changes):
    """One Relu, and whatever a test adds."""
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy"]
    graph = helper.make_graph([node, *more], "g", ends[:1], ends[1:], **changes)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_plain_type_is_read_as_onnx_reads_it(data):
    dtype = data.draw(st.sampled_from(PLAIN))
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    array = data.draw(arrays.arrays(dtype, shape))
    read = stored(numpy_helper.from_array(array, "w")).read()
    assert read.shape == array.shape
    assert np.array_equal(read, array, equal_nan=array.dtype.kind == "f")
    assert read.dtype == (np.float32 if dtype == "f2" else array.dtype)
    proto = helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(array.dtype), shape, array.reshape(-1))
    assert np.array_equal(stored(proto).read(), read, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "BFLOAT16", "FLOAT16"])
@pytest.mark.parametrize("raw", [True, False])
def test_small_types_are_read_as_onnx_reads_them(kind, raw):
    values = [-3, 7, -8, 0, 5] if kind == "INT4" else [3, 15, 0, 9, 1]
    made = helper.make_tensor("w", getattr(TensorProto, kind), [5], np.array(values, np.float32))
    if raw:
        made = numpy_helper.from_array(numpy_helper.to_array(made), "w")
    assert np.array_equal(stored(made).read(), values)


def test_encodings_are_those_of_onnx():
    for number, encoding in ENCODINGS.items():
        known = {"FLOAT": "float32", "DOUBLE": "float64"}.get(name := TensorProto.DataType.Name(number), name.lower())
        assert encoding.name == known
        assert encoding.field == helper.tensor_dtype_to_field(number) or encoding.bits < 4


def test_graph_as_data(tmp_path):
    weight = numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    constant = helper.make_node("Constant", [], ["c"], value_ints=[1, 2])
    unused = helper.make_node("Foo", ["x", ""], ["z"], domain="my.dom", alpha=0.5, words=["a", "b"], t=weight)
    model = relu_model(constant, unused, initializer=[weight])
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    model.opset_import.append(helper.make_opsetid("my.dom", 2))
    body = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("my.dom", "Foo", ["a"], ["b"], [body], model.opset_import))
    onnx.save(model, tmp_path / "net.onnx")
    graph = read_graph(tmp_path / "net.onnx")
    assert (graph.name, graph.inputs, graph.outputs) == ("net", ("x",), ("y",))
    assert graph.opsets == {"": 21, "my.dom": 2}
    assert [n.where for n in graph.nodes] == ["relu (Relu)", "node 2 (Foo)"]
    foo = graph.nodes[1]
    assert (foo.inputs, foo.attributes["alpha"], foo.attributes["words"]) == (("x", ""), 0.5, ("a", "b"))
    assert np.array_equal(foo.attributes["t"].read(), [0, 1, 2])
    assert np.array_equal(graph.constant("c", foo), [1, 2])
    assert np.array_equal(graph.constant("w", foo), [0, 1, 2])
    assert (graph.values["x"].dtype, graph.values["x"].shape) == ("float32", ("N", 3))
    assert [n.op for n in graph.functions["my.dom", "Foo"].nodes] == ["Relu"]
    assert [n.index for n in graph.readers("x")] == [0, 2]


def test_tensors_that_nobody_needs_are_not_read(tmp_path):
    broken = numpy_helper.from_array(np.ones(3, np.float32), "w")
    broken.dims[0] = 1 << 40
    onnx.save(relu_model(initializer=[broken]), tmp_path / "net.onnx")
    graph = read_graph(tmp_path / "net.onnx")
    with pytest.raises(CompileError, match="ONNX-TENSOR"):
        graph.constant("w", graph.nodes[0])
