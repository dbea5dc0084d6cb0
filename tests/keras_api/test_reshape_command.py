"""`cnn2snn reshape`: which file it writes, what it says, how it fails."""

import shutil

import keras
import numpy as np
import pytest
from generators.keras_nets import images, predict, randomize
from generators.recorded import EXAMPLES, FIXTURES
from keras import layers as kl

from cnn2snn_ir import load_quantized_model
from cnn2snn_ir.keras.activations import QuantizedReLU
from cnn2snn_ir.keras.layers import QuantizedConv2D, QuantizedDense
from cnn2snn_ir.keras.quantizers import MaxPerAxisQuantizer
from cnn2snn_ir.tools.cnn2snn import main

SIZE = ["-iw", "160", "-ih", "96"]


def net(*tail):
    """A quantized net for images of any size, unless `tail` needs one."""
    layers = [
        keras.Input((16, 16, 3)),
        QuantizedConv2D(4, 3, MaxPerAxisQuantizer(8), strides=2, name="conv"),
        QuantizedReLU(4, 6.0),
        *(tail or [kl.GlobalAveragePooling2D(), QuantizedDense(3, MaxPerAxisQuantizer(4), name="dense")]),
    ]
    return randomize(keras.Sequential(layers, name="net"))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model_keras.h5"
    net().save(path)
    return path


def failing(arguments, capfd):
    """The codes that a command fails with."""
    assert main(arguments) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return [line.split()[1].rstrip(":") for line in captured.err.splitlines() if line.startswith("error:")]


def test_the_documented_example(model, capfd):
    assert main(["reshape", "-m", str(model), *SIZE]) == 0
    written = model.with_name("model_keras_160_96.h5")
    captured = capfd.readouterr()
    assert captured.out == f"Model input successfully reshaped and saved as {written}.\n"
    (notice,) = captured.err.splitlines()  # nothing of TensorFlow's
    assert "deprecated" in notice
    assert "quantizeml.models.reshape" in notice
    result = load_quantized_model(written)
    assert result.input_shape == (None, 96, 160, 3)
    assert result.output_shape == (None, 3)


def test_weights_stay(model):
    """An image at the old size gives what it gave, after there and back."""
    assert main(["reshape", "--model", str(model), "--input_width=20", "--input_height", "18"]) == 0
    there = model.with_name("model_keras_20_18.h5")
    assert main(["reshape", "-m", str(there), "-iw", "16", "-ih", "16"]) == 0
    back = load_quantized_model(model.with_name("model_keras_20_18_16_16.h5"), compile_model=False)
    original = load_quantized_model(model, compile_model=False)
    x = images((16, 16, 3))
    assert np.array_equal(predict(original, x), predict(back, x))


@pytest.mark.parametrize("name", ["my-net.v1.h5", "a b.c/n e t.h5", "-m.h5", "m_160_96.h5", "m.keras"])
def test_awkward_names(model, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".keras":
        net().save(path)
    else:
        shutil.copy(model, path)
    assert main(["reshape", "-m", str(path), *SIZE]) == 0
    assert path.with_name(f"{path.stem}_160_96.h5").is_file()


def test_output(model, tmp_path):
    assert main(["reshape", "-m", str(model), *SIZE, "-o", str(tmp_path / "mine.keras")]) == 0
    assert load_quantized_model(tmp_path / "mine.keras").input_shape == (None, 96, 160, 3)


def test_float_and_functional_models(tmp_path):
    image = keras.Input((16, 16, 3))
    a = kl.SeparableConv2D(4, 3, padding="same")(image)
    keras.Model(image, kl.Concatenate()([a, kl.ReLU()(a)])).save(tmp_path / "f.h5")
    assert main(["reshape", "-m", str(tmp_path / "f.h5"), *SIZE]) == 0
    assert load_quantized_model(tmp_path / "f_160_96.h5").output_shape == (None, 96, 160, 8)


# ---- failures -------------------------------------------------------------------------------------------------------


def test_weights_behind_flatten(capfd, tmp_path):
    net(kl.Flatten(), QuantizedDense(3, MaxPerAxisQuantizer(4), name="dense")).save(tmp_path / "flat.h5")
    assert failing(["reshape", "-m", str(tmp_path / "flat.h5"), *SIZE], capfd) == ["TRANSFORM-WEIGHTS"]
    assert [path.name for path in tmp_path.iterdir()] == ["flat.h5"]


def test_every_layer_that_cannot_follow_is_named(tmp_path, capfd):
    legacy = EXAMPLES / "mnist_legacy_iq8_wq4_aq4.h5"
    assert main(["reshape", "-m", str(legacy), *SIZE, "-o", str(tmp_path / "x.h5")]) == 1
    assert "dense_1 (QuantizedDense)" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "codes"),
    [
        (["-iw", "2", "-ih", "96"], ["TRANSFORM-SHAPE"]),
        (["-iw", "0", "-ih", "96"], ["TRANSFORM-SIZE"]),
        (["-iw", "-3", "-ih", "0"], ["TRANSFORM-SIZE", "TRANSFORM-SIZE"]),
    ],
)
def test_sizes_that_cannot_be(model, capfd, size, codes):
    assert failing(["reshape", "-m", str(model), *size], capfd) == codes
    assert list(model.parent.iterdir()) == [model]


def test_a_model_of_vectors(tmp_path, capfd):
    keras.Sequential([keras.Input((5,)), kl.Dense(2)]).save(tmp_path / "m.h5")
    assert failing(["reshape", "-m", str(tmp_path / "m.h5"), *SIZE], capfd) == ["TRANSFORM-IMAGE"]


@pytest.mark.parametrize(
    ("name", "code"), [("none.h5", "FILE-MISSING"), (".", "FILE-DIRECTORY"), ("text.h5", "QUANT-LOAD")]
)
def test_files_that_are_no_models(tmp_path, capfd, name, code):
    (tmp_path / "text.h5").write_text("a model")
    assert failing(["reshape", "-m", str(tmp_path / name), *SIZE], capfd) == [code]


def test_files_that_cannot_be_written(model, capfd):
    assert failing(["reshape", "-m", str(model), *SIZE, "-o", str(model)], capfd) == ["FILE-SAME"]
    assert failing(["reshape", "-m", str(model), *SIZE, "-o", str(model.parent / "no" / "x.h5")], capfd) == [
        "FILE-MISSING"
    ]
    assert failing(["reshape", "-m", str(model), *SIZE, "-o", "x.fbz"], capfd) == ["FILE-FORMAT"]


def test_quantizeml_models_are_refused(capfd):
    model = FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"
    assert failing(["reshape", "-m", str(model), *SIZE], capfd) == ["QUANT-LOAD"]


@pytest.mark.parametrize(
    "arguments", [[], ["-m", "x.h5"], ["-m", "x.h5", "-iw", "3"], ["-m", "x.h5", "-iw", "a", "-ih", "1"]]
)
def test_wrong_usage(arguments):
    assert main(["reshape", *arguments]) == 2
