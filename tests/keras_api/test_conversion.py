"""From a live Keras model to a program: what Keras computes, the import computes, and the program nearly so."""

import keras
import numpy as np
import pytest
from keras import layers

import cnn2snn_ir
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.reference import run


@pytest.fixture(scope="module")
def model():
    """A float network with all that is moved or folded, and weights that let every layer decide."""
    net = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(),
            layers.MaxPool2D(padding="same"),
            layers.ReLU(6.0),
            layers.SeparableConv2D(12, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Dropout(0.1),
            layers.Conv2D(10, 1, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.ReLU(3.0),
            layers.Dense(5),
        ]
    )
    rng = np.random.default_rng(5)
    for variable in net.weights:
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(np.abs(values) + 0.5 if variable.path.endswith(("gamma", "variance")) else values)
    return net


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keras_the_import_and_the_integers_agree(model, fold, suffix, tmp_path):
    quantized = cnn2snn_ir.quantize(model, 4, 4, 8, fold_BN=fold)
    quantized.save(tmp_path / f"model{suffix}")
    x = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3)).astype(np.uint8)
    expected = quantized.predict(x.astype(np.float32), verbose=0)
    module = load_model(tmp_path / f"model{suffix}")
    (reals,) = run(module, x.astype(np.float32))
    assert expected.std(axis=0).min() > 0.01
    assert np.abs(reals - expected).max() <= 1e-5
    PassManager(legacy_to_qnn()).run(module)
    (found,) = run(module, x)
    assert (np.abs(found - expected) <= module.outputs[0].owner.scale.array / 2 + 1e-5).all()


def test_a_live_model_becomes_a_program(model):
    quantized = cnn2snn_ir.quantize(model, 4, 4, 8)
    x = np.random.default_rng(1).integers(0, 256, (20, 12, 12, 3)).astype(np.uint8)
    expected = quantized.predict(x.astype(np.float32), verbose=0)
    found = cnn2snn_ir.convert(quantized).predict(x).reshape(expected.shape)
    assert np.abs(found - expected).mean() <= 0.02 * np.abs(expected).max()
