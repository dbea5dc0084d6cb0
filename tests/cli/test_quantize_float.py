"""`quantize-float`, and models that other tools quantized, through the commands."""

import json

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES

from cnn2snn_ir.tools.cnn2snn import main

FLOAT = EXAMPLES / "mnist_v2_float.h5"
DIGITS = EXAMPLES / "mnist_1000.npz"
STANDARD = FIXTURES / "onnx_standard"


@pytest.fixture
def few(tmp_path):
    with np.load(DIGITS) as archive:
        np.savez(tmp_path / "few.npz", x=archive["x"][:64], y=archive["y"][:64])
    return tmp_path / "few.npz"


def test_from_floats_to_a_program(few, tmp_path, capsys):
    model = tmp_path / "mnist.c2s"
    assert main(["quantize-float", str(FLOAT), "--samples", str(few), "-o", str(model)]) == 0
    told = capsys.readouterr().out
    assert "error of each layer on 64 samples" in told
    rows = [line.split() for line in told.splitlines()[3:-1]]
    assert rows[-1][0] == "output"
    assert len(rows) > 4, "every layer of one name and size has a row"
    assert all(float(row[1]) > 20 for row in rows)  # dB
    assert model.with_suffix(".c2sw").exists()
    assert main(["check", str(model)]) == 0
    assert main(["convert", "-m", str(model)]) == 0
    capsys.readouterr()
    assert main(["run", str(tmp_path / "mnist.fbz"), "-i", str(few)]) == 0
    assert float(capsys.readouterr().out.split("accuracy ")[1].split()[0]) > 0.9
    assert main(["compare", str(model), str(tmp_path / "mnist.fbz"), "-i", str(few)]) == 0


def test_the_name_says_the_scheme(few, tmp_path):
    copy = tmp_path / "a model.v2.h5"
    copy.write_bytes(FLOAT.read_bytes())
    assert main(["quantize-float", str(copy), "-s", str(few), "--scheme", "8/4/4", "--no-equalize"]) == 0
    assert (tmp_path / "a model.v2_8_4_4.c2s").exists()


def test_onnx_floats(tmp_path, capsys):
    """The MNIST-8 network of the ONNX model zoo, on digits."""
    model = tmp_path / "mnist_8.c2s"
    options = ["--samples", str(DIGITS), "--input-dtype", "uint8", "-o", str(model)]
    assert main(["quantize-float", str(STANDARD / "mnist_8.onnx"), *options]) == 0
    assert main(["convert", "-m", str(model)]) == 0
    capsys.readouterr()
    assert main(["run", str(tmp_path / "mnist_8.fbz"), "-i", str(DIGITS)]) == 0
    assert float(capsys.readouterr().out.split("accuracy ")[1].split()[0]) >= 0.985


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--scheme", "5/5/5"], "QUANTIZE-SCHEME"),
        (["--input-shape", "three"], "QUANTIZE-SHAPE"),
        (["--samples", "nowhere.npz"], "FILE-MISSING"),
        (["-o", "model.fbz"], "FILE-FORMAT"),
    ],
)
def test_mistakes(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["quantize-float", str(FLOAT), *arguments]) == 1
    assert code in capsys.readouterr().err


def test_float_models_are_told_apart(capsys, tmp_path):
    for path in (FLOAT, STANDARD / "mnist_8.onnx"):
        assert main(["convert", "-m", str(path), "-o", str(tmp_path / "x.fbz")]) == 1
        assert "quantize-float" in capsys.readouterr().err
        assert main(["check", str(path)]) == 1
        assert "quantize-float" in capsys.readouterr().out
    assert main(["convert", "-m", "model.tflite"]) == 1
    assert "FILE-TFLITE" in capsys.readouterr().err


QUANTIZED = sorted(path.stem for path in STANDARD.glob("q*.onnx"))


@pytest.mark.parametrize("name", QUANTIZED)
def test_models_that_onnxruntime_quantized(name, tmp_path, capsys):
    """Every layer of the program is off by no more than it states, and the answers are those of onnxruntime."""
    model, program = STANDARD / f"{name}.onnx", tmp_path / f"{name}.fbz"
    assert main(["convert", "-m", str(model), "-o", str(program)]) == 0
    with np.load(STANDARD / "samples.npz") as archive:
        x = np.moveaxis(archive["x"], 1, -1)
    with np.load(STANDARD / f"{name}.npz") as archive:
        expected = archive[archive.files[-1]] if "__output__" not in archive.files else archive["__output__"]
    np.savez(tmp_path / "x.npz", x=x)
    capsys.readouterr()
    code = main(["compare", str(model), str(program), "-i", str(tmp_path / "x.npz"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["as_stated"]
    assert main(["run", str(program), "-i", str(tmp_path / "x.npz"), "-o", str(tmp_path / "y.npy")]) == 0
    found = np.load(tmp_path / "y.npy").reshape(len(x), -1)
    assert found.shape == expected.reshape(len(x), -1).shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", QUANTIZED)
def test_exact_mode_says_what_is_not_exact(name, tmp_path, capsys):
    program = tmp_path / "x.fbz"
    assert main(["convert", "-m", str(STANDARD / f"{name}.onnx"), "-o", str(program), "--onnx-mode", "exact"]) == 1
    told = capsys.readouterr().err
    assert "AK2-GRID-02" in told or "AK2-SCALE-01" in told
    assert not program.exists()
