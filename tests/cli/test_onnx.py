"""QuantizeML's ONNX files through every command."""

import json
import sys
import zlib

import numpy as np
import pytest
from generators.recorded import FIXTURES

import cnn2snn_ir
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.opt import main as opt

ONNX = FIXTURES / "onnx"
CNN, STREAM = ONNX / "cnn_u8.onnx", ONNX / "stream_s8.onnx"


def samples(model):
    with np.load(model.with_suffix(".npz")) as recorded:
        return recorded["x"], recorded["__output__"]


@pytest.fixture
def converted(tmp_path):
    def convert(model):
        program = tmp_path / f"{model.stem}.fbz"
        assert main(["convert", "-m", str(model), "-o", str(program)]) == 0
        return program

    return convert


@pytest.mark.parametrize("model", [CNN, STREAM], ids=["cnn", "stream"])
def test_convert_and_run(model, converted, tmp_path, capsys):
    program = converted(model)
    x, expected = samples(model)
    np.savez(tmp_path / "x.npz", x=x)
    assert main(["run", str(program), "-i", str(tmp_path / "x.npz"), "-o", str(tmp_path / "y.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)
    assert ("6 steps of 2 streams" if model is STREAM else "3 samples") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "code", "turned"),
    [(CNN, "RUN-INPUT-SHAPE", "(0, 2, 3, 1)"), (STREAM, "SAMPLES-STREAMS", "(0, 1, 3, 4, 2)")],
    ids=["cnn", "stream"],
)
def test_samples_with_their_channels_in_front_are_told_how_to_turn(model, code, turned, converted, tmp_path, capsys):
    x, _ = samples(model)
    np.save(tmp_path / "x.npy", np.moveaxis(x, -1, -3))
    assert main(["run", str(converted(model)), "-i", str(tmp_path / "x.npy")]) == 1
    said = capsys.readouterr().err
    assert code in said
    assert f"transpose{turned}" in said


def test_compare(converted, tmp_path, capsys):
    for model in (CNN, STREAM):
        np.save(tmp_path / "x.npy", samples(model)[0])
        assert main(["compare", str(model), str(converted(model)), "-i", str(tmp_path / "x.npy")]) == 0
        assert "all equal" in capsys.readouterr().out


def test_compare_with_the_float_original(converted, tmp_path, capsys):
    """Tensors keep their names, so that each is compared with what it stands for."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    sys.path.insert(0, str(FIXTURES.parent / "oracle"))
    from onnx_networks import NETWORKS

    onnx.save(NETWORKS["cnn"][0](zlib.crc32(b"cnn_u8 ")), tmp_path / "float.onnx")
    np.save(tmp_path / "x.npy", samples(CNN)[0])
    program = converted(CNN)
    capsys.readouterr()
    arguments = ["-i", str(tmp_path / "x.npy"), "--float", str(tmp_path / "float.onnx"), "--json"]
    assert main(["compare", str(CNN), str(program), *arguments]) == 0
    values = json.loads(capsys.readouterr().out)["float"]["values"]
    assert [v["name"] for v in values] == ["maxpool_2", "relu_4", "globalaveragepool_7", "gemm_9"]
    assert all(v["sqnr"] > 30 for v in values)


def test_check_and_explain(capsys):
    assert main(["check", str(CNN)]) == 0
    assert "no problems" in capsys.readouterr().out
    assert main(["check", str(ONNX / "two_outputs_zp.onnx")]) == 1
    assert "QML-ENDS" in capsys.readouterr().out
    assert main(["explain", "--layer", "conv_0_node", str(CNN)]) == 0
    told = capsys.readouterr().out
    assert "conv_0_node (QuantizedInputConv2DBiasedMaxPoolReLUScaled)" in told
    assert "InputConv2D, 16x16x3 ui8 ▶ 8x8x8 si8" in told


def test_opt(capsys):
    assert opt([str(CNN), "--no-annotations"]) == 0
    text = capsys.readouterr().out
    assert "qnn.quantize_linear %input" in text
    assert "{strides = [2, 2], padding = same_upper, acc = si32}" in text
    assert opt([str(CNN), "-p", "akida2-default", "--verify-roundtrip", "--validate-each=2"]) == 0
    assert "akida2.linear_quantizer" in capsys.readouterr().out


def test_the_api():
    x, expected = samples(CNN)
    model = cnn2snn_ir.convert(str(CNN))
    assert np.array_equal(model.predict(x), expected)
