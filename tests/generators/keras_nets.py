"""Small Keras models with random weights, whose constants are far from those of fresh layers."""

import keras
import numpy as np


def randomize(model, seed=0):
    """Give every weight a random value; variances are positive, gammas too."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomize(layer, seed + 1)
        else:
            layer.set_weights([random_like(rng, variable) for variable in layer.weights])
    return model


def random_like(rng, variable):
    values = rng.normal(size=variable.shape)
    positive = variable.name in ("gamma", "moving_variance")
    return (0.2 + np.abs(values) if positive else values * 0.5).astype("float32")


def layer_names(model):
    return [layer.name for layer in model.layers]


def predict(model, x):
    """The prediction, without compiling the model."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def images(shape, count=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def same_predictions(first, second, shape, tolerance=1e-5):
    """Compare two models, relative to the largest value."""
    x = images(shape)
    expected, found = predict(first, x), predict(second, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * (1 + np.abs(expected).max()))


def state(model):
    """All that a model is, to see that it was not changed."""
    return model.get_config(), [w.copy() for w in model.get_weights()]


def unchanged(model, before):
    config, weights = before
    assert model.get_config() == config
    for now, then in zip(model.get_weights(), weights, strict=True):
        assert np.array_equal(now, then)
