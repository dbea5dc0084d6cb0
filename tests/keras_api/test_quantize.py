"""`quantize` and `quantize_layer`: what becomes of which layer, step by step, and what is refused."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from cnn2snn_ir import (
    ActivationDiscreteRelu,
    CompileError,
    MaxPerAxisQuantizer,
    MaxQuantizer,
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedReLU,
    QuantizedSeparableConv2D,
    StdWeightQuantizer,
    quantize,
    quantize_layer,
)

RANDOM = np.random.default_rng(11)
IMAGES = RANDOM.uniform(0, 1, (3, 12, 12, 3)).astype(np.float32)


def body(norm=False):
    """Layers as a user would write them."""
    yield layers.Conv2D(6, 3, padding="same", name="conv", kernel_regularizer="l2")
    if norm:
        yield layers.BatchNormalization(name="norm")
    yield layers.ReLU(6.0, name="relu")
    yield layers.SeparableConv2D(8, 3, use_bias=False, name="sep")
    yield layers.MaxPooling2D(name="pool")
    yield layers.ReLU(name="open")
    yield layers.Flatten(name="flat")
    yield layers.Dense(4, name="dense")


def sequential(norm=False):
    return ready(keras.Sequential([layers.Input((12, 12, 3)), *body(norm)], name="net"))


def functional(norm=False):
    x = inputs = layers.Input((12, 12, 3))
    for layer in body(norm):
        x = layer(x)
    return ready(keras.Model(inputs, x, name="net"))


def ready(model):
    """Give all weights values, so that none is a default."""
    for variable in model.weights:
        low = 0.5 if "norm" in variable.path else -0.5
        variable.assign(RANDOM.uniform(low, 1, variable.shape))
    return model


def widths(model):
    """Layer ▶ bits, for quantized layers; of separable ones those of both kernels."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, QuantizedSeparableConv2D):
            found[layer.name] = (layer.quantizer_dw.bitwidth, layer.quantizer.bitwidth)
        elif hasattr(layer, "quantizer"):
            found[layer.name] = layer.quantizer.bitwidth
        elif hasattr(layer, "bitwidth"):
            found[layer.name] = layer.bitwidth
    return found


def diagnostics(function, *arguments, **options):
    """What a call is refused for."""
    with pytest.raises(CompileError) as caught:
        function(*arguments, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RuntimeError)
    return caught.value.diagnostics


# ---- what becomes of which layer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize("fold_bn", [True, False])
def test_layers(make, fold_bn):
    model = make()
    before = model.get_config()
    quantized = quantize(model, 4, 2, 8, fold_BN=fold_bn)
    assert widths(quantized) == {"conv": 8, "relu": 2, "sep": (4, 4), "open": 2, "dense": 4}
    names = [layer.name for layer in model.layers if type(layer) is not layers.InputLayer]
    assert [layer.name for layer in quantized.layers][-len(names) :] == names
    assert type(quantized.get_layer("conv")) is QuantizedConv2D
    assert type(quantized.get_layer("conv").quantizer) is MaxPerAxisQuantizer
    assert type(quantized.get_layer("sep").quantizer_dw) is MaxQuantizer
    assert type(quantized.get_layer("sep").quantizer) is MaxPerAxisQuantizer
    assert type(quantized.get_layer("dense")) is QuantizedDense
    assert (quantized.get_layer("relu").max_value, quantized.get_layer("open").max_value) == (6, 3)
    assert quantized.get_layer("conv").kernel_regularizer is not None
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), quantized.get_weights(), strict=True))
    assert model.get_config() == before


def test_a_model_stays_of_its_kind():
    assert isinstance(quantize(sequential(), 4, 4), keras.Sequential)
    assert not isinstance(quantize(functional(), 4, 4, fold_BN=False), keras.Sequential)


def test_first_layer_is_like_the_others_by_default():
    assert widths(quantize(sequential(), 2, 1)) == {"conv": 2, "relu": 1, "sep": (2, 2), "open": 1, "dense": 2}


