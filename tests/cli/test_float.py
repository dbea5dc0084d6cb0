"""`cnn2snn compare --float`: what is the same value, how far apart the two models are, and what is refused."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from generators.streams import FRAMES, streaming_program, write_signed

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.backends.program import write_program
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.runtime import comparison
from cnn2snn_ir.runtime.floats import keras_model
from cnn2snn_ir.runtime.floats.fidelity import Fidelity
from cnn2snn_ir.runtime.floats.matching import Node, folded, last_of, match
from cnn2snn_ir.runtime.floats.model import FloatValue
from cnn2snn_ir.runtime.floats.onnx_model import layer_of
from cnn2snn_ir.tools.cnn2snn import main

FOLDER = FIXTURES / "float"
MODEL, KERAS, ONNX = FOLDER / "twin_i8_w8_a8.h5", FOLDER / "twin_float.h5", FOLDER / "twin_float.onnx"

with np.load(FOLDER / "twin_float.npz") as recorded:
    FLOATS = dict(recorded)

MATCHED = {
    "c1": "c1_bn",
    "c1_relu": "c1_pool",
    "c2_activ": "c2",
    "c3_pool": "c3_bn",
    **{name: name for name in ("c3_relu", "c4", "c4_relu", "add", "c5", "c5_relu", "flatten", "dense", "classes")},
}
"""Quantized layer ▶ the float layer whose output is the same."""


class RecordedKeras:
    """Stands for Keras: a model gives what Keras gave for those of the recorded samples that it gets."""

    class Model:
        def __init__(self, inputs, outputs):
            self.outputs = outputs

        def predict_on_batch(self, x):
            assert x.dtype == np.uint8
            rows = [next(i for i, known in enumerate(FLOATS["x"]) if np.array_equal(known, sample)) for sample in x]
            found = [FLOATS[name][rows] for name in self.outputs]
            return found[0] if len(found) == 1 else found

    @classmethod
    def load(cls, path):
        layers = [SimpleNamespace(name=name, output=name) for name in FLOATS if name != "x"]
        return cls, SimpleNamespace(inputs=[SimpleNamespace(dtype="uint8", shape=(None, 12, 10, 3))], layers=layers)


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setattr(keras_model, "load", RecordedKeras.load)


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The arguments that compare the recorded pair."""
    folder = tmp_path_factory.mktemp("float")
    write_program(compile_model(MODEL, allow_float_tail=True)[0], folder / "twin.fbz")
    np.savez(folder / "x.npz", x=FLOATS["x"])
    return ["compare", str(MODEL), str(folder / "twin.fbz"), "-i", str(folder / "x.npz")]


def report(arguments, capsys):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["float"]


def test_layers_that_compute_the_same(twin, keras, capsys):
    data = report([*twin, "--float", str(KERAS)], capsys)
    assert {v["name"]: v["float_name"] for v in data["values"]} == MATCHED
    assert (data["matched"], data["layers"]) == (13, 16)
    assert set(data["unmatched"]) == {"c1_pool", "c2", "c3"}
    assert (data["samples"], data["agreeing"]) == (4, 4)


def test_noise_is_that_of_quantization(twin, keras, capsys):
    """Eight bits give some 40 dB at first, and later layers add theirs; the flatten saturates, as QuantizeML's does."""
    data = report([*twin, "--float", str(KERAS)], capsys)
    sqnr = {v["name"]: v["sqnr"] for v in data["values"]}
    assert sqnr.pop("flatten") == pytest.approx(10.1, abs=0.1)
    assert sqnr.pop("dense") == pytest.approx(13.2, abs=0.1)
    assert all(19 < value < 50 for value in sqnr.values())
    assert sqnr["c1"] == pytest.approx(39.5, abs=0.1)
    assert data["output"]["sqnr"] == pytest.approx(sqnr["classes"])


def test_chunks_do_not_matter(twin, keras, monkeypatch, capsys):
    whole = report([*twin, "--float", str(KERAS)], capsys)
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 1)
    parts = report([*twin, "--float", str(KERAS)], capsys)
    assert [v["sqnr"] for v in parts["values"]] == pytest.approx([v["sqnr"] for v in whole["values"]])
    assert parts["agreeing"] == whole["agreeing"]


