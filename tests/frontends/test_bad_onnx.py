"""ONNX files that are no good: one clear diagnostic each, which names the node or tensor, in bounded memory."""

import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from generators.quantizeml_onnx import Writer, functions, save, small
from generators.recorded import FIXTURES
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.onnx import importer
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.explain_code import meanings

CONV = "conv (QuantizedConv2DBiasedReLUScaled)"
NODE = "QuantizedConv2DBiasedReLUScaled_1 (QuantizedConv2DBiasedReLUScaled)"
QUANTIZER = "InputQuantizer_0 (InputQuantizer)"


def diagnostics(path):
    with pytest.raises(CompileError) as caught:
        load_model(path)
    return caught.value.diagnostics


# ---- what a test does to a good file --------------------------------------------------------------------------------


def node(model, index=1):
    return model.graph.node[index]


def function(model, index=1):
    return next(f for f in model.functions if f.name == node(model, index).op_type)


def tensor(model, suffix):
    return next(t for t in model.graph.initializer if t.name.endswith(suffix))


def replaced(suffix, values):
    """Another constant."""

    def edit(model):
        found = tensor(model, suffix)
        found.CopyFrom(numpy_helper.from_array(np.asarray(values), found.name))

    return edit


def attribute(name, value, index=1):
    """Another attribute, or none."""

    def edit(model):
        kept = [a for a in node(model, index).attribute if a.name != name]
        del node(model, index).attribute[:]
        node(model, index).attribute.extend(kept if value is None else [*kept, helper.make_attribute(name, value)])

    return edit


def body(change):
    """An edit of the nodes of the convolution's function, by operator."""

    def edit(model):
        nodes = {n.op_type: n for n in function(model).node}
        change(nodes, function(model))

    return edit


def dropped(field, *indices):
    """Without members of a list."""

    def edit(model):
        parts = model.graph if hasattr(model.graph, field) else model
        kept = [m for i, m in enumerate(getattr(parts, field)) if i not in indices] if indices else []
        getattr(parts, field).__delitem__(slice(None))
        getattr(parts, field).extend(kept)

    return edit


def assigned(**fields):
    """Other fields of the model."""

    def edit(model):
        for name, value in fields.items():
            setattr(model, name, value)

    return edit


def opsets(*pairs):
    def edit(model):
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*pair) for pair in pairs)

    return edit


def sizes(*values):
    """Another declared shape of the input."""

    def edit(model):
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, values))

    return edit


def inserted(kind, place=2, **options):
    """A standard operator between the convolution and what reads it, which may be in front of more of QuantizeML's."""

    def edit(model):
        made = helper.make_node(kind, ["conv"], ["between"], kind.lower(), **options)
        node(model, place).input[0] = "between"
        nodes = [*model.graph.node[:place], made, *model.graph.node[place:]]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return edit


def clip_at_63(nodes, function):
    constant = next(n for n in function.node if n.output[0].endswith("max_range"))
    constant.attribute[0].f = 63.0


def without_rounding(nodes, function):
    nodes["Floor"].op_type = "Identity"


def swapped(nodes, function):
    nodes["Div"].input[:] = list(nodes["Div"].input)[::-1]


def without_relu(nodes, function):
    nodes["Relu"].op_type = "LeakyRelu"


def relu_twice(nodes, function):
    more = helper.make_node("Relu", [nodes["Relu"].output[0]], ["again"])
    nodes["Div"].input[0] = "again"
    function.node.insert(list(function.node).index(nodes["Relu"]) + 1, more)


def other_strides(nodes, function):
    nodes["Conv"].attribute[0].ref_attr_name = ""
    nodes["Conv"].attribute[0].ints.extend([2, 2])


def missing_value(nodes, function):
    nodes["Conv"].input[0] = "nothing makes this"


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info("conv", TensorProto.INT8, None))


def renamed(op):
    def edit(model):
        node(model).op_type = op

    return edit


def overloaded(model):
    """A second function of one name, which the node calls."""
    function(model).overload = node(model).overload = "evil"
    model.functions.append(functions()[node(model).op_type])


