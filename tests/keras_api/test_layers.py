"""Quantized layers: what they compute, what they refuse, and that their files come back as they were."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from generators.recorded import EXAMPLES, FIXTURES
from keras import layers

from cnn2snn_ir import (
    ActivationDiscreteRelu,
    MaxPerAxisQuantizer,
    MaxQuantizer,
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedReLU,
    QuantizedSeparableConv2D,
    StdPerAxisQuantizer,
    StdWeightQuantizer,
    cnn2snn_objects,
    load_quantized_model,
)
from cnn2snn_ir.min_value_constraint import MinValueConstraint

LEGACY = sorted(EXAMPLES.glob("mnist_legacy_*.h5"))
IMAGES = np.random.default_rng(7).normal(size=(2, 9, 8, 3)).astype(np.float32)


def randomize(layer, least=-1.0):
    """Give a layer weights and a bias that matter."""
    random = np.random.default_rng(3)
    layer.set_weights([random.uniform(least, 1, w.shape).astype(np.float32) for w in layer.weights])


# ---- models of the legacy toolkit -----------------------------------------------------------------------------------


def test_there_are_legacy_models():
    assert len(LEGACY) == 3


@pytest.mark.parametrize("path", LEGACY, ids=lambda p: p.stem)
def test_legacy_models_predict_what_they_did(path):
    images = np.load(EXAMPLES / "mnist_1000.npz")["x"].astype(np.float32)
    recorded = np.load(FIXTURES / "legacy" / f"{path.stem}.npz")["logits"]
    assert np.abs(load_quantized_model(path).predict(images, verbose=0) - recorded).max() < 1e-4


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_legacy_model_saved_again(tmp_path, suffix):
    model = load_quantized_model(LEGACY[0])
    model.save(tmp_path / f"again{suffix}")
    again = load_quantized_model(tmp_path / f"again{suffix}")
    x = np.random.default_rng(0).integers(0, 256, size=(4, 28, 28, 1)).astype(np.float32)
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]


# ---- single layers --------------------------------------------------------------------------------------------------

SETTINGS = [
    {"padding": "same"},
    {"strides": 2, "padding": "valid", "use_bias": False},
    {"dilation_rate": 2},
]


@pytest.mark.parametrize("options", SETTINGS)
def test_conv2d(options):
    ours = QuantizedConv2D(5, 3, MaxPerAxisQuantizer(bitwidth=4), **options)
    theirs = layers.Conv2D(5, 3, **options)
    ours(IMAGES), theirs(IMAGES), randomize(ours)
    theirs.set_weights([ours.quantizer.quantize(ours.kernel), *ours.get_weights()[1:]])
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))


@pytest.mark.parametrize("options", SETTINGS)
def test_depthwise_conv2d_adds_its_bias(options):
    ours = QuantizedDepthwiseConv2D(3, MaxQuantizer(bitwidth=4), **options)
    theirs = layers.DepthwiseConv2D(3, **options)
    ours(IMAGES), theirs(IMAGES), randomize(ours)
    theirs.set_weights([ours.quantizer.quantize(ours.kernel), *ours.get_weights()[1:]])
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))


@pytest.mark.parametrize("options", SETTINGS)
def test_separable_conv2d(options):
    ours = QuantizedSeparableConv2D(5, 3, StdPerAxisQuantizer(bitwidth=4), MaxQuantizer(bitwidth=2), **options)
    theirs = layers.SeparableConv2D(5, 3, **options)
    ours(IMAGES), theirs(IMAGES), randomize(ours)
    kernels = [ours.quantizer_dw.quantize(ours.depthwise_kernel), ours.quantizer.quantize(ours.pointwise_kernel)]
    theirs.set_weights([*kernels, *ours.get_weights()[2:]])
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(use_bias):
    ours = QuantizedDense(6, StdWeightQuantizer(bitwidth=2), use_bias=use_bias)
    ours(IMAGES), randomize(ours)
    kernel = np.asarray(ours.quantizer.quantize(ours.kernel))
    expected = IMAGES @ kernel + (ours.get_weights()[1] if use_bias else 0)
    assert np.allclose(ours(IMAGES), expected, atol=1e-5)


def test_separable_without_depthwise_quantizer_gets_a_copy():
    layer = QuantizedSeparableConv2D(4, 3, StdWeightQuantizer(threshold=2, bitwidth=3))
    assert layer.quantizer_dw is not layer.quantizer
    assert (layer.quantizer_dw.threshold, layer.quantizer_dw.bitwidth) == (2, 3)
    assert layer.quantizer_dw.name != layer.quantizer.name


def test_maps_are_channels_last_whatever_keras_prefers():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        assert QuantizedConv2D(4, 3, MaxQuantizer())(IMAGES).shape == (2, 7, 6, 4)
    finally:
        keras.config.set_image_data_format(before)


def test_training_moves_the_float_weights():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Input((9, 8, 3)), QuantizedConv2D(4, 3, MaxPerAxisQuantizer()), QuantizedReLU(2)])
    model.add(layers.Flatten())
    model.add(QuantizedDense(2, MaxPerAxisQuantizer()))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    before = model.get_weights()
    target = np.ones((2, 2), np.float32)
    losses = model.fit(IMAGES, target, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_graph_mode():
    layer = QuantizedSeparableConv2D(4, 3, MaxPerAxisQuantizer())
    eager = layer(IMAGES)
    graph = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    assert np.allclose(graph(IMAGES), eager, atol=1e-6)


# ---- files ----------------------------------------------------------------------------------------------------------


def every_layer():
    """A functional model with every class of ours."""
    x = inputs = layers.Input((9, 8, 3), name="in")
    x = QuantizedConv2D(4, 3, MaxPerAxisQuantizer(bitwidth=8), padding="same", name="a")(x)
    x = QuantizedReLU(4, 6.0, name="b")(x)
    x = QuantizedSeparableConv2D(4, (3, 5), StdPerAxisQuantizer(), StdWeightQuantizer(2), name="c")(x)
    x = layers.BatchNormalization(gamma_constraint=MinValueConstraint(0.1), name="bn")(x)
    x = ActivationDiscreteRelu(2, name="d")(x)
    x = QuantizedDepthwiseConv2D(3, MaxQuantizer(bitwidth=2), strides=2, use_bias=False, name="e")(x)
    x = layers.Flatten(name="f")(x)
    x = QuantizedDense(3, MaxQuantizer(), kernel_regularizer="l2", name="g")(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_files(tmp_path, suffix):
    model = every_layer()
    for layer in model.layers:
        randomize(layer, least=0.1 if layer.name == "bn" else -1)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = load_quantized_model(path)
    assert np.array_equal(model.predict(IMAGES, verbose=0), again.predict(IMAGES, verbose=0))
    assert [layer.get_config() for layer in again.layers[1:]] == [layer.get_config() for layer in model.layers[1:]]
    assert isinstance(again.get_layer("bn").gamma_constraint, MinValueConstraint)


def test_cloned():
    model = every_layer()
    clone = keras.models.clone_model(model)
    assert [type(layer) for layer in clone.layers] == [type(layer) for layer in model.layers]
    clone.set_weights(model.get_weights())
    assert np.array_equal(model.predict(IMAGES, verbose=0), clone.predict(IMAGES, verbose=0))


def test_objects_are_all_classes_that_files_name():
    assert set(cnn2snn_objects) == {
        *("StdWeightQuantizer", "StdPerAxisQuantizer", "MaxQuantizer", "MaxPerAxisQuantizer"),
        *("QuantizedConv2D", "QuantizedDepthwiseConv2D", "QuantizedSeparableConv2D", "QuantizedDense"),
        *("ActivationDiscreteRelu", "QuantizedReLU", "MinValueConstraint"),
    }
    assert all(cls.__name__ == name for name, cls in cnn2snn_objects.items())


class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


def test_custom_objects(tmp_path):
    keras.Sequential([layers.Input((4,)), Twice(), QuantizedDense(2, MaxQuantizer())]).save(tmp_path / "m.keras")
    model = load_quantized_model(tmp_path / "m.keras", custom_objects={"Twice": Twice, "QuantizedDense": Twice})
    assert [type(layer) for layer in model.layers] == [Twice, QuantizedDense]


def test_keras_itself_loads_our_files(tmp_path):
    every_layer().save(tmp_path / "m.keras")
    assert type(keras.models.load_model(tmp_path / "m.keras").get_layer("a")) is QuantizedConv2D


@pytest.mark.parametrize("compile_model", [True, False])
def test_compiled_as_the_file_says(tmp_path, compile_model):
    model = every_layer()
    model.compile("adam", "mse")
    model.fit(IMAGES, np.zeros((2, 3)), verbose=0)
    model.save(tmp_path / "m.keras")
    assert load_quantized_model(tmp_path / "m.keras", compile_model=compile_model).compiled is compile_model


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_training_goes_on(tmp_path, suffix):
    model = every_layer()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(IMAGES, np.zeros(2), verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = load_quantized_model(tmp_path / f"m{suffix}")
    assert again.optimizer.iterations.numpy() == (1 if suffix == ".keras" else 0)
    before = again.get_weights()
    again.fit(IMAGES, np.zeros(2), verbose=0)
    assert any(not np.array_equal(a, b) for a, b in zip(before, again.get_weights(), strict=True))


def test_what_only_training_needs_may_be_lost(tmp_path):
    model = every_layer()
    model.compile("adam", Strange())
    model.save(tmp_path / "m.h5")
    with pytest.warns(UserWarning, match="not compiled"):
        again = load_quantized_model(tmp_path / "m.h5")
    assert np.array_equal(model.predict(IMAGES, verbose=0), again.predict(IMAGES, verbose=0))


class Strange(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="FILE-MISSING"):
        load_quantized_model(tmp_path / "none.h5")


@pytest.mark.parametrize("name", ["damaged.h5", "damaged.keras", "model.txt"])
def test_what_is_no_model_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the sort")
    with pytest.raises(ValueError, match=r"QUANT-LOAD"):
        load_quantized_model(tmp_path / name)


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="QUANT-LOAD"):
        load_quantized_model(EXAMPLES / "mnist_v2_i8_w8_a8.h5")


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda **more: QuantizedConv2D(4, 3, MaxQuantizer(), **more), ("data_format", "activation", "groups")),
        (lambda **more: QuantizedDepthwiseConv2D(3, MaxQuantizer(), **more), ("data_format", "depth_multiplier")),
        (lambda **more: QuantizedSeparableConv2D(4, 3, MaxQuantizer(), **more), ("depth_multiplier", "activation")),
        (lambda **more: QuantizedDense(4, MaxQuantizer(), **more), ("activation",)),
    ],
)
def test_fixed_arguments_are_refused(make, names):
    with pytest.raises(TypeError) as caught:
        make(name="mine", **dict.fromkeys(names, "x"))
    assert [(d.code, d.where) for d in caught.value.diagnostics] == [("QUANT-ARGUMENT", "mine")] * len(names)
    assert [d.found.split(" ")[0] for d in caught.value.diagnostics] == list(names)


def test_dense_refuses_sparse_and_ragged_tensors():
    for inputs in (layers.Input((4,), sparse=True), tf.sparse.eye(4), tf.ragged.constant([[1.0], [1.0, 2.0]])):
        layer = QuantizedDense(2, MaxQuantizer())
        with pytest.raises(ValueError, match="QUANT-INPUT"):
            layer(inputs)


def test_quantizer_is_required_to_be_one():
    with pytest.raises(ValueError, match="QUANT-QUANTIZER"):
        QuantizedConv2D(4, 3, "max")
