"""`cnn2snn quantize`: which file it writes, what it says, how it fails."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from generators.recorded import EXAMPLES
from keras import layers

from cnn2snn_ir import load_quantized_model, quantize
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.quantize import quantized_path

LEGACY = EXAMPLES / "mnist_legacy_iq8_wq4_aq4.h5"


@pytest.fixture
def model(tmp_path):
    """A small float model with batch normalization, saved as a user would."""
    net = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(6.0, name="relu"),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        ],
        name="net",
    )
    net.compile("adam", "mse")
    net.save(tmp_path / "model_keras.h5")
    return tmp_path / "model_keras.h5"


def widths(path):
    net = load_quantized_model(path)
    relu = [layer.bitwidth for layer in net.layers if hasattr(layer, "bitwidth")]
    return [layer.quantizer.bitwidth for layer in net.layers if hasattr(layer, "quantizer")], relu


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("model_keras.h5", "model_keras_iq8_wq4_aq2.h5"),
        ("model_keras_iq2_wq2_aq1.h5", "model_keras_iq8_wq4_aq2.h5"),
        ("model.keras", "model_iq8_wq4_aq2.h5"),
        ("./d/m_iq8_wq4_aq4.h5", "d/m_iq8_wq4_aq2.h5"),
        ("my-m_iq8_wq4_aq4.h5", "my-m_iq8_wq4_aq2.h5"),
        ("/a b/v1.2/my m.v3_iq8_wq4_aq4.h5", "/a b/v1.2/my m.v3_iq8_wq4_aq2.h5"),
        ("m_iq8_wq4_aq4_bc_calibrated.h5", "m_iq8_wq4_aq4_bc_calibrated_iq8_wq4_aq2.h5"),
        ("m_iq8_wq4_aq4_iq8_wq4_aq4.h5", "m_iq8_wq4_aq4_iq8_wq4_aq2.h5"),
        ("m_iq8_wq4.h5", "m_iq8_wq4_iq8_wq4_aq2.h5"),
        ("_iq8_wq4_aq4/m.h5", "_iq8_wq4_aq4/m_iq8_wq4_aq2.h5"),
    ],
)
def test_name(model, expected):
    assert quantized_path(Path(model), 8, 4, 2) == Path(expected)


def test_step_by_step(model, capsys):
    assert main(["quantize", "-m", str(model), "-iq", "8", "-wq", "4", "-aq", "4"]) == 0
    first = model.with_name("model_keras_iq8_wq4_aq4.h5")
    captured = capsys.readouterr()
    assert captured.out == f"Model successfully quantized and saved as {first}.\n"
    assert widths(first) == ([8, 4], [4])
    assert main(["quantize", "-m", str(first), "-wq", "2", "-aq", "2"]) == 0
    second = model.with_name("model_keras_iq2_wq2_aq2.h5")
    assert widths(second) == ([2, 2], [2])
    assert sorted(p.name for p in model.parent.iterdir()) == sorted(p.name for p in (model, first, second))


def test_defaults(model):
    assert main(["quantize", "--model", str(model)]) == 0
    assert widths(model.with_name("model_keras_iq4_wq4_aq4.h5")) == ([4, 4], [4])


def test_long_options(model):
    options = ["--weight_quantization", "2", "--activ_quantization=1", "--input_weight_quantization", "4"]
    assert main(["quantize", "-m", str(model), *options]) == 0
    assert widths(model.with_name("model_keras_iq4_wq2_aq1.h5")) == ([4, 2], [1])


def test_awkward_names(model, tmp_path):
    folder = tmp_path / "a b.c"
    folder.mkdir()
    awkward = shutil.copy(model, folder / "my-net v1.2_iq8_wq4_aq4.h5")
    assert main(["quantize", "-m", str(awkward), "-wq", "2", "-aq", "2"]) == 0
    assert (folder / "my-net v1.2_iq2_wq2_aq2.h5").is_file()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_output(model, suffix):
    path = model.with_name(f"mine{suffix}")
    assert main(["quantize", "-m", str(model), "-o", str(path)]) == 0
    assert widths(path) == ([4, 4], [4])


# ---- what is written ------------------------------------------------------------------------------------------------


def test_the_model_is_what_quantize_gives(model):
    main(["quantize", "-m", str(model), "-iq", "8"])
    written = load_quantized_model(model.with_name("model_keras_iq8_wq4_aq4.h5"), compile_model=False)
    expected = quantize(load_quantized_model(model, compile_model=False), 4, 4, 8)
    assert "norm" not in [layer.name for layer in written.layers]
    assert not written.compiled
    x = np.random.default_rng(0).uniform(0, 4, (5, 8, 8, 1)).astype(np.float32)
    assert np.array_equal(written.predict(x, verbose=0), expected.predict(x, verbose=0))


def test_no_fold(model):
    assert main(["quantize", "-m", str(model), "--no-fold-BN"]) == 0
    written = load_quantized_model(model.with_name("model_keras_iq4_wq4_aq4.h5"))
    assert "norm" in [layer.name for layer in written.layers]


def test_legacy_model(tmp_path):
    assert main(["quantize", "-m", str(LEGACY), "-wq", "2", "-aq", "1", "-o", str(tmp_path / "x.h5")]) == 0
    assert widths(tmp_path / "x.h5") == ([2, 2, 2, 2, 2], [1] * 4)


def test_zero_leaves_floats(model):
    assert main(["quantize", "-m", str(model), "-wq", "4", "-aq", "0"]) == 0
    assert widths(model.with_name("model_keras_iq4_wq4_aq0.h5")) == ([4, 4], [])


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_deprecation(model, capfd):
    main(["quantize", "-m", str(model)])
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "deprecated" in line] == lines[:1]
    assert "quantizeml" in lines[0]
    assert len(lines) == 1  # nothing of TensorFlow's


def test_what_stays_float_is_told(tmp_path, capsys):
    net = keras.Sequential([layers.Input((8, 8, 1)), layers.DepthwiseConv2D(3, name="dw"), layers.ReLU()])
    net.save(tmp_path / "m.h5")
    assert main(["quantize", "-m", str(tmp_path / "m.h5")]) == 0
    assert "warning: QUANT-FLOAT  dw (DepthwiseConv2D)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["-wq", "3", "-aq", "3", "-iq", "7"], ["QUANT-BITS"] * 3),
        (["-o", "nowhere/at/all.h5"], ["FILE-MISSING"]),
        (["-o", "x.txt"], ["FILE-FORMAT"]),
    ],
)
def test_refusals(model, options, codes, capsys):
    before = sorted(model.parent.iterdir())
    assert main(["quantize", "-m", str(model), *options]) == 1
    captured = capsys.readouterr()
    assert [line.split()[1] for line in captured.err.splitlines() if line.startswith("error:")] == codes
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(model.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.h5", None, "FILE-MISSING"),
        ("empty.h5", b"", "QUANT-LOAD"),
        ("noise.h5", b"noise" * 100, "QUANT-LOAD"),
        ("noise.keras", b"noise", "QUANT-LOAD"),
        ("model.txt", b"a model", "QUANT-LOAD"),
        (".", None, "FILE-DIRECTORY"),
    ],
)
def test_bad_files(tmp_path, name, content, code, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["quantize", "-m", str(tmp_path / name)]) == 1
    assert f"error: {code} " in capsys.readouterr().err


def test_quantized_by_quantizeml_is_refused(capsys):
    assert main(["quantize", "-m", str(EXAMPLES / "mnist_v2_i8_w8_a8.h5")]) == 1
    assert "QUANT-LOAD" in capsys.readouterr().err


def test_the_model_is_not_overwritten(model, capsys):
    copy = shutil.copy(model, model.with_name("m_iq4_wq4_aq4.h5"))
    before = copy.read_bytes()
    assert main(["quantize", "-m", str(copy)]) == 1
    assert "FILE-SAME" in capsys.readouterr().err
    assert copy.read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["-m"], ["-m", "x.h5", "-wq", "four"], ["-m", "x.h5", "--bits", "4"]])
def test_wrong_usage(arguments):
    assert main(["quantize", *arguments]) == 2