def shapeless(model):
    model.graph.input[0].type.tensor_type.ClearField("shape")


def cycle(model):
    node(model).input[0] = "conv"


def unsorted(model):
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([nodes[1], nodes[0], nodes[2]])


def made_twice(model):
    node(model).output[0] = node(model, 2).input[0] = "quantized"


def swapped_domain(model):
    node(model).domain = "my.dom"


def declared(name, dtype, *shape):
    def edit(model):
        model.graph.value_info.append(helper.make_tensor_value_info(name, dtype, shape))

    return edit


def computed_weights(model):
    list(function(model).input)
    node(model).input[list(function(model).input).index("W")] = "quantized"


def too_few_arguments(model):
    node(model).input.pop()


def encoded(suffix, **fields):
    """A tensor whose fields contradict each other."""

    def edit(model):
        found = tensor(model, suffix)
        for name, value in fields.items():
            if name in ("dims", "int32_data"):
                del getattr(found, name)[:]
                getattr(found, name).extend(value)
            elif value is None:
                found.ClearField(name)
            else:
                setattr(found, name, value)

    return edit


def external(**entries):
    """A tensor whose data are kept elsewhere."""

    def edit(model):
        found = tensor(model, "_W")
        found.ClearField("raw_data")
        found.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            found.external_data.add(key=key, value=str(value))

    return edit


@dataclass
class Bad:
    """What is done to `small()`, and the diagnostic: its code, where it points, what it says was found."""

    edit: Callable
    code: str
    where: str = NODE
    found: str = ""
    options: dict = field(default_factory=dict)


def of_tensor(name, node=NODE):
    return f"{node}, tensor {node.partition(' ')[0]}_{name}"


HUGE = 1 << 31

