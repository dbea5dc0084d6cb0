"""QuantizeML's ONNX operators one by one: every name, on any geometry, computes what int64 arithmetic gives."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from generators.quantizeml_onnx import Writer, functions, models, save, small, spelled
from generators.recorded import FIXTURES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.onnx.importer import read_graph
from cnn2snn_ir.frontends.onnx.quantizeml.grammar import BASES, NAMES, parse_name
from cnn2snn_ir.frontends.onnx.quantizeml.templates import HELPERS, verified
from cnn2snn_ir.ir import si, ui
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model

sys.path.insert(0, str(Path(__file__).parent.parent / "oracle"))

from onnx_reference import Reference

LAYERS = sorted(name for name, parts in NAMES.items() if parts.base not in ("InputQuantizer", "Dequantizer"))
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def nhwc(array):
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def differing(values, expected):
    """The tensors that both have and that differ."""
    both = [name for name in expected if name in values]
    assert len(both) >= 2
    return [n for n in both if not np.array_equal(nhwc(expected[n]).reshape(-1), np.asarray(values[n]).reshape(-1))]


@pytest.mark.parametrize("op", LAYERS)
def test_every_operator_on_any_geometry(op, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    @given(models(NAMES[op]), st.integers(0, 2**32 - 1))
    @few
    def check(model_and_shape, seed):
        model, shape = model_and_shape
        path = save(model, folder)
        module = load_model(path)
        assert not list(verify(module))
        program = converted(path)
        reference, memory, remembered = Reference(model), {}, {}
        rng = np.random.default_rng(seed)
        for _ in range(3 if "TempConv" in op else 1):
            x = rng.normal(0, 0.7, (2, *shape)).astype(np.float32)
            expected = reference.run(x)
            assert differing(run_all(module, nhwc(x), memory), expected) == []
            if program is not None:
                assert differing(program.intermediates(nhwc(x), memory=remembered), expected) == []

    check()


def converted(path):
    """The program, where Akida 2 has a layer for the geometry."""
    try:
        return Model(compile_model(path)[0])
    except CompileError as error:
        refused = {d.code[:4] for d in error.diagnostics if d.severity == "error"}
    assert refused == {"AK2-"}
    return None


# ---- names and functions --------------------------------------------------------------------------------------------


def test_quantizeml_writes_a_function_for_every_name():
    names = set(functions()) - set(HELPERS)
    assert {n for n in names if not n.startswith("Dequantizer")} == {n for n in NAMES if n != "Dequantizer"}
    known = read_graph(FIXTURES / "onnx" / "functions.onnx").functions
    for op in names:
        name = parse_name(op, "")
        assert spelled(name) == op or name.tensors > 1
        assert verified(op, name, known, "").name == op


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("QuantizedConv3D", ", ".join(BASES)),
        ("QuantizedConv2DReLUMaxPoolScaled", "QuantizedConv2D, then nothing or Biased; nothing or MaxPool"),
        ("QuantizedConv2DBiasedReLU", "QuantizedConv2D, then"),
        ("QuantizedInputConv2DReLUScaled", "QuantizedInputConv2D, then Biased; nothing or MaxPool"),
        ("QuantizedDense1DBiasedLUTScaled", "QuantizedDense1D, then nothing or Flatten"),
        ("Dequantizer1", "InputQuantizer, Dequantizer"),
        ("activation", "InputQuantizer, Dequantizer"),
    ],
)
def test_a_name_that_is_none_comes_with_those_that_are(name, told):
    with pytest.raises(CompileError) as caught:
        parse_name(name, "conv")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where, found.found) == ("QML-NAME", "conv", name)
    assert found.allowed.startswith(told)


def test_names_of_values_and_the_order_of_independent_nodes_do_not_matter(tmp_path):
    model = small()
    expected = load_model(save(model, tmp_path))
    function = next(f for f in model.functions if f.name.startswith("QuantizedConv"))
    nodes = list(function.node)
    constants = [n for n in nodes if n.op_type == "Constant" or (n.op_type == "Cast" and n.input[0] in function.input)]
    for node in nodes:
        node.name = "anything"
        for names in (node.input, node.output):
            names[:] = [n if not n or n in function.input or n in function.output else f"v{hash(n)}" for n in names]
    del function.node[:]
    function.node.extend([*reversed(constants), *(n for n in nodes if n not in constants)])
    function.node.add(op_type="Relu", input=["X"], output=["nobody reads this"])
    assert same(load_model(save(model, tmp_path)), expected)


def test_arguments_are_bound_by_name(tmp_path):
    model = small()
    expected = load_model(save(model, tmp_path))
    node = model.graph.node[1]
    function = next(f for f in model.functions if f.name == node.op_type)
    for names in (node.input, function.input):
        names[:] = list(names)[::-1]
    assert same(load_model(save(model, tmp_path)), expected)


def test_functions_that_nobody_calls_are_ignored(tmp_path):
    model = small()
    expected = load_model(save(model, tmp_path))
    other = model.functions.add()
    other.CopyFrom(functions()["QuantizedDense1DFlattenBiased"])
    other.node[-1].op_type = "Edited"
    assert same(load_model(save(model, tmp_path)), expected)


def same(module, other):
    """Equal but for the digest of the file."""
    from cnn2snn_ir.text import print_module

    for each in (module, other):
        each.annotations.clear()
    return print_module(module) == print_module(other)


# ---- ends -----------------------------------------------------------------------------------------------------------


def test_the_quantizer_divides_and_rounds_ties_to_even(tmp_path):
    """By 0.07 products with the reciprocal differ from quotients; halves and saturated values are among the samples."""
    scale = np.float32(0.07)
    w = Writer(("N", 4))
    x = w.quantize(4, float(scale), 0, "int8", rank=2)
    last = w.call("QuantizedDense1D", {"X": x, "W": np.eye(4, dtype=np.int8)}, "dense")
    path = save(w.model(last, 4), tmp_path)
    ties = (np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)) * scale
    near = np.concatenate([ties, np.nextafter(ties, 9e9), np.nextafter(ties, -9e9), [np.inf, -np.inf, 3e38, -3e38]])
    samples = np.resize(near.astype(np.float32), (len(near) // 4 + 1, 4))
    expected = Reference(onnx.load(path)).run(samples)["quantized"]
    with np.errstate(over="ignore"):
        assert (np.rint(samples * np.float32(1 / scale)).clip(-128, 127) != expected).any()
    assert np.array_equal(run_all(load_model(path), samples)["quantized"], expected)
    program = Model(compile_model(path)[0])
    assert np.array_equal(program.intermediates(samples)["quantized"].reshape(-1, 4), expected)


def test_integers_that_the_quantizer_keeps_are_the_input(tmp_path):
    w = Writer(("N", 3, 6, 6), onnx.TensorProto.UINT8)
    x = w.quantize(3, 1.0, 0, "uint8")
    weights = np.random.default_rng(0).integers(-9, 9, (4, 3, 3, 3)).astype(np.int8)
    given = {"X": x, "W": weights, "bias": np.zeros(4, np.int32), "x_pad_value": np.zeros(3, np.int32)}
    given |= {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "Scale": np.array(128, np.uint8),
        "Shift": np.array(1024.0, np.float32),
    }
    path = save(w.model(w.call("QuantizedInputConv2DBiasedReLUScaled", given, strides=[1, 1]), 4), tmp_path)
    module = load_model(path)
    assert module.inputs[0].element == ui(8)
    assert not any(isinstance(op, qnn.QuantizeLinear) for op in module.body)
    samples = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6), np.uint8)
    expected = Reference(onnx.load(path)).run(samples)["y"]
    assert np.array_equal(Model(compile_model(path)[0]).predict(nhwc(samples)), nhwc(expected))


def test_what_no_layer_holds_is_imported_exactly_and_refused_for_the_chip(tmp_path):
    for formal, value, code in (
        ("bias", np.array([12345677, 1, 2, 3], np.int32), "AK2-BIAS-01"),
        ("bias", np.array([4, 3, 2, 1], np.int32) << 9, None),
    ):
        path = save(small(**{formal: value}), tmp_path)
        module = load_model(path)
        bias = next(op for op in module.body if isinstance(op, qnn.BiasAdd))
        assert (bias.bias.int64 << bias.shift.int64).tolist() == value.tolist()
        assert bias.bias.type.element == (si(32) if code else si(8))
        if code is None:
            compile_model(path)
            continue
        with pytest.raises(CompileError) as caught:
            compile_model(path)
        assert [d.code for d in caught.value.diagnostics if d.severity == "error"] == [code]


# ---- what the host computes -----------------------------------------------------------------------------------------


def made(kind, *inputs, **attributes):
    return helper.make_node(kind, ["y", *inputs], ["z"], kind.lower(), **attributes)


TAILS = {
    **{kind: [made(kind)] for kind in ("Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Relu", "Mish")},
    "Softmax of channels": [made("Softmax", axis=1)],
    "Softmax of rows": [made("Softmax", axis=2)],
    "Softmax of columns": [made("Softmax")],
    "Flatten": [made("Flatten")],
    "Reshape": [made("Reshape", "open")],
    "Reshape of all samples": [made("Reshape", "fixed")],
    "Identity": [made("Identity")],
    "Dropout": [made("Dropout")],
    "Dense": [made("Flatten"), helper.make_node("Gemm", ["z", "w", "b"], ["p"], "dense", transB=1)],
    "Dense without bias": [made("Flatten"), helper.make_node("Gemm", ["z", "v"], ["p"], "dense")],
}
"""Standard operators behind the dequantizer, `y`."""


def with_tail(nodes):
    model = small()
    model.graph.node.extend(nodes)
    random = np.random.default_rng(4)
    more = {"open": np.array([0, -1]), "fixed": np.array([-1, 144])}
    more |= {"w": random.normal(size=(3, 144)), "v": random.normal(size=(144, 3)), "b": random.normal(size=3)}
    arrays = {name: values.astype("f4") if values.dtype.kind == "f" else values for name, values in more.items()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None))
    return model


@pytest.mark.parametrize("name", TAILS)
def test_the_host_computes_a_float_tail(name, tmp_path):
    model = with_tail(TAILS[name])
    samples = np.random.default_rng(3).normal(0, 0.7, (2, 3, 6, 6)).astype(np.float32)
    with np.errstate(all="ignore"):  # in its sigmoid
        (expected,) = ReferenceEvaluator(model).run(None, {"input": samples})
    module, _ = compile_model(save(model, tmp_path), allow_float_tail=True)
    found = Model(module).predict(nhwc(samples))
    assert found.shape == nhwc(expected).shape
    assert np.allclose(found, nhwc(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (made("Softmax", axis=0), "0"),
        (made("Flatten", axis=2), "axis 2"),
        (made("Reshape", "shape"), "nothing makes"),
        (made("Gemm", "w"), "tensor<?x6x6x4xf32>"),
        (made("LRN", size=3), "1 computed inputs"),
        (made("Relu", consumed_inputs=[1]), "consumed_inputs"),
    ],
)
def test_a_tail_that_the_host_does_not_compute(node, found, tmp_path):
    model = with_tail([node])
    if found == "nothing makes":
        model.graph.initializer.append(numpy_helper.from_array(np.array([0, 4, 36]), "shape"))
        found = "[0, 4, 36]"
    with pytest.raises(CompileError) as caught:
        load_model(save(model, tmp_path))
    (told,) = caught.value.diagnostics
    assert (told.code, told.where) == ("QML-FLOAT", f"{node.name} ({node.op_type})")
    assert found in told.found


def test_scales_are_kept_for_comparisons_with_floats(tmp_path):
    model = small()
    scale = numpy_helper.from_array(np.array([2.0, 4.0, 8.0, 16.0]), "scale")
    model.graph.node[1].attribute.append(helper.make_attribute("scale", scale))
    module = load_model(save(model, tmp_path))
    op = next(op for op in module.body if op.results and op.results[0].name == "conv")
    assert op.annotations["scale"].array.tolist() == [0.5, 0.25, 0.125, 0.0625]
