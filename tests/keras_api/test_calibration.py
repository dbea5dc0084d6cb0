"""Calibration: better models from samples, by the documented formulas, however the samples are batched."""

import keras
import numpy as np
import pytest
from generators.keras_nets import images, predict, randomize, state, unchanged
from keras import layers as kl

from cnn2snn_ir.calibration import (
    QuantizationSampler,
    activations_rescaling,
    adaround,
    bias_correction,
    next_activation,
)
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedReLU
from cnn2snn_ir.keras.calibration.adaround import Rounding, beta_at
from cnn2snn_ir.keras.layers import (
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedSeparableConv2D,
)
from cnn2snn_ir.keras.objects import cnn2snn_objects
from cnn2snn_ir.keras.quantizers import MaxPerAxisQuantizer, MaxQuantizer, StdPerAxisQuantizer, WeightQuantizer

IMAGE = (8, 8, 3)
SAMPLES = images(IMAGE, 10)


def chain(**settings):
    """A net of every kind of quantized layer; `settings` are for the convolution."""
    layers = [
        keras.Input(IMAGE),
        QuantizedConv2D(4, 3, MaxPerAxisQuantizer(3), name="c", **settings),
        kl.MaxPooling2D(),
        QuantizedReLU(4, 40.0, name="a"),
        QuantizedSeparableConv2D(5, 2, MaxPerAxisQuantizer(3), MaxQuantizer(3), use_bias=False, name="s"),
        QuantizedReLU(2, 6.0, name="b"),
        QuantizedDepthwiseConv2D(2, StdPerAxisQuantizer(bitwidth=3), name="w"),
        ActivationDiscreteRelu(4),
        kl.Flatten(),
        QuantizedDense(3, StdPerAxisQuantizer(bitwidth=3), name="d"),
    ]
    return randomize(keras.Sequential(layers))


def branched():
    """Two branches, of which the second reads the first."""
    image = keras.Input(IMAGE)
    first = QuantizedReLU(4, 60.0, name="a")(QuantizedConv2D(4, 3, MaxPerAxisQuantizer(3), name="c")(image))
    second = QuantizedConv2D(4, 1, MaxPerAxisQuantizer(3), name="e")(first)
    joined = kl.Concatenate()([first, second])
    flat = kl.GlobalAveragePooling2D()(joined)
    return randomize(keras.Model(image, QuantizedDense(3, MaxPerAxisQuantizer(3), name="d")(flat)))


def refusal(function, *arguments, **options):
    with pytest.raises(CompileError) as caught:
        function(*arguments, **options)
    return [d.code for d in caught.value.diagnostics]


def everything(outputs):
    return np.concatenate([keras.ops.convert_to_numpy(o) for o in outputs])