CASES = {
    # the format
    "no ir version": Bad(assigned(ir_version=0), "ONNX-VERSION", "net.onnx", "no ir_version"),
    "old ir version": Bad(assigned(ir_version=2), "ONNX-VERSION", "net.onnx", "ir_version 2"),
    "unknown ir version": Bad(assigned(ir_version=99), "ONNX-VERSION", "net.onnx", "ir_version 99"),
    "unknown opset": Bad(opsets(("", 99), ("com.brainchip", 1)), "ONNX-OPSET", "net.onnx", "99"),
    "no opset": Bad(opsets(("com.brainchip", 1)), "ONNX-OPSET", "net.onnx", "no opset_import"),
    "two opsets": Bad(opsets(("", 13), ("ai.onnx", 21), ("com.brainchip", 1)), "ONNX-OPSET", "net.onnx", "13, 21"),
    "unknown domain": Bad(swapped_domain, "ONNX-DOMAIN", NODE, "my.dom"),
    "no outputs": Bad(dropped("output"), "ONNX-EMPTY", "net.onnx"),
    # the graph
    "missing initializer": Bad(dropped("initializer", 2), "ONNX-VALUE", NODE, f"{NODE.partition(' ')[0]}_W"),
    "cycle": Bad(cycle, "ONNX-ORDER", NODE, f"conv, made by {NODE}"),
    "not sorted": Bad(unsorted, "ONNX-ORDER", NODE.replace("_1 ", "_1 "), f"quantized, made by {QUANTIZER}"),
    "a value made twice": Bad(made_twice, "ONNX-NAMES", NODE, "quantized"),
    "two outputs": Bad(two_outputs, "QML-ENDS", "net.onnx", "2: y, conv"),
    "an output that nobody makes": Bad(
        lambda m: setattr(m.graph.output[0], "name", "z"), "ONNX-VALUE", "net.onnx", "z"
    ),
    "an output that is an input": Bad(
        lambda m: setattr(m.graph.output[0], "name", "input"), "QML-ENDS", "net.onnx", "input"
    ),
    "two constants of one name": Bad(
        lambda m: m.graph.initializer.append(tensor(m, "_W")), "ONNX-NAMES", "net.onnx", of_tensor("W")[-5:]
    ),
    "two functions of one name": Bad(
        lambda m: m.functions.append(function(m)), "ONNX-NAMES", "net.onnx", "com.brainchip:Quantized"
    ),
    "two attributes of one name": Bad(
        lambda m: node(m).attribute.append(helper.make_attribute("strides", [2, 2])), "ONNX-NAMES", NODE, "strides"
    ),
    "a node without results": Bad(
        lambda m: m.graph.node.add(op_type="Relu", input=["conv"]), "ONNX-EMPTY", "node 3 (Relu)"
    ),
    # tensors
    "raw data too short": Bad(encoded("_W", raw_data=b"\0"), "ONNX-TENSOR", of_tensor("W"), "1 bytes for int8"),
    "no data": Bad(encoded("_W", raw_data=None), "ONNX-TENSOR", of_tensor("W"), "0 values for int8"),
    "unknown type": Bad(encoded("_W", data_type=99), "QML-ARGUMENT", NODE, "data_type 99"),
    "negative size": Bad(encoded("_W", dims=[4, -3, 3, 3]), "ONNX-TENSOR", of_tensor("W"), "[4, -3, 3, 3]"),
    "huge sizes": Bad(encoded("_W", dims=[HUGE, HUGE, 3, 3]), "ONNX-TENSOR", of_tensor("W"), f"int8 [{HUGE}"),
    "large size": Bad(encoded("_W", dims=[1 << 29, 1]), "ONNX-TENSOR", of_tensor("W"), "108 bytes for int8"),
    "values beyond their type": Bad(
        encoded("_Scale", raw_data=None, int32_data=[300] * 4), "ONNX-TENSOR", of_tensor("Scale"), "300 to 300"
    ),
    "infinite shift": Bad(replaced("_Shift", np.array(np.inf, "f4")), "ONNX-NAN", of_tensor("Shift"), "1 of 1"),
    "NaN in a scale": Bad(
        replaced("_scale", np.array([1, np.nan, 1], "f4")), "ONNX-NAN", of_tensor("scale", QUANTIZER), "1 of 3"
    ),
    # external data
    "external, absolute": Bad(external(location="/etc/passwd"), "ONNX-EXTERNAL", of_tensor("W"), "/etc/passwd"),
    "external, above": Bad(external(location="a/../../w.bin"), "ONNX-EXTERNAL", of_tensor("W"), "a/../../w.bin"),
    "external, Windows": Bad(external(location="..\\w.bin"), "ONNX-EXTERNAL", of_tensor("W"), "..\\w.bin"),
    "external, drive": Bad(external(location="C:\\w.bin"), "ONNX-EXTERNAL", of_tensor("W"), "C:\\w.bin"),
    "external, nowhere": Bad(external(offset=0), "ONNX-EXTERNAL", of_tensor("W"), "no location"),
    "external, missing": Bad(external(location="none.bin"), "ONNX-EXTERNAL", of_tensor("W"), "none.bin"),
    "external, a folder": Bad(external(location="."), "ONNX-EXTERNAL", of_tensor("W"), ""),
    "external, past the end": Bad(external(location="w.bin", offset=8), "ONNX-EXTERNAL", of_tensor("W"), "8 + 108"),
    "external, before the start": Bad(external(location="w.bin", offset=-8), "ONNX-EXTERNAL", of_tensor("W"), "-8"),
    "external, no number": Bad(external(location="w.bin", offset="x"), "ONNX-EXTERNAL", of_tensor("W"), "'x'"),
    "external, too long": Bad(external(location="w.bin", length=109), "ONNX-TENSOR", of_tensor("W"), "109 bytes"),
    "external, a link": Bad(external(location="link.bin"), "ONNX-EXTERNAL", of_tensor("W"), "link.bin ▶"),
    "external, a device": Bad(external(location="zero"), "ONNX-EXTERNAL", of_tensor("W"), "zero"),
    "an overload": Bad(overloaded, "QML-NAME", ":evil)", "QuantizedConv2DBiasedReLUScaled:evil"),
    # functions
    "functions removed": Bad(dropped("functions"), "QML-FUNCTION", QUANTIZER, "0 other functions"),
    "clip at 63": Bad(body(clip_at_63), "QML-BODY", NODE, "constant 63.0"),
    "without rounding": Bad(body(without_rounding), "QML-BODY", NODE, "Identity"),
    "shift over sum": Bad(body(swapped), "QML-BODY", NODE, ""),
    "another rectifier": Bad(body(without_relu), "QML-BODY", NODE, "LeakyRelu"),
    "one node more": Bad(body(relu_twice), "QML-BODY", NODE, "Relu"),
    "strides of its own": Bad(body(other_strides), "QML-BODY", NODE, "Conv(strides=(2, 2))"),
    "a value that is not there": Bad(body(missing_value), "QML-BODY", NODE, "a missing value"),
    "no output": Bad(lambda m: function(m).output.pop(), "QML-BODY", NODE, "0"),
    "another input": Bad(lambda m: function(m).input.append("more"), "QML-BODY", NODE, "more"),
    "an attribute less": Bad(lambda m: function(m).attribute.pop(), "QML-BODY", NODE, "none"),
    "function opset 9": Bad(
        lambda m: setattr(function(m).opset_import[0], "version", 9), "QML-BODY", NODE, "version 9"
    ),
    "function opset 99": Bad(
        lambda m: setattr(function(m).opset_import[0], "version", 99), "QML-BODY", NODE, "version 99"
    ),
    # nodes
    "unknown operator": Bad(renamed("Quantized9D"), "QML-NAME", "(Quantized9D)", "Quantized9D"),
    "unknown attribute": Bad(attribute("dilations", [2, 2]), "QML-ATTRIBUTE", NODE, "dilations"),
    "missing attribute": Bad(attribute("strides", None), "QML-ATTRIBUTE", NODE, "strides"),
    "stride 0": Bad(attribute("strides", [0, 1]), "QML-ATTRIBUTE", NODE, "(0, 1)"),
    "one stride": Bad(attribute("strides", [1]), "QML-ATTRIBUTE", NODE, "(1,)"),
    "strides as text": Bad(attribute("strides", "many"), "QML-ATTRIBUTE", NODE, "many"),
    "an argument less": Bad(too_few_arguments, "QML-ARGUMENT", NODE),
    "an absent argument": Bad(lambda m: node(m).input.__setitem__(1, ""), "QML-ARGUMENT", NODE, "nothing"),
    "weights that are computed": Bad(computed_weights, "QML-ARGUMENT", NODE, "quantized"),
    "weights for other channels": Bad(replaced("_W", np.ones((4, 2, 3, 3), "i1")), "QML-ARGUMENT", NODE, "[4, 2, 3"),
    "weights of another rank": Bad(replaced("_W", np.ones((4, 27), "i1")), "QML-ARGUMENT", NODE, "[4, 27]"),
    "no weights": Bad(replaced("_W", np.ones((0, 3, 3, 3), "i1")), "QML-ARGUMENT", NODE, "[0, 3, 3, 3]"),
    "weights of 16 bits": Bad(replaced("_W", np.ones((4, 3, 3, 3), "i2")), "QML-ARGUMENT", NODE, "int16"),
    "bias for other filters": Bad(replaced("_bias", np.ones(3, "i4")), "QML-ARGUMENT", NODE, "[3]"),
    "scale along the width": Bad(replaced("_Scale", np.ones(4, "u1")), "QML-ARGUMENT", NODE, "[4]"),
    "shift 3": Bad(replaced("_Shift", np.full((1, 4, 1, 1), 3, "f4")), "QML-SHIFT", NODE, "3.0"),
    "shift 0": Bad(replaced("_Shift", np.zeros((1, 4, 1, 1), "f4")), "QML-SHIFT", NODE, "0.0"),
    "shift below 0": Bad(replaced("_Shift", np.full((1, 4, 1, 1), -2, "f4")), "QML-SHIFT", NODE, "-2.0"),
    "pads of no rule": Bad(replaced("_pads", np.array([0, 0, 2, 0, 0, 0, 0, 0])), "QML-PAD", NODE, "[2, 0, 0, 0]"),
    "pads for channels": Bad(replaced("_pads", np.array([0, 1, 0, 0, 0, 0, 0, 0])), "QML-PAD", NODE),
    "negative pads": Bad(replaced("_pads", np.array([0, 0, -1, 0, 0, 0, 0, 0])), "QML-PAD", NODE),
    "four pads": Bad(replaced("_pads", np.array([1, 1, 1, 1])), "QML-PAD", NODE),
    "huge pads": Bad(replaced("_pads", np.array([0, 0, HUGE, 0, 0, 0, HUGE, 0])), "QML-PAD", NODE),
    "a kernel larger than the map": Bad(replaced("_W", np.ones((4, 3, 9, 9), "i1")), "QML-PAD", NODE, "kernel [9, 9]"),
    "sums beyond 32 bits": Bad(
        replaced("_bias", np.full(4, 2**31 - 1, "i4")), "QML-RANGE", NODE, "sums of up to 21"
    ),
    "another declared shape": Bad(declared("conv", TensorProto.INT8, "N", 4, 5, 5), "QML-SHAPE", NODE, "[4, 5, 5]"),
    "float operator between": Bad(inserted("Tan"), "QML-FLOAT", "tan (Tan)", "1 computed inputs"),
    # ends
    "no input shape": Bad(shapeless, "QML-INPUT", "input input", "no shape"),
    "open height": Bad(sizes("N", 3, "H", 6), "QML-INPUT", "input input", "[N, 3, H, 6]"),
    "no height": Bad(sizes("N", 3, 0, 6), "QML-INPUT", "input input", "[N, 3, 0, 6]"),
    "a huge input": Bad(sizes("N", 3, 1 << 20, 1 << 20), "QML-INPUT", "input input", "[N, 3, 1048576, 1048576]"),
    "five dimensions": Bad(sizes("N", 3, 6, 6, 6), "QML-ATTRIBUTE", QUANTIZER, "(0, 1, 2, 3)"),
    "an input of strings": Bad(
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8), "QML-INPUT", "input input", "data_type 8"
    ),
    "another permutation": Bad(attribute("perm", [0, 1, 3, 2], 0), "QML-ATTRIBUTE", QUANTIZER, "(0, 1, 3, 2)"),
    "a permutation of text": Bad(attribute("perm", "x", 0), "QML-ATTRIBUTE", QUANTIZER, "x"),
    "scale 0": Bad(replaced("_scale", np.zeros(3, "f4")), "QML-ARGUMENT", QUANTIZER, "0.0"),
    "zero point of 32 bits": Bad(replaced("_zp", np.zeros(3, "i4")), "QML-ARGUMENT", QUANTIZER, "int32"),
    "scales for other channels": Bad(replaced("_scale", np.ones(2, "f4")), "QML-ARGUMENT", QUANTIZER, "[2]"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_diagnostic_names_what_is_wrong(name, tmp_path):
    case = CASES[name]
    model = small()
    case.edit(model)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(108))
    (tmp_path / "outside.bin").write_bytes(bytes(108))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "zero").symlink_to("/dev/zero")
    path = save(model, folder)
    tracemalloc.start()
    try:
        (found,) = diagnostics(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.code == case.code
    assert case.where in found.where
    assert case.found in found.found
    assert found.code in meanings()
    assert len(found.render()) < 1500
    assert peak < 32 << 20


def test_all_faults_come_at_once(tmp_path):
    w = Writer(("N", 3, 6, 6))
    x = w.quantize(3)
    given = {"X": x, "W": np.ones((4, 3, 3, 3), np.int8), "bias": np.zeros(4, np.int32), "pads": np.zeros(8, np.int64)}
    given |= {"Scale": np.array(1, np.uint8), "Shift": np.array(3.0, np.float32)}
    first = w.call("QuantizedConv2DBiasedScaled", given, "first", strides=[1, 1])
    w.call("QuantizedConv2DBiasedScaled", given | {"X": first}, "second", strides=[1, 1])
    third = w.call(
        "QuantizedConv2DBiasedScaled", given | {"W": np.ones((4, 2, 3, 3), np.int8)}, "third", strides=[1, 1]
    )
    found = diagnostics(save(w.model(third, 4), tmp_path))
    assert [(d.code, d.where.partition(" ")[0]) for d in found] == [
        ("QML-SHIFT", "QuantizedConv2DBiasedScaled_1"),
        ("QML-ARGUMENT", "QuantizedConv2DBiasedScaled_3"),
    ]


def test_external_data_in_the_folder_are_read(tmp_path):
    model = small()
    expected = numpy_helper.to_array(tensor(model, "_W"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"12345678" + expected.tobytes())
    external(location="data/w.bin", offset=8, length=108)(model)
    module = load_model(save(model, tmp_path))
    conv = next(op for op in module.body if op.op_name == "qnn.conv2d")
    assert np.array_equal(conv.weights.array, expected.transpose(2, 3, 1, 0))


# ---- whole files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "FILE-EMPTY"),
        (b"hello, this is no model", "FILE-DAMAGED"),
        (bytes(1000), "FILE-DAMAGED"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "FILE-DAMAGED"),
        (np.random.default_rng(0).bytes(64), None),
    ],
)
def test_what_is_no_onnx(data, code, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    found = diagnostics(path)
    assert str(path) in found[0].where
    assert code in (None, found[0].code)


def test_folders_and_missing_files(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    assert diagnostics(tmp_path / "folder.onnx")[0].code == "FILE-DIRECTORY"
    assert diagnostics(tmp_path / "none.onnx")[0].code == "FILE-MISSING"


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # a hole: it takes no space
    tracemalloc.start()
    assert diagnostics(path)[0].code == "ONNX-SIZE"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@contextmanager
def suppress_of(path):
    """Let diagnostics pass, if they are such, and name the file."""
    told = None
    try:
        yield
    except CompileError as error:
        told = error
    assert told is None or (told.diagnostics and str(path) in told.render())
    assert told is None or all(d.code and d.message for d in told.diagnostics)


def test_every_prefix_of_a_file(tmp_path):
    """Those that end between functions that nobody calls are whole models; of all others the file is told."""
    model = small()
    model.functions.append(functions()["QuantizedConcat"])
    data = model.SerializeToString()
    path, whole = tmp_path / "net.onnx", 0
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        with suppress_of(path):
            load_model(path)
            whole += 1
    assert whole == 1


@given(st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_flipped_bytes_give_a_module_or_diagnostics(tmp_path_factory, data):
    good = small().SerializeToString()
    edited = bytearray(good)
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        edited[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.onnx"
    path.write_bytes(bytes(edited))
    with suppress_of(path):
        load_model(path)


def test_commands_say_the_same(tmp_path, capsys):
    path = save(small(Shift=np.full((1, 4, 1, 1), 3, np.float32)), tmp_path)
    assert main(["convert", "-m", str(path)]) == 1
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "QML-SHIFT" in text
        assert NODE in text
        assert "Traceback" not in text


def test_without_the_onnx_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    (found,) = diagnostics(FIXTURES / "onnx" / "cnn_u8.onnx")
    assert (found.code, found.help) == ("ONNX-PACKAGE", "pip install onnx")


@pytest.mark.parametrize("error", [DecodeError("truncated"), RecursionError("too deep")])
def test_what_the_parser_finds_late_is_a_damaged_file(error, monkeypatch, tmp_path):
    """Parts of a message may be read only when they are looked at."""

    def late(file):
        raise error

    monkeypatch.setattr(importer, "graph_of", late)
    (found,) = diagnostics(save(small(), tmp_path))
    assert found.code == "FILE-DAMAGED"
    assert str(error) in found.found
