"""The check of legacy models: True for what can be converted, otherwise every reason at once."""

import keras
import pytest
from generators.keras_nets import randomize, state, unchanged
from generators.recorded import EXAMPLES
from keras import layers as kl

from cnn2snn_ir.compatibility_checks import check_model_compatibility
from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedReLU
from cnn2snn_ir.keras.compatibility import incompatibilities
from cnn2snn_ir.keras.layers import (
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedSeparableConv2D,
)
from cnn2snn_ir.keras.objects import load_quantized_model
from cnn2snn_ir.keras.quantizers import MaxPerAxisQuantizer, MaxQuantizer, StdWeightQuantizer

IMAGE = (8, 8, 3)


def q(bits=4):
    return MaxPerAxisQuantizer(bits)


def conv(name="c", bits=4, **settings):
    return QuantizedConv2D(4, 3, q(bits), name=name, **settings)


def relu(name="a", bits=4):
    return QuantizedReLU(bits, name=name)


def sequential(*layers, shape=IMAGE):
    return randomize(keras.Sequential([keras.Input(shape), *layers]))


def reasons(model):
    """The codes of all reasons, with the layers."""
    return [(d.code.removeprefix("COMPAT-"), d.where.partition(" ")[0]) for d in incompatibilities(model)]


FINE = {
    "image": lambda: sequential(
        kl.Rescaling(1 / 128, offset=-1),
        conv(bits=8, padding="same"),
        kl.Dropout(0.1),
        kl.BatchNormalization(),
        kl.MaxPooling2D(padding="same"),
        relu(),
        QuantizedSeparableConv2D(5, 3, q(), MaxQuantizer(4)),
        kl.GlobalAveragePooling2D(),
        kl.BatchNormalization(),
        ActivationDiscreteRelu(2),
        kl.Reshape((1, 1, 5)),
        QuantizedDense(3, StdWeightQuantizer(bitwidth=2)),
        kl.Flatten(),
        kl.Softmax(),
    ),
    "pooling behind the activation": lambda: sequential(conv(), relu(), kl.MaxPooling2D(), conv("d")),
    "vectors": lambda: sequential(QuantizedDense(4, q()), relu(), QuantizedDense(3, q()), relu("b"), shape=(10,)),
    "maps": lambda: sequential(conv(), relu(), kl.Flatten(), QuantizedDense(3, q()), shape=(5, 5, 8)),
    "first layer with other bits": lambda: sequential(conv(bits=6), relu()),
    "not quantized yet": lambda: sequential(
        kl.Conv2D(4, 3), kl.BatchNormalization(), kl.ReLU(6.0), kl.Flatten(), kl.Dense(3), kl.Activation("softmax")
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_models_that_can_be_converted(name, capsys):
    model = FINE[name]()
    before = state(model)
    assert check_model_compatibility(model) is True
    assert capsys.readouterr().out == ""
    unchanged(model, before)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("mnist_legacy_*.h5")), ids=lambda path: path.stem)
def test_trained_models_can_be_converted(path):
    assert check_model_compatibility(load_quantized_model(path, compile_model=False)) is True


def bad_gammas():
    model = sequential(conv(), kl.MaxPooling2D(), kl.BatchNormalization(name="n"), relu())
    model.get_layer("n").gamma.assign([1, -1, 1, 0])
    return model


def with_descendant():
    image = keras.Input(IMAGE)
    first = conv("a", bits=5)(image)
    second = relu("r", bits=3)(conv("b", padding="same")(first))
    return randomize(keras.Model(image, kl.Concatenate(name="cat")([first, second])))