def test_zero_bits_leave_floats():
    assert widths(quantize(sequential(), 4)) == {"conv": 4, "sep": (4, 4), "dense": 4}
    assert widths(quantize(sequential(), 0, 4)) == {"relu": 4, "open": 4}
    assert widths(quantize(sequential(), 4, 0, 0)) == {"sep": (4, 4), "dense": 4}
    assert widths(quantize(sequential())) == {}


def test_eight_bits_change_little():
    model = sequential()
    error = np.abs(quantize(model, 8, 0).predict(IMAGES, verbose=0) - model.predict(IMAGES, verbose=0))
    assert 0 < error.max() < 0.05 * np.abs(model.predict(IMAGES, verbose=0)).max()


@pytest.mark.parametrize("make", [sequential, functional])
def test_batch_normalization_is_folded(make):
    model = make(norm=True)
    folded, kept = quantize(model, 8, 0), quantize(model, 8, 0, fold_BN=False)
    assert "norm" not in [layer.name for layer in folded.layers]
    assert "norm" in [layer.name for layer in kept.layers]
    exact = model.predict(IMAGES, verbose=0)
    for quantized in (folded, kept):
        assert np.abs(quantized.predict(IMAGES, verbose=0) - exact).max() < 0.05 * np.abs(exact).max()


def test_branches():
    inputs = layers.Input((12, 12, 3))
    a = layers.ReLU(name="relu")(layers.Conv2D(4, 3, padding="same", name="conv")(inputs))
    b = layers.ReLU(name="branch_relu")(layers.Conv2D(4, 1, name="branch")(a))
    outputs = layers.Conv2D(2, 1, name="top")(layers.Concatenate(name="cat")([a, b]))
    model = ready(keras.Model(inputs, outputs))
    for fold_bn in (True, False):
        quantized = quantize(model, 4, 4, 8, fold_BN=fold_bn)
        assert widths(quantized) == {"conv": 8, "relu": 4, "branch": 4, "branch_relu": 4, "top": 4}
        assert quantized.predict(IMAGES, verbose=0).shape == (3, 12, 12, 2)


def test_models_within_models():
    inner = keras.Sequential([layers.Input((12, 12, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")])
    model = ready(keras.Sequential([layers.Input((12, 12, 3)), inner, layers.Flatten(), layers.Dense(2, name="dense")]))
    assert widths(quantize(model, 4, 2, fold_BN=False)) == {"conv": 4, "relu": 2, "dense": 4}


# ---- step by step ---------------------------------------------------------------------------------------------------


def test_quantized_again():
    model = sequential()
    first = quantize(model, 8, 4)
    second = quantize(first, 4, 2, 8)
    assert widths(second) == {"conv": 8, "relu": 2, "sep": (4, 4), "open": 2, "dense": 4}
    assert second.get_layer("relu").max_value == 6
    assert second.get_layer("open").max_value == 15  # what training has got used to
    direct = quantize(model, 4, 2, 8)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    a, b = ({**m.get_layer("conv").get_config(), "quantizer": None} for m in (second, direct))
    assert a == b


def test_quantizers_stay_of_their_class():
    model = keras.Sequential([layers.Input((4,)), QuantizedDense(3, StdWeightQuantizer(2.5, 8), name="dense")])
    quantizer = quantize(model, 4).layers[-1].quantizer
    assert (type(quantizer), quantizer.threshold, quantizer.bitwidth) == (StdWeightQuantizer, 2.5, 4)


def test_discrete_relu_becomes_relu():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3), ActivationDiscreteRelu(4, name="act")])
    layer = quantize(model, 4, 2).get_layer("act")
    assert (type(layer), layer.bitwidth, layer.max_value) == (QuantizedReLU, 2, 6)


def test_other_activations_keep_their_class():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3), QuantizedReLU(4, 2.5, name="act")])
    layer = quantize(model, 4, 1).get_layer("act")
    assert (layer.bitwidth, layer.max_value) == (1, 2.5)