def test_the_table(twin, keras, capsys):
    assert main([*twin, "--float", str(KERAS), "--count", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("10/10 layers compared")
    assert "against the float original: 13/16 layers matched\n" in out
    assert "\nc1_relu   c1_pool      " in out
    assert "\n  c2: no value there is computed by the same layers\n" in out
    assert out.endswith("the largest output is the same for 2 of 2 samples (1.0000)\n")


def test_another_float_model_changes_no_exit_code(twin, keras, monkeypatch, capsys):
    monkeypatch.setitem(FLOATS, "classes", 1 - FLOATS["classes"])
    data = report([*twin, "--float", str(KERAS)], capsys)
    assert data["output"]["sqnr"] < 5
    assert data["agreeing"] == 0


def test_a_value_that_the_float_model_does_not_tell(twin, keras, monkeypatch, capsys):
    monkeypatch.delitem(FLOATS, "add")
    monkeypatch.setitem(FLOATS, "c4", FLOATS["c4"][..., :3])
    data = report([*twin, "--float", str(KERAS)], capsys)
    assert data["matched"] == 11
    assert data["unmatched"]["add"] == "the float model does not tell it"
    assert data["unmatched"]["c4"] == "its values have other shapes"
    assert main([*twin, "--float", str(KERAS)]) == 0


# ---- ONNX ---------------------------------------------------------------------------------------------------------


def onnx_values(path=ONNX):
    from cnn2snn_ir.runtime.floats.onnx_model import OnnxModel

    model = OnnxModel(path, [name for name in FLOATS if name != "x"])
    return model, model.run(FLOATS["x"], [value.key for value in model.values])


def test_onnx_tensors_are_those_of_keras():
    pytest.importorskip("onnxruntime")
    model, values = onnx_values()
    last = {value.layer: values[value.key] for value in model.values}
    assert last.keys() == FLOATS.keys() - {"x", "image"}
    for name in last.keys() - {"rescaling"}:  # what comes before any convolution stays as the input is
        array = last[name]
        assert np.allclose(array, FLOATS[name], rtol=1e-4, atol=1e-5), name


def test_onnx(twin, capsys):
    pytest.importorskip("onnxruntime")
    data = report([*twin, "--float", str(ONNX)], capsys)
    assert [v["name"] for v in data["values"]] == list(MATCHED)
    assert data["values"][0]["sqnr"] == pytest.approx(39.5, abs=0.1)


def test_onnx_without_known_names(twin, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ONNX)
    names = {}
    for node in model.graph.node:
        node.name = ""
        for tensors in (node.output, node.input):
            for index, name in enumerate(tensors):
                if name.endswith(":0"):
                    tensors[index] = names.setdefault(name, f"t{len(names)}")
    model.graph.output[0].name = names[model.graph.output[0].name]
    onnx.save(model, tmp_path / "x.onnx")
    data = report([*twin, "--float", str(tmp_path / "x.onnx")], capsys)
    assert (data["matched"], data["values"]) == (0, [])
    assert data["output"]["sqnr"] > 20


def test_onnx_of_one_sample(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ONNX)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "x.onnx")
    model, values = onnx_values(tmp_path / "x.onnx")
    assert np.allclose(values[model.output], FLOATS["classes"], atol=1e-5)


def test_layers_in_the_names_of_nodes():
    known = ["conv", "stage/conv", "relu"]
    assert layer_of(("net/stage/conv/Conv2D", "x:0"), known) == "stage/conv"
    assert layer_of(("", "net/relu:0"), known) == "relu"
    assert layer_of(("net/relu_1/Relu", "t"), known) == "t"


# ---- Keras --------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_keras(twin, capsys):
    pytest.importorskip("tensorflow")
    data = report([*twin, "--float", str(KERAS)], capsys)
    assert {v["name"]: v["float_name"] for v in data["values"]} == MATCHED
    assert data["values"][0]["sqnr"] == pytest.approx(39.5, abs=0.1)


# ---- matching -----------------------------------------------------------------------------------------------------


def test_two_branches_of_the_same_work_are_ambiguous():
    nodes = [Node("a", (), frozenset("a")), Node("b", ("a",), frozenset()), Node("c", ("a",), frozenset())]
    assert last_of(nodes[:2]) == {frozenset("a"): "b"}
    assert last_of(nodes) == {}


def test_what_is_folded_into_what():
    chain = [
        ("x", "InputLayer"),
        ("s", "Rescaling"),
        ("c", "Conv2D"),
        ("p", "MaxPooling2D"),
        ("b", "BatchNormalization"),
    ]
    values = [FloatValue(n, n, kind, (chain[i - 1][0],) if i else ()) for i, (n, kind) in enumerate(chain)]
    assert folded(values) == {"s": {"c"}, "b": {"c"}}


def test_a_softmax_is_no_part_of_the_layer_before_it():
    """The example ends in its dense layer; a float model with a softmax behind it differs there only."""
    module = load_model(EXAMPLES / "mnist_v2_i8_w8_a8.h5")
    dense = FloatValue("dense", "dense", "Dense", ())
    linear = FloatValue("drop", "drop", "Dropout", ("dense",))
    softmax = FloatValue("softmax", "softmax", "Softmax", ("drop",))
    assert match(module, [dense, linear, softmax])["dense"] == linear


# ---- arithmetic ---------------------------------------------------------------------------------------------------


def test_sqnr():
    row = Fidelity("a", "a")
    row.update(np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]], np.float32))
    row.update(np.array([[0.0, 1.0]]), np.array([[[0.0], [1.0]]], np.float32))
    assert row.sqnr == pytest.approx(10 * math.log10((9 + 20.25 + 1) / 0.25))
    assert (row.largest, row.peak) == (0.5, 4.5)
    assert Fidelity("a", "a").sqnr == math.inf
    assert Fidelity("a", "a", noise=1).sqnr == -math.inf


