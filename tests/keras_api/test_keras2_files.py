"""Float models that Keras 2 wrote: they load, and quantize as those of Keras 3."""

import json
import shutil

import h5py
import keras
import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from keras import layers

from cnn2snn_ir import load_quantized_model, quantize

FLOAT = FIXTURES / "legacy" / "mnist_float.h5"

with np.load(EXAMPLES / "mnist_1000.npz") as digits:
    IMAGES, LABELS = digits["x"].astype(np.float32), digits["y"]


@pytest.fixture
def model():
    return load_quantized_model(FLOAT, compile_model=False)


def accuracy(model):
    return float((model.predict(IMAGES, verbose=0).argmax(axis=-1) == LABELS).mean())


def edited(path, copy, edit):
    """A copy of a model file with another configuration."""
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit({record["class_name"]: record["config"] for record in config["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(config)
    return copy


def test_separable_layers(model):
    assert type(model.get_layer("separable_conv2d")) is layers.SeparableConv2D
    assert accuracy(model) == 0.97


def test_depthwise_layers(tmp_path):
    """With what tf_keras 2.19 writes beside the arguments of its DepthwiseConv2D."""
    model = keras.Sequential([layers.Input((6, 6, 2)), layers.DepthwiseConv2D(3, name="dw")])
    model.save(tmp_path / "three.h5")
    two = edited(tmp_path / "three.h5", tmp_path / "two.h5", lambda found: found["DepthwiseConv2D"].update(groups=1))
    with pytest.raises(TypeError, match="groups"):
        keras.models.load_model(two)
    again = load_quantized_model(two)
    assert type(again.get_layer("dw")) is layers.DepthwiseConv2D
    assert np.array_equal(again.get_weights()[0], model.get_weights()[0])


def test_what_keras_2_says_of_training_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="not compiled"):
        assert not load_quantized_model(FLOAT).compiled


def test_folding_changes_nothing(model):
    difference = quantize(model, 0, 0).predict(IMAGES, verbose=0) - model.predict(IMAGES, verbose=0)
    assert np.abs(difference).max() < 1e-3


def test_quantized_without_training(model):
    """Digits are easy: four bits lose little even before training."""
    assert accuracy(quantize(model, 8, 4)) > 0.96
    assert accuracy(quantize(model, 4, 4, 8)) > 0.95


def test_groups_are_no_leftover(tmp_path):
    def edit(found):
        found["QuantizedSeparableConv2D"]["groups"] = 2

    with pytest.raises(ValueError, match="groups"):
        load_quantized_model(edited(EXAMPLES / "mnist_legacy_iq8_wq4_aq4.h5", tmp_path / "m.h5", edit))
