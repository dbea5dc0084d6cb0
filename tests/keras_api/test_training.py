"""The life of a legacy model: trained in float, quantized to four bits, fine-tuned, saved, converted."""

import keras
import numpy as np
import pytest
from generators.recorded import EXAMPLES
from keras import layers

from cnn2snn_ir import convert, load_quantized_model, quantize

pytestmark = pytest.mark.slow

with np.load(EXAMPLES / "mnist_1000.npz") as digits:
    IMAGES, LABELS = digits["x"].astype(np.float32), digits["y"].astype(np.int64)
TRAIN, TEST = slice(0, 750), slice(750, None)


@pytest.fixture(scope="module")
def trained():
    """A float model that has learnt 750 digits."""
    keras.utils.set_random_seed(20)
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.SeparableConv2D(32, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name="digits",
    )
    train(model, epochs=25, rate=3e-3)
    return model


@pytest.fixture(scope="module")
def tuned(trained, tmp_path_factory):
    """The file of the model quantized to 8 bits for the first weights, 4 for the others and for activations."""
    model = quantize(trained, 4, 4, 8)
    train(model, epochs=8, rate=1e-3)
    path = tmp_path_factory.mktemp("tuned") / "digits_iq8_wq4_aq4.h5"
    model.save(path)
    return path


def train(model, epochs, rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(IMAGES[TRAIN], LABELS[TRAIN], batch_size=50, epochs=epochs, verbose=0)


def accuracy(model):
    return float((model.predict(IMAGES[TEST], verbose=0).argmax(axis=-1) == LABELS[TEST]).mean())


def test_float_model_has_learnt(trained):
    assert accuracy(trained) > 0.88


def test_fine_tuning_brings_the_accuracy_back(trained, tuned):
    assert accuracy(load_quantized_model(tuned)) > accuracy(trained) - 0.02


def test_fine_tuning_helps_two_bits(trained):
    model = quantize(trained, 2, 2, 8)
    before = accuracy(model)
    train(model, epochs=8, rate=1e-3)
    assert accuracy(model) > max(before, 0.8)


def test_saved_model_goes_on_learning(tuned):
    model = load_quantized_model(tuned)
    first = model.evaluate(IMAGES[TRAIN], LABELS[TRAIN], verbose=0)[0]
    model.fit(IMAGES[TRAIN], LABELS[TRAIN], batch_size=50, epochs=3, verbose=0)
    assert model.evaluate(IMAGES[TRAIN], LABELS[TRAIN], verbose=0)[0] < first


def test_conversion_keeps_the_accuracy(tuned):
    """Within 0.2 points on the 1000 digits, with the training images as typical samples."""
    logits = load_quantized_model(tuned).predict(IMAGES, verbose=0)
    program = convert(tuned, samples=IMAGES[TRAIN].astype(np.uint8))
    found = program.predict(IMAGES.astype(np.uint8)).reshape(logits.shape)
    hits, kept = (int((decided.argmax(axis=-1) == LABELS).sum()) for decided in (logits, found))
    print(f"accuracy {hits / 1000:.3f} in Keras, {kept / 1000:.3f} on Akida 1")
    assert abs(hits - kept) <= 2
    assert program.module.annotations["target"] == "v1"
