"""Live float models of Keras 3: quantized after training, converted, or refused with every reason."""

import keras
import numpy as np
import pytest

import cnn2snn_ir
from cnn2snn_ir import CompileError, check_model_compatibility, convert, quantize_float


def network(*extra):
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            *extra,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5),
        ]
    )


def test_a_live_model_becomes_a_program():
    keras.utils.set_random_seed(0)
    model = network()
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8)
    wanted = model.predict(images.astype(np.float32), verbose=0)
    found = convert(quantize_float(model, images[:32])).predict(images).reshape(wanted.shape)
    assert 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()) > 25
    check_model_compatibility(model)


def test_every_problem_of_a_live_model_at_once():
    model = network(keras.layers.Cropping2D(1), keras.layers.Conv2D(4, 3, dilation_rate=2, groups=2))
    with pytest.raises(CompileError) as caught:
        check_model_compatibility(model)
    assert "Cropping2D" in str(caught.value)


def test_akida_1_says_what_prevents_it():
    """An average behind the rectifier, and a pooling that pads otherwise; not that the model is none of its kind."""
    with cnn2snn_ir.set_akida_version("v1"), pytest.raises(CompileError) as caught:
        check_model_compatibility(network())
    errors = {d.code for d in caught.value.diagnostics if d.severity == "error"}
    assert errors == {"AK1-POOL-01", "AK1-LEFT-01"}