def test_depthwise_layers_already_quantized():
    model = keras.Sequential([layers.Input((12, 12, 3)), QuantizedDepthwiseConv2D(3, MaxQuantizer(8), name="dw")])
    assert widths(quantize(model, 4)) == {"dw": 4}


def test_zero_bits_for_quantized_layers_are_refused():
    found = diagnostics(quantize, quantize(sequential(), 4, 4), 0, 0)
    assert [(d.code, d.where.split(" ")[0]) for d in found] == [
        ("QUANT-BITS", name) for name in ("conv", "relu", "sep", "open", "dense")
    ]
    assert found[0].allowed == "2, 4, 8"
    assert found[1].allowed == "1, 2, 4"


# ---- quantizers of the user -----------------------------------------------------------------------------------------


def test_quantizer_function():
    calls = []

    def choose(layer, default):
        calls.append((layer.name, type(default), default.bitwidth, np.asarray(layer.weights[0]).sum()))
        return StdWeightQuantizer(bitwidth=default.bitwidth) if layer.name == "dense" else default

    model = sequential()
    quantized = quantize(model, 4, 4, 8, quantizer_function=choose)
    total = {layer.name: np.asarray(layer.weights[0]).sum() for layer in model.layers if layer.weights}
    assert calls == [
        ("conv", MaxPerAxisQuantizer, 8, total["conv"]),
        ("sep", MaxPerAxisQuantizer, 4, total["sep"]),
        ("sep", MaxQuantizer, 4, total["sep"]),
        ("dense", MaxPerAxisQuantizer, 4, total["dense"]),
    ]
    assert type(quantized.get_layer("dense").quantizer) is StdWeightQuantizer


def test_bad_quantizers_are_refused_all_at_once():
    answers = {"conv": None, "sep": MaxQuantizer(bitwidth=5), "dense": MaxQuantizer}
    found = diagnostics(quantize, sequential(), 4, 4, quantizer_function=lambda layer, _: answers[layer.name])
    assert [(d.code, d.where) for d in found] == [
        ("QUANT-QUANTIZER", "conv (QuantizedConv2D)"),
        ("QUANT-BITS", "quantizer_function"),
        ("QUANT-QUANTIZER", "dense (QuantizedDense)"),
    ]
    assert found[1].found == "5 for sep"


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_illegal_widths_are_refused_with_the_legal_ones():
    found = diagnostics(quantize, sequential(), 3, 3, 5)
    assert [(d.code, d.where, d.found, d.allowed) for d in found] == [
        ("QUANT-BITS", "weight_quantization", "3 for sep, dense", "2, 4, 8, or 0 to leave floats as they are"),
        ("QUANT-BITS", "input_weight_quantization", "5 for conv", "2, 4, 8, or 0 to leave floats as they are"),
        ("QUANT-BITS", "activ_quantization", "3 for relu, open", "1, 2, 4, or 0 to leave floats as they are"),
    ]


@pytest.mark.parametrize("weights", [1, 3, 5, 6, 7, 16, -4, "4", None, 2.5])
def test_weight_widths_are_refused(weights):
    assert [d.where for d in diagnostics(quantize, sequential(), weights, 4)] == ["weight_quantization"]


@pytest.mark.parametrize("activations", [3, 5, 8, -1, "2", None])
def test_activation_widths_are_refused(activations):
    assert [d.where for d in diagnostics(quantize, sequential(), 4, activations)] == ["activ_quantization"]


