"""Make float models that have every layer which can be imported, and what Keras computes with them.

usage: python make_float_layers.py OUTDIR [--keras2]

Needs an environment with TensorFlow and Keras 3, or with tf_keras, which writes as Keras 2 did (see README.md beside
this file).  Every model is written twice, and described by the outputs of all its layers:

    NAME.h5, NAME.keras   the model
    NAME.npz              samples `x`, and the output of every layer by its name
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

KERAS_2 = "--keras2" in sys.argv
keras = import_module("tf_keras" if KERAS_2 else "keras")
layers, Input, Model = keras.layers, keras.Input, keras.Model

SAMPLES = 2


def joined(inputs: Any, branches: Iterable[Any]) -> Model:
    """A model of parallel branches, each of which is flattened and joined to the others."""
    flat = [layers.Flatten()(branch) for branch in branches]
    return Model(inputs, layers.Concatenate()(flat))


def activations() -> Model:
    """All activations, as layers, by name, and built into a layer."""
    inputs = Input((5, 4, 3))
    names = ["relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "hard_silu", "hard_sigmoid", "leaky_relu", "elu"]
    names += ["softplus", "softsign", "mish", "linear", "softmax"]
    made = [
        layers.ReLU(),
        layers.ReLU(max_value=1.5),
        layers.ReLU(negative_slope=0.125),
        layers.LeakyReLU(0.25),
        layers.PReLU(shared_axes=[1, 2, 3], alpha_initializer=keras.initializers.Constant(0.375)),
        layers.ELU(0.5),
        layers.Softmax(),
        layers.Softmax(axis=1),
        layers.Conv2D(2, 1, activation=layers.LeakyReLU(0.0625)),
        layers.Conv2D(2, 1, activation="swish"),
        layers.Dense(4, activation="softmax"),
    ]
    made += [layers.Activation(name, name=f"by_name_{name}") for name in names]
    return joined(inputs, [layer(inputs) for layer in made])


def convolutions() -> Model:
    """Convolutions of all kinds, their strides, paddings, dilations and groups."""
    inputs = Input((9, 8, 4))
    made = [
        layers.Conv2D(5, 3),
        layers.Conv2D(5, (3, 2), strides=2, padding="same", use_bias=False),
        layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
        layers.Conv2D(6, 3, groups=2, padding="same"),
        layers.Conv2D(4, 3, groups=4),
        layers.DepthwiseConv2D(3, strides=2, padding="same"),
        layers.DepthwiseConv2D((2, 3), use_bias=False, activation="relu"),
        layers.SeparableConv2D(5, 3, padding="same", activation="relu"),
        layers.SeparableConv2D(5, 3, strides=2, use_bias=False),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same"),
        layers.Conv2DTranspose(3, (2, 3), strides=2, padding="valid", use_bias=False),
        layers.Conv2DTranspose(3, 4, strides=1, padding="same", activation="relu"),
        layers.Dense(3),
        layers.Dense(3, use_bias=False, activation="tanh"),
    ]
    return joined(inputs, [layer(inputs) for layer in made])


def pooling() -> Model:
    """Pooling, local and global."""
    inputs = Input((7, 6, 3))
    made = [
        layers.MaxPooling2D(),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.AveragePooling2D((2, 3)),
        layers.AveragePooling2D(3, strides=2, padding="same"),
        layers.GlobalAveragePooling2D(),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.GlobalMaxPooling2D(),
        layers.GlobalMaxPooling2D(keepdims=True),
    ]
    return joined(inputs, [layer(inputs) for layer in made])


def normalizations() -> Model:
    """Normalizations and scalings of integers."""
    inputs = Input((5, 4, 3), dtype="uint8")
    learned = layers.Normalization()
    learned.adapt(np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3)).astype(np.float32))
    real = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    made = [
        layers.BatchNormalization(),
        layers.BatchNormalization(center=False, epsilon=0.01),
        layers.BatchNormalization(scale=False),
        layers.Rescaling([1.0, 0.5, 2.0], offset=[0.0, 1.0, -1.0]),
        layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 4.0]),
        layers.Normalization(axis=None, mean=0.25, variance=4.0),
        layers.Dropout(0.5),
        layers.SpatialDropout2D(0.5),
        layers.GaussianNoise(0.5),
    ]
    return joined(inputs, [learned(inputs), *(layer(real) for layer in made)])


def shapes() -> Model:
    """Layers that move values, and those that merge several."""
    inputs = Input((6, 4, 3))
    twice = layers.Conv2D(3, 1, name="other")(inputs)
    third = layers.Activation("tanh", name="third")(inputs)
    made = [
        layers.Flatten()(inputs),
        layers.Reshape((8, 9))(inputs),
        layers.Reshape((-1, 6))(inputs),
        layers.Permute((2, 1, 3))(inputs),
        layers.ZeroPadding2D()(inputs),
        layers.ZeroPadding2D((2, 1))(inputs),
        layers.ZeroPadding2D(((0, 1), (2, 3)))(inputs),
        layers.UpSampling2D()(inputs),
        layers.UpSampling2D((1, 3))(inputs),
        layers.Add()([inputs, twice]),
        layers.Add()([inputs, twice, third]),
        layers.Concatenate()([inputs, twice, third]),
        layers.Concatenate(axis=1)([inputs, twice]),
        layers.Concatenate(axis=2)([inputs, twice]),
    ]
    return joined(inputs, made)


def residual() -> Model:
    """A net of inverted and ordinary residual blocks, as mobile nets have them: to be read and prepared as a whole."""
    inputs = Input((16, 12, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = shortcut = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 1, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(x))
    x = layers.Add()([x, shortcut])
    left = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(x)))
    right = layers.AveragePooling2D(2)(layers.LeakyReLU(0.125)(layers.SeparableConv2D(5, 3, padding="same")(x)))
    x = layers.Concatenate()([layers.MaxPooling2D()(left), right])
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(layers.Conv2D(12, 3)(layers.ZeroPadding2D(1)(x)))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return Model(inputs, layers.Dense(5, activation="softmax")(layers.BatchNormalization()(x)))


def nested() -> Model:
    """Models that are layers of others, two of them with layers of the same names."""

    def backbone(name: str, filters: int) -> Model:
        given = Input((6, 5, 3))
        x = layers.Conv2D(filters, 3, padding="same", name="first")(given)
        x = layers.ReLU(name="rectified")(layers.BatchNormalization(name="normalized")(x))
        return Model(given, layers.Add(name="sum")([x, layers.Conv2D(filters, 1, name="short")(given)]), name=name)

    image = Input((6, 5, 3))
    given = Input((6, 5, 3))
    inner = Model(given, layers.ReLU(name="inner_end")(backbone("innermost", 3)(given)), name="inner")
    x = backbone("trunk", 3)(inner(image))
    x = keras.Sequential([Input((6, 5, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(4)], name="head")(x)
    return Model(image, layers.Softmax(name="classes")(x))


def line() -> Model:
    """A Sequential model."""
    made = [
        layers.Conv2D(6, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(8, activation="relu6"),
        layers.Dense(4),
    ]
    return keras.Sequential([Input((8, 6, 1)), *made])


MODELS: tuple[Callable[[], Model], ...] = (
    activations, convolutions, pooling, normalizations, shapes, residual, nested, line,
)  # fmt: skip


WRITTEN_BY_KERAS_2 = (residual, nested, line)


def scatter_weights(model: Model, rng: np.random.Generator) -> None:
    """Weights that no initializer makes: biases and moments, too, differ from channel to channel."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization | layers.PReLU):
            continue
        for variable in layer.weights:
            values = rng.normal(size=variable.shape)
            fan_in = max(int(np.prod(variable.shape[:-1])), 1)
            positive = "variance" in variable.name or "gamma" in variable.name
            variable.assign(0.5 + np.abs(values) if positive else values / np.sqrt(fan_in))


def main() -> None:
    """Command line."""
    outdir = Path(sys.argv[1])
    outdir.mkdir(parents=True, exist_ok=True)
    for build in WRITTEN_BY_KERAS_2 if KERAS_2 else MODELS:
        name = build.__name__
        keras.backend.clear_session()
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        model = build()
        scatter_weights(model, rng)
        shape = (SAMPLES, *model.inputs[0].shape[1:])
        integers = str(model.inputs[0].dtype) == "uint8"
        x = rng.integers(0, 256, shape).astype(np.uint8) if integers else rng.normal(size=shape).astype(np.float32)
        model.save(outdir / f"{name}.h5")
        model.save(outdir / f"{name}.keras")
        told = [layer for layer in model.layers if not isinstance(layer, Model)]
        probe = Model(model.inputs, [layer.output for layer in told])
        outputs = zip([layer.name for layer in told], probe(x, training=False), strict=True)
        np.savez_compressed(outdir / f"{name}.npz", x=x, **{key: np.asarray(value) for key, value in outputs})


if __name__ == "__main__":
    main()