# ---- what is refused ----------------------------------------------------------------------------------------------


def refused(arguments, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_keras_is_not_installed(twin, monkeypatch, capsys):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(keras_model, "import_module", missing)
    err = refused([*twin, "--float", str(KERAS)], capsys)
    assert "FLOAT-LIBRARY" in err
    assert "pip install 'cnn2snn-ir[keras]'" in err


def test_keras_does_not_load_the_file(twin, monkeypatch, capsys):
    def load_model(path, compile):
        raise ValueError("Unknown layer: Fancy")

    monkeypatch.setattr(
        keras_model, "import_module", lambda name: SimpleNamespace(models=SimpleNamespace(load_model=load_model))
    )
    assert "Unknown layer: Fancy" in refused([*twin, "--float", str(KERAS)], capsys)


def test_code_in_the_file_is_not_run(twin, capsys):
    err = refused([*twin, "--float", str(FIXTURES / "bad" / "lambda.h5")], capsys)
    assert "FLOAT-MODEL" in err
    assert "(Lambda)" in err


def test_files_that_are_no_float_models(twin, tmp_path, capsys):
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    cases = {"x.pt": "FLOAT-MODEL", "none.h5": "FILE-MISSING"}
    for name, code in cases.items():
        assert code in refused([*twin, "--float", str(tmp_path / name)], capsys)
    pytest.importorskip("onnxruntime")
    assert "FLOAT-MODEL" in refused([*twin, "--float", str(tmp_path / "x.onnx")], capsys)


def test_samples_that_the_float_model_does_not_take(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    model = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
    write_program(compile_model(model)[0], tmp_path / "x.fbz")
    arguments = ["compare", str(model), str(tmp_path / "x.fbz"), "-i", str(EXAMPLES / "mnist_1000.npz"), "--count", "2"]
    err = refused([*arguments, "--float", str(ONNX)], capsys)
    assert "FLOAT-RUN" in err
    assert "samples of shape (3, 12, 10)" in err


def test_a_program_does_not_tell_real_numbers(twin, capsys):
    program = twin[2]
    assert "FLOAT-SCALES" in refused(["compare", program, *twin[2:], "--float", str(KERAS)], capsys)


def test_streams_are_not_compared_with_floats(tmp_path, capsys):
    write_signed(tmp_path / "x.h5")
    write_program(streaming_program(), tmp_path / "x.fbz")
    np.save(tmp_path / "x.npy", FRAMES)
    shutil.copy(KERAS, tmp_path / "float.h5")
    files = [str(tmp_path / name) for name in ("x.h5", "x.fbz", "x.npy", "float.h5")]
    assert "FLOAT-STREAMS" in refused(["compare", *files[:2], "-i", files[2], "--float", files[3]], capsys)