# ---- the sampler ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1, 3, 5, 100])
def test_the_sampler_sees_all_samples(batch_size):
    model = chain()
    sampler = QuantizationSampler(model, SAMPLES, batch_size)
    sampler.select_layer("c")
    count = len(sampler.batches)
    found = everything(sampler.quantized_outputs(i) for i in range(count))
    conv = model.get_layer("c")
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(conv(SAMPLES)), rtol=1e-5, atol=1e-5)
    found = everything(sampler.float_outputs(i) for i in range(count))
    plain = keras.ops.conv(SAMPLES, conv.kernel, padding="valid") + conv.bias
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(plain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_error_does_not_depend_on_batches(batch_size):
    sampler = QuantizationSampler(chain(), SAMPLES, batch_size)
    sampler.select_layer("s")
    quantized, floats = (
        everything(f(i) for i in range(len(sampler.batches)))
        for f in (sampler.quantized_outputs, sampler.float_outputs)
    )
    expected = np.mean((floats - quantized) ** 2)
    for metric in ("mse", keras.losses.MeanSquaredError(), lambda x, y: (x - y) ** 2):
        assert sampler.quantization_error(metric) == pytest.approx(expected, rel=1e-4)


def test_layers_read_what_the_quantized_model_gives():
    model = chain()
    sampler = QuantizationSampler(model, SAMPLES)
    sampler.select_layer(model.get_layer("d"))
    before = keras.Model(model.inputs[0], model.layers[-2].output)
    expected = model.get_layer("d")(before(SAMPLES))
    np.testing.assert_allclose(sampler.quantized_outputs(0), expected, rtol=1e-5, atol=1e-5)


def test_a_sampler_can_look_at_a_branch():
    model = branched()
    sampler = QuantizationSampler(model, SAMPLES, 4)
    assert [layer.name for layer in sampler.layers] == ["c", "e", "d"]
    sampler.select_layer("e")
    before = keras.Model(model.inputs[0], model.get_layer("a").output)
    expected = model.get_layer("e")(before(SAMPLES[8:]))
    np.testing.assert_allclose(sampler.quantized_outputs(2), expected, rtol=1e-5, atol=1e-5)


def test_what_a_sampler_cannot_look_at():
    sampler = QuantizationSampler(chain(), SAMPLES)
    assert refusal(sampler.quantized_outputs, 0) == ["CALIBRATE-LAYER"]
    for layer in ("a", "nonsense", kl.Dense(2)):
        assert refusal(sampler.select_layer, layer) == ["CALIBRATE-LAYER"]


@pytest.mark.parametrize(
    "samples",
    [SAMPLES[:, :7], SAMPLES[0], SAMPLES[:0], np.full((2, *IMAGE), np.nan), np.full((2, *IMAGE), "x"), 3],
)
def test_samples_that_the_model_does_not_take(samples):
    for calibrate in (activations_rescaling, bias_correction):
        assert refusal(calibrate, chain(), samples) == ["CALIBRATE-SAMPLES"]
    assert refusal(adaround, chain(), samples, "adam", 1) == ["CALIBRATE-SAMPLES"]


def test_arguments_that_cannot_be():
    assert refusal(bias_correction, chain(), SAMPLES[0], batch_size=0) == ["CALIBRATE-SAMPLES", "CALIBRATE-ARGUMENT"]
    assert refusal(adaround, chain(), SAMPLES, "adam", 0) == ["CALIBRATE-ARGUMENT"]
    plain = keras.Sequential([keras.Input(IMAGE), kl.Conv2D(2, 3)])
    assert refusal(bias_correction, plain, SAMPLES) == ["CALIBRATE-FLOAT"]
    assert refusal(adaround, plain, SAMPLES, "adam", 1) == ["CALIBRATE-FLOAT"]


def test_layers_with_constraints_of_a_user():
    class Positive(keras.constraints.Constraint):
        def __call__(self, w):
            return keras.ops.maximum(w, 0.0)

    model = chain(kernel_constraint=Positive())
    assert bias_correction(model, SAMPLES).get_layer("c").kernel_constraint is not None


def test_next_activation():
    model = chain()
    assert next_activation(model.get_layer("c")) is model.get_layer("a")
    assert next_activation(model.get_layer("s")) is model.get_layer("b")
    assert next_activation(model.get_layer("d")) is None
    assert next_activation(branched().get_layer("e")) is None
    bare = keras.Sequential([keras.Input(IMAGE), kl.Conv2D(2, 3), kl.Conv2D(2, 3), QuantizedReLU(2)])
    assert next_activation(bare.layers[0]) is None


def test_an_activation_of_several_layers_belongs_to_none(capsys):
    """Behind a join, what reaches the activation is not the output of one layer."""
    image = keras.Input(IMAGE)
    branches = [QuantizedConv2D(2, 1, MaxPerAxisQuantizer(3), name=name)(image) for name in ("a", "b")]
    joined = QuantizedReLU(4, 40.0, name="r")(kl.Concatenate()(branches))
    model = randomize(keras.Model(image, joined))
    assert next_activation(model.get_layer("a")) is None
    assert activations_rescaling(model, SAMPLES).get_layer("r").max_value == 40
    adaround(model, SAMPLES, "adam", 1, include_activation=True)
    assert len(capsys.readouterr().out.splitlines()) == 2
    inner = keras.Sequential([keras.Input((8, 8, 2)), QuantizedReLU(4)])
    outer = keras.Sequential([keras.Input(IMAGE), QuantizedConv2D(2, 1, MaxPerAxisQuantizer(3)), inner])
    assert next_activation(outer.layers[0]) is None


# ---- rescaling ------------------------------------------------------------------------------------------------------


def test_activations_end_where_the_values_end():
    model = chain()
    before = state(model)
    for batch_size in (None, 3):
        result = activations_rescaling(model, SAMPLES, batch_size)
        unchanged(model, before)
        a, b = result.get_layer("a"), result.get_layer("b")
        conv = model.get_layer("c")
        plain = kl.MaxPooling2D()(keras.ops.conv(SAMPLES, conv.kernel, padding="valid") + conv.bias)
        expected = float(keras.ops.max(model.get_layer("a")(plain)))
        assert 0 < expected < 40
        assert a.max_value == pytest.approx(expected)
        assert a.step == pytest.approx(expected / 15)
        assert 0 < b.max_value <= 6


def test_a_rescaled_model_survives_a_copy():
    """The step is that of the new end at once, not only after the model is made anew from its configuration."""
    result = activations_rescaling(chain(), SAMPLES)
    copy = keras.Sequential.from_config(result.get_config(), cnn2snn_objects)
    copy.set_weights(result.get_weights())
    assert np.array_equal(predict(result, SAMPLES), predict(copy, SAMPLES))


def test_an_activation_of_zeros_keeps_its_end():
    model = chain()
    model.get_layer("c").bias.assign([-1000.0] * 4)
    assert activations_rescaling(model, SAMPLES).get_layer("a").max_value == 40


# ---- bias correction ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [chain, lambda: chain(use_bias=False), branched])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_bias_correction_moves_the_means(make, batch_size, capsys):
    model = make()
    before = state(model)
    result = bias_correction(model, SAMPLES, batch_size)
    unchanged(model, before)
    lines = capsys.readouterr().out.splitlines()
    sampler = QuantizationSampler(result, SAMPLES, 4)
    assert len(lines) == len(sampler.layers)
    for layer, line in zip(sampler.layers, lines, strict=True):
        sampler.select_layer(layer)
        batches = range(len(sampler.batches))
        quantized = everything(sampler.quantized_outputs(i) for i in batches)
        floats = everything(sampler.float_outputs(i) for i in batches)
        old_bias = model.get_layer(layer.name).bias if model.get_layer(layer.name).use_bias else 0.0
        moved = keras.ops.convert_to_numpy(layer.bias - old_bias)
        expected = (floats - quantized).reshape(-1, floats.shape[-1]).mean(axis=0)  # the bias is in both
        np.testing.assert_allclose(moved, expected, atol=1e-3 * np.abs(floats).max(), rtol=0)
        remaining = np.mean((floats - quantized) ** 2)
        assert line.startswith(f"{layer.name}: mean squared error ")
        first, second = (float(x) for x in line.rpartition("error ")[2].split(" -> "))
        assert second <= first
        assert first == pytest.approx(remaining, rel=1e-2)


# ---- adaround -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [chain, branched])
@pytest.mark.parametrize("include_activation", [False, True])
def test_adaround_lowers_the_error_of_layers(make, include_activation, capsys):
    model = make()
    before = state(model)
    result = adaround(
        model, SAMPLES, keras.optimizers.Adam(0.05), 20, batch_size=4, include_activation=include_activation
    )
    unchanged(model, before)
    errors = [line.partition("error ")[2].split(" -> ") for line in capsys.readouterr().out.splitlines()]
    assert all(float(after) <= float(first) for first, after in errors)
    assert any(float(after) < 0.95 * float(first) for first, after in errors)
    for layer in QuantizationSampler(result, SAMPLES).layers:
        assert type(layer) is type(model.get_layer(layer.name))
        assert layer.get_config() == model.get_layer(layer.name).get_config()


def test_weights_are_rounded_up_or_down_and_stay_quantized():
    model = chain()
    result = adaround(model, SAMPLES, keras.optimizers.Adam(0.1), 20, loss="mae", batch_size=4)
    old, new = model.get_layer("c"), result.get_layer("c")
    scale = keras.ops.convert_to_numpy(old.quantizer.scale_factor(old.kernel))
    steps = new.kernel.numpy() * scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert np.abs(steps - old.kernel.numpy() * scale).max() < 1
    np.testing.assert_allclose(new.quantizer.quantize(new.kernel), new.kernel, rtol=1e-5, atol=1e-6)


def test_rounding_begins_at_the_weights_and_leaves_the_largest():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("float32")
    rounding = Rounding(kernel, MaxPerAxisQuantizer(4))
    np.testing.assert_allclose(rounding.weights(rounding.choice()), kernel, rtol=1e-4, atol=1e-5)
    assert np.count_nonzero(~rounding.free) == 4
    assert float(rounding.indecision(2.0)) > 0
    rounding.alpha.assign(np.where(kernel > 0, 20.0, -20.0))
    assert float(rounding.indecision(2.0)) == 0
    up = rounding.weights(rounding.choice()).numpy() * rounding.scale
    scaled = kernel * rounding.scale
    np.testing.assert_allclose(
        up, np.where(rounding.free, np.where(kernel > 0, np.ceil(scaled), np.floor(scaled)), scaled), atol=1e-4
    )


def test_beta_falls_along_half_a_cosine():
    betas = [beta_at(epoch, 11) for epoch in range(11)]
    assert betas[0] == 20
    assert betas[5] == pytest.approx(11)
    assert betas[-1] == 2
    assert betas == sorted(betas, reverse=True)


def test_learning_that_goes_wrong_changes_nothing():
    model = chain()
    result = adaround(model, SAMPLES, keras.optimizers.SGD(1e6), 1)
    sampler, calibrated = QuantizationSampler(model, SAMPLES), QuantizationSampler(result, SAMPLES)
    sampler.select_layer("c")
    calibrated.select_layer("c")
    assert calibrated.quantization_error() <= sampler.quantization_error()


def test_a_quantizer_without_steps_is_refused():
    class Signs(WeightQuantizer):
        def quantize(self, w):
            return keras.ops.sign(w)

        def scale_factor(self, w):
            return 1.0

    model = keras.Sequential([keras.Input(IMAGE), QuantizedConv2D(2, 3, Signs(2), name="c")])
    assert refusal(adaround, model, SAMPLES, "adam", 1) == ["CALIBRATE-QUANTIZER"]