def test_arguments_are_refused_with_widths_all_at_once():
    model = keras.Sequential(
        [
            layers.Input((12, 12, 4)),
            layers.Conv2D(8, 3, activation="relu", groups=2, name="conv"),
            layers.ReLU(negative_slope=0.1, name="leaky"),
            layers.SeparableConv2D(8, 3, depth_multiplier=2, name="sep"),
            layers.Dense(3, activation="softmax", name="dense"),
        ]
    )
    found = diagnostics(quantize, model, 4, 3)
    assert [(d.code, d.where, d.found) for d in found] == [
        ("QUANT-BITS", "activ_quantization", "3 for leaky"),
        ("QUANT-ARGUMENT", "conv (Conv2D)", "activation = 'relu'"),
        ("QUANT-ARGUMENT", "conv (Conv2D)", "groups = 2"),
        ("QUANT-ARGUMENT", "leaky (ReLU)", "negative_slope = 0.1"),
        ("QUANT-ARGUMENT", "sep (SeparableConv2D)", "depth_multiplier = 2"),
        ("QUANT-ARGUMENT", "dense (Dense)", "activation = 'softmax'"),
    ]


def test_arguments_of_layers_that_stay_float_do_not_matter():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu"), layers.ReLU(name="relu")])
    assert widths(quantize(model, 0, 4)) == {"relu": 4}


@pytest.mark.parametrize("model", [None, "model.h5", 3])
def test_what_is_no_model_is_refused(model):
    assert diagnostics(quantize, model, 4, 4)


def test_models_without_known_layers_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    assert diagnostics(quantize, Own(), 4, 4)


def test_what_stays_float_is_told():
    model = keras.Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(threshold=0.5, name="late"),
            layers.DepthwiseConv2D(3, name="dw"),
            layers.Activation("relu", name="act"),
            layers.Activation("softmax"),
        ]
    )
    with pytest.warns(UserWarning, match="QUANT-FLOAT") as told:
        quantized = quantize(model, 4, 4, fold_BN=False)
    assert [str(w.message).split(":")[1].split()[:2] for w in told] == [
        ["QUANT-FLOAT", name] for name in ("late", "dw", "act")
    ]
    assert type(quantized.get_layer("late")) is layers.ReLU
    assert type(quantized.get_layer("dw")) is layers.DepthwiseConv2D
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(model, 0, 0, fold_BN=False)


# ---- one layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [2, -5, "sep", lambda model: model.get_layer("sep")])
def test_one_layer(target):
    model = sequential()
    quantized = quantize_layer(model, target(model) if callable(target) else target, 4)
    assert widths(quantized) == {"sep": (4, 4)}
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), quantized.get_weights(), strict=True))


def test_one_layer_of_a_functional_model():
    assert widths(quantize_layer(functional(norm=True), "conv", 2)) == {"conv": 2}


def test_one_activation_and_again():
    model = quantize_layer(sequential(), "relu", 1)
    assert widths(model) == {"relu": 1}
    assert widths(quantize_layer(model, "relu", 4)) == {"relu": 4}


def test_one_layer_with_another_quantizer():
    model = quantize_layer(sequential(), "dense", 2, quantizer_function=lambda layer, _: StdWeightQuantizer(bitwidth=2))
    assert type(model.get_layer("dense").quantizer) is StdWeightQuantizer


@pytest.mark.parametrize(
    ("target", "bits", "code"),
    [
        ("sepp", 4, "QUANT-LAYER"),
        (99, 4, "QUANT-LAYER"),
        (layers.ReLU(name="stranger"), 4, "QUANT-LAYER"),
        (None, 4, "QUANT-LAYER"),
        ("pool", 4, "QUANT-LAYER"),
        ("conv", 0, "QUANT-BITS"),
        ("conv", 1, "QUANT-BITS"),
        ("relu", 8, "QUANT-BITS"),
        ("relu", 0, "QUANT-BITS"),
        ("relu", None, "QUANT-BITS"),
    ],
)
def test_one_layer_refused(target, bits, code):
    (found,) = diagnostics(quantize_layer, sequential(), target, bits)
    assert found.code == code


def test_nearest_name():
    (found,) = diagnostics(quantize_layer, sequential(), "sepp", 4)
    assert found.allowed == "sep"


def test_one_layer_with_an_argument():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu", name="dense")])
    (found,) = diagnostics(quantize_layer, model, "dense", 4)
    assert (found.code, found.where) == ("QUANT-ARGUMENT", "dense (Dense)")