BROKEN = {
    "unknown layer": (lambda: sequential(conv(), relu(), kl.UpSampling2D(name="u")), [("LAYER", "u")]),
    "depthwise": (
        lambda: sequential(conv(), relu(), QuantizedDepthwiseConv2D(3, q(), name="w"), shape=(8, 8, 4)),
        [("LAYER", "w")],
    ),
    "nothing": (lambda: sequential(kl.Softmax(name="s")), [("EMPTY", ""), ("INPUT", "s")]),
    "part in float": (
        lambda: sequential(conv(), kl.ReLU(name="r"), kl.Flatten(), kl.Dense(2, name="d")),
        [("FLOAT", "r"), ("FLOAT", "d")],
    ),
    "own activation": (
        lambda: sequential(kl.Conv2D(4, 3, activation="relu", name="c"), kl.ReLU()),
        [("OWN-ACTIVATION", "c")],
    ),
    "bits": (
        lambda: sequential(
            conv(bits=8),
            relu(bits=3),
            conv("d", bits=3),
            relu("b", bits=8),
            QuantizedSeparableConv2D(4, 2, q(2), q(4), name="s"),
        ),
        [("WEIGHT-BITS", "d"), ("SEPARABLE-BITS", "s"), ("ACTIVATION-BITS", "a"), ("ACTIVATION-BITS", "b")],
    ),
    "bits of a first layer that reads no image": (
        lambda: sequential(conv(bits=3), relu(), shape=(8, 8, 4)),
        [("WEIGHT-BITS", "c")],
    ),
    "image read by another layer": (
        lambda: sequential(QuantizedSeparableConv2D(4, 3, q(), name="s"), relu()),
        [("INPUT", "s")],
    ),
    "one value": (lambda: sequential(QuantizedDense(3, q(), name="d"), shape=(1,)), [("INPUT", "d")]),
    "rescaling": (
        lambda: sequential(conv(), relu(), kl.Rescaling(-1.0, name="r")),
        [("RESCALING", "r"), ("RESCALING", "r")],
    ),
    "rescaling of channels": (
        lambda: sequential(kl.Rescaling([1.0, 2.0, 3.0], name="r"), conv(), relu()),
        [("RESCALING", "r")],
    ),
    "dense on a map": (lambda: sequential(conv(), relu(), QuantizedDense(3, q(), name="d")), [("DENSE", "d")]),
    "no activation": (lambda: sequential(conv(), conv("d"), relu()), [("ACTIVATION", "d")]),
    "two activations": (lambda: sequential(conv(), relu(), relu("b")), [("ACTIVATION", "b")]),
    "activation first": (lambda: sequential(relu(), conv()), [("INPUT", "a"), ("ACTIVATION", "a")]),
    "pooling first": (
        lambda: sequential(kl.MaxPooling2D(name="p"), conv(), relu(), shape=(8, 8, 4)),
        [("POOL", "p")],
    ),
    "pooling twice": (lambda: sequential(conv(), kl.MaxPooling2D(), kl.MaxPooling2D(name="p")), [("POOL", "p")]),
    "average behind the activation": (
        lambda: sequential(conv(), relu(), kl.GlobalAveragePooling2D(name="g")),
        [("POOL", "g")],
    ),
    "padding of the pooling": (
        lambda: sequential(conv(), kl.MaxPooling2D(padding="same", name="p"), relu()),
        [("POOL-PADDING", "p")],
    ),
    "normalization behind the activation": (
        lambda: sequential(conv(), relu(), kl.BatchNormalization(name="n"), conv("d")),
        [("BATCHNORM", "n")],
    ),
    "normalization first": (
        lambda: sequential(kl.BatchNormalization(name="n"), conv(), shape=(8, 8, 4)),
        [("BATCHNORM", "n")],
    ),
    "gammas": (bad_gammas, [("TRANSFORM-GAMMA", "n"), ("TRANSFORM-GAMMA", "n")]),
    "flatten": (
        lambda: sequential(conv(), relu(), kl.Flatten(name="f"), relu("b")),
        [("ACTIVATION", "b"), ("FLATTEN", "f")],
    ),
    "reshape": (lambda: sequential(conv(), relu(), kl.Reshape((6, 24), name="r")), [("RESHAPE", "r")]),
    "softmax in the middle": (
        lambda: sequential(conv(), relu(), kl.Softmax(name="s"), conv("d")),
        [("HEAD", "s")],
    ),
    "dilation": (lambda: sequential(conv(dilation_rate=2), relu()), [("TRANSFORM-DILATION", "c")]),
    "branches, and all else that can be seen": (
        with_descendant,
        [("TRANSFORM-BRANCH", "cat"), ("ACTIVATION-BITS", "r")],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_reason_is_printed(name, capsys):
    make, expected = BROKEN[name]
    model = make()
    before = state(model)
    assert reasons(model) == expected
    assert check_model_compatibility(model) is False
    unchanged(model, before)
    out = capsys.readouterr().out
    for code, layer in expected:
        assert code in out
        assert layer in out


def test_the_order_is_spoken_of(capsys):
    check_model_compatibility(sequential(conv(), relu(), kl.BatchNormalization(name="n")))
    out = capsys.readouterr().out
    assert "order" in out
    assert "behind a (QuantizedReLU)" in out
    assert "before the activation" in out


def test_what_is_no_model(capsys):
    assert check_model_compatibility("model.h5") is False
    assert "not a model of Keras 3" in capsys.readouterr().out
