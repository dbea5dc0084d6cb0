"""Transforms of Keras models: what they compute stays, what they were given too, and what cannot be is refused."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from generators.keras_nets import layer_names, predict, randomize, same_predictions, state, unchanged
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as kl

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.keras.activations import QuantizedReLU
from cnn2snn_ir.keras.graph import build_model, read_graph
from cnn2snn_ir.keras.layers import (
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedSeparableConv2D,
)
from cnn2snn_ir.keras.quantizers import MaxPerAxisQuantizer, MaxQuantizer, StdPerAxisQuantizer, StdWeightQuantizer
from cnn2snn_ir.keras.transforms import (
    fold_batchnorm,
    invert_batchnorm_pooling,
    normalize_separable_layer,
    normalize_separable_model,
    prepare_to_convert,
    reshape,
    sequentialize,
    syncretize,
    weights_homogeneity,
)

IMAGE = (8, 8, 3)


def sequential(*layers, shape=IMAGE):
    return randomize(keras.Sequential([keras.Input(shape), *layers]))


def functional(make, shape=IMAGE):
    image = keras.Input(shape)
    return randomize(keras.Model(image, make(image)))


def as_functional(model):
    """The same chain as a functional model, with its weights."""
    image = keras.Input(model.input_shape[1:])
    x = image
    copies = [layer.__class__.from_config(layer.get_config()) for layer in model.layers]
    for copy in copies:
        x = copy(x)
    other = keras.Model(image, x)
    other.set_weights(model.get_weights())
    return other


def refusal(function, *arguments):
    """The problems that a call is refused for, as (code, name of the layer)."""
    with pytest.raises(CompileError) as caught:
        function(*arguments)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, ValueError)
    return [(d.code, d.where.partition(" ")[0]) for d in caught.value.diagnostics]


NEURAL = {
    "conv": lambda bias: kl.Conv2D(5, 3, use_bias=bias),
    "strided": lambda bias: kl.Conv2D(4, 2, strides=2, padding="same", use_bias=bias),
    "separable": lambda bias: kl.SeparableConv2D(6, 3, depth_multiplier=2, use_bias=bias),
    "depthwise": lambda bias: kl.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias),
    "quantized": lambda bias: QuantizedConv2D(5, 3, MaxPerAxisQuantizer(8), use_bias=bias),
    "quantized_std": lambda bias: QuantizedConv2D(5, 3, StdPerAxisQuantizer(bitwidth=4), use_bias=bias),
    "quantized_separable": lambda bias: QuantizedSeparableConv2D(
        5, 3, MaxPerAxisQuantizer(4), MaxQuantizer(4), use_bias=bias
    ),
}


# ---- batch normalization --------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    neural=st.sampled_from(sorted(NEURAL)),
    bias=st.booleans(),
    scale=st.booleans(),
    center=st.booleans(),
    pool=st.sampled_from([None, "max", "same", "average"]),
    negative=st.booleans(),
    linear_chain=st.booleans(),
)
def test_batchnorm_goes_into_the_weights(neural, bias, scale, center, pool, negative, linear_chain):
    pools = {
        "max": lambda: kl.MaxPooling2D(2),
        "same": lambda: kl.MaxPooling2D(3, strides=2, padding="same"),
        "average": kl.GlobalAveragePooling2D,
    }
    norm = kl.BatchNormalization(scale=scale, center=center, epsilon=0.01)
    model = sequential(NEURAL[neural](bias), *([pools[pool]()] if pool else []), norm)
    if negative and scale and pool in (None, "average"):
        norm.gamma.assign(-norm.gamma)
    model = model if linear_chain else as_functional(model)
    before = state(model)
    inverted = invert_batchnorm_pooling(model)
    folded = fold_batchnorm(inverted)
    unchanged(model, before)
    assert type(folded) is type(model)
    assert not any(isinstance(layer, kl.BatchNormalization) for layer in folded.layers)
    same_predictions(model, inverted, IMAGE)
    same_predictions(model, folded, IMAGE, 1e-4)


def test_a_dense_layer_takes_a_batchnorm():
    model = sequential(kl.Flatten(), kl.Dense(5), kl.BatchNormalization(), shape=(3, 3, 2))
    folded = fold_batchnorm(model)
    assert layer_names(folded) == layer_names(model)[:2]
    same_predictions(model, folded, (3, 3, 2))


def test_two_batchnorms_pass_two_poolings():
    norms = [kl.BatchNormalization(), kl.BatchNormalization()]
    model = sequential(kl.Conv2D(4, 3), kl.MaxPooling2D(), kl.GlobalAveragePooling2D(), *norms)
    folded = fold_batchnorm(invert_batchnorm_pooling(model))
    assert [type(layer).__name__ for layer in folded.layers] == ["Conv2D", "MaxPooling2D", "GlobalAveragePooling2D"]
    same_predictions(model, folded, IMAGE)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [kl.BatchNormalization(), kl.Conv2D(4, 3)],
        lambda: [kl.Conv2D(4, 3), kl.ReLU(), kl.BatchNormalization()],
        lambda: [kl.Conv2D(4, 3, activation="relu"), kl.BatchNormalization()],
        lambda: [kl.Conv2DTranspose(4, 3), kl.BatchNormalization()],
    ],
)
def test_a_batchnorm_in_another_place_stays(layers):
    model = sequential(*layers())
    folded = fold_batchnorm(invert_batchnorm_pooling(model))
    assert layer_names(folded) == layer_names(model)
    same_predictions(model, folded, IMAGE)


def test_a_layer_of_which_nothing_is_known_is_not_folded_into():
    class Doubled(kl.Conv2D):
        def call(self, inputs):
            return super().call(inputs * 2) + 1

    model = sequential(Doubled(4, 3), kl.BatchNormalization())
    same_predictions(model, fold_batchnorm(model), IMAGE)


def test_a_value_that_is_needed_elsewhere_is_not_changed():
    def forked(x):
        pooled = kl.MaxPooling2D(name="pool")(kl.Conv2D(4, 3, name="conv")(x))
        return kl.Concatenate()([pooled, kl.BatchNormalization(name="norm")(pooled)])

    model = functional(forked)
    same_predictions(model, fold_batchnorm(invert_batchnorm_pooling(model)), IMAGE)


def test_gammas_that_cannot_be():
    model = sequential(
        kl.Conv2D(4, 3, name="c1"),
        kl.MaxPooling2D(),
        kl.BatchNormalization(name="n1"),
        kl.Conv2D(4, 1, name="c2"),
        kl.MaxPooling2D(),
        kl.BatchNormalization(name="n2"),
    )
    model.get_layer("n1").gamma.assign([1, -1, 0, 1])
    model.get_layer("n2").gamma.assign([1, -1, 2, 1])
    assert refusal(invert_batchnorm_pooling, model) == [("TRANSFORM-GAMMA", "n1"), ("TRANSFORM-GAMMA", "n2")]
    with pytest.raises(CompileError, match="2 of 4 gammas are not positive"):
        invert_batchnorm_pooling(model)
    model = sequential(kl.Conv2D(2, 3), kl.BatchNormalization(name="n1"), kl.Dense(2), kl.BatchNormalization(name="n2"))
    model.get_layer("n1").gamma.assign([1, 0])
    model.get_layer("n2").gamma.assign([0, 0])
    assert refusal(fold_batchnorm, model) == [("TRANSFORM-GAMMA", "n1"), ("TRANSFORM-GAMMA", "n2")]


def test_a_normalization_of_rows_is_refused():
    assert refusal(fold_batchnorm, sequential(kl.Conv2D(4, 3), kl.BatchNormalization(axis=1, name="n"))) == [
        ("TRANSFORM-AXIS", "n")
    ]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: QuantizedConv2D(4, 3, MaxQuantizer(4), name="q"),
        lambda: QuantizedConv2D(4, 3, StdWeightQuantizer(), name="q"),
        lambda: QuantizedSeparableConv2D(4, 3, MaxQuantizer(4), MaxPerAxisQuantizer(4), name="q"),
        lambda: QuantizedDepthwiseConv2D(3, MaxPerAxisQuantizer(4), name="q"),
    ],
)
def test_one_scale_for_all_filters_is_refused(layer):
    assert refusal(fold_batchnorm, sequential(layer(), kl.BatchNormalization())) == [("TRANSFORM-QUANTIZER", "q")]


def test_a_scale_at_its_limit_is_refused():
    """Scale factors end at 1000, so a filter that becomes too small would lose bits."""
    model = sequential(QuantizedConv2D(4, 3, MaxPerAxisQuantizer(4), name="q"), kl.BatchNormalization(name="n"))
    model.get_layer("n").gamma.assign([1, 1, 1e-4, 1])
    assert refusal(fold_batchnorm, model) == [("TRANSFORM-QUANTIZER", "q")]


def test_a_filter_of_zeros_is_no_obstacle():
    model = sequential(QuantizedConv2D(4, 3, MaxPerAxisQuantizer(4), name="q"), kl.BatchNormalization())
    kernel = model.get_layer("q").kernel
    kernel.assign(kernel * np.array([1, 0, 1, 1], "float32"))
    same_predictions(model, fold_batchnorm(model), IMAGE, 1e-4)


# ---- sequences ------------------------------------------------------------------------------------------------------


def test_a_chain_becomes_one_sequential():
    def chain(x):
        return kl.Dense(2)(kl.Flatten()(kl.ReLU()(kl.Conv2D(4, 3)(x))))

    model = functional(chain)
    result = sequentialize(model)
    assert isinstance(result, keras.Sequential)
    assert layer_names(result) == layer_names(model)[1:]
    assert result.name == model.name
    same_predictions(model, result, IMAGE)


def with_descendant(x):
    """The concatenation of a layer with its own descendant."""
    first = kl.Conv2D(4, 3, padding="same", name="a")(x)
    second = kl.ReLU(name="r")(kl.Conv2D(4, 3, padding="same", name="b")(first))
    return kl.Conv2D(3, 1, name="c")(kl.Concatenate(name="cat")([first, second]))


def two_branches(x):
    left = kl.Conv2D(4, 3, name="left")(x)
    right = kl.MaxPooling2D(3, strides=1, name="pool")(kl.Conv2D(2, 1, name="right")(x))
    return kl.Concatenate(name="cat")([left, right])


def nested_joins(x):
    inner = kl.Concatenate(name="inner")([x, kl.Conv2D(2, 3, padding="same", name="a")(x)])
    return kl.ReLU(name="r")(kl.Concatenate(name="outer")([inner, kl.Conv2D(2, 1, name="b")(inner)]))


def twice_the_same(x):
    a = kl.Conv2D(2, 3, name="a")(x)
    return kl.Concatenate(name="cat")([a, a])


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (with_descendant, ["a_sequence", "b_sequence", "cat", "c_sequence"]),
        (two_branches, ["left_sequence", "right_sequence", "cat"]),
        (nested_joins, ["a_sequence", "inner", "b_sequence", "outer", "r_sequence"]),
        (twice_the_same, ["a_sequence", "cat"]),
    ],
)
def test_branches_become_sequences(make, parts):
    model = functional(make)
    before = state(model)
    result = sequentialize(model)
    unchanged(model, before)
    assert sorted(layer_names(result)[1:]) == sorted(parts)
    for layer in result.layers[1:]:
        assert isinstance(layer, keras.Sequential | kl.Concatenate)
    same_predictions(model, result, IMAGE)
    again = sequentialize(result)
    assert layer_names(again) == layer_names(result)
    same_predictions(model, again, IMAGE)


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6)
"""Is it a concatenation, and of which of the values so far?"""


def any_graph(steps):
    """A model of convolutions and concatenations."""
    values = [keras.Input(IMAGE)]
    for number, (joins, first, second) in enumerate(steps):
        a, b = values[first % len(values)], values[second % len(values)]
        if joins:
            values.append(kl.Concatenate(name=f"cat{number}")([a, b]))
        else:
            values.append(kl.Conv2D(2, 3, padding="same", name=f"conv{number}")(a))
    return randomize(keras.Model(values[0], values[-1]))


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_any_graph_of_concatenations_becomes_sequences(steps):
    model = any_graph(steps)
    result = sequentialize(model)
    same_predictions(model, result, IMAGE)
    for layer in result.layers if not isinstance(result, keras.Sequential) else ():
        assert isinstance(layer, keras.Sequential | kl.Concatenate | kl.InputLayer)


def test_models_within_models_are_one_chain():
    body = keras.Sequential([keras.Input(IMAGE), kl.Conv2D(4, 3, name="c"), kl.ReLU()], name="body")
    model = randomize(keras.Sequential([keras.Input(IMAGE), body, kl.Conv2D(2, 3, name="c")]))
    result = sequentialize(model)
    assert [type(layer).__name__ for layer in result.layers] == ["Conv2D", "ReLU", "Conv2D"]
    assert len(set(layer_names(result))) == 3
    same_predictions(model, result, IMAGE)


def test_all_that_is_in_the_way_of_sequences_is_named():
    image = keras.Input(IMAGE, name="image")
    a = kl.Conv2D(4, 3, dilation_rate=2, name="a")(image)
    b = kl.Conv2D(4, 5, name="b")(image)
    model = keras.Model(image, kl.Concatenate(axis=1, name="cat")([kl.Add(name="sum")([a, b]), a]))
    assert refusal(sequentialize, model) == [
        ("TRANSFORM-DILATION", "a"),
        ("TRANSFORM-JOIN", "sum"),
        ("TRANSFORM-JOIN", "cat"),
    ]


def test_ends_and_ranks():
    sound, light = keras.Input((5, 4), name="sound"), keras.Input((5, 4), name="light")
    both = kl.Concatenate()([sound, light])
    model = keras.Model([sound, light], [both, kl.Dense(2)(both)], name="m")
    assert refusal(sequentialize, model) == [
        ("TRANSFORM-ENDS", "m"),
        ("TRANSFORM-ENDS", "m"),
        ("TRANSFORM-RANK", "sound"),
        ("TRANSFORM-RANK", "light"),
    ]


def test_models_that_cannot_be_read():
    assert refusal(sequentialize, "model.h5") == [("TRANSFORM-MODEL", "")]
    assert refusal(sequentialize, keras.Sequential([kl.Dense(2)], name="unbuilt")) == [("TRANSFORM-INPUT", "unbuilt")]

    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    assert refusal(sequentialize, Own(name="own")) == [("TRANSFORM-MODEL", "own")]
    shared = kl.Conv2D(3, 3, padding="same", name="shared")
    assert refusal(sequentialize, functional(lambda x: shared(shared(x)))) == [("TRANSFORM-CALL", "shared")]


def test_a_layer_that_another_model_uses_too_is_not_shared():
    model = sequential(kl.Conv2D(4, 3, name="c"), kl.ReLU())
    keras.Sequential([keras.Input(IMAGE), *model.layers])
    same_predictions(model, sequentialize(model), IMAGE)


def test_very_deep_models():
    model = functional(lambda x: [x := kl.ReLU()(x) for _ in range(600)][-1])
    assert len(read_graph(model).nodes) == 601


def test_a_sequential_that_was_built_by_its_first_batch():
    model = keras.Sequential([kl.Conv2D(4, 3), kl.BatchNormalization()])
    model(np.zeros((1, *IMAGE), "float32"))
    same_predictions(randomize(model), fold_batchnorm(model), IMAGE)


def test_layers_of_a_user_are_copied_if_they_can_be():
    class Shift(kl.Layer):
        def __init__(self, amount, **settings):
            super().__init__(**settings)
            self.amount = amount

        def call(self, inputs):
            return inputs + self.amount

    class Applied(kl.Layer):
        def __init__(self, function, **settings):
            super().__init__(**settings)
            self.function = function

        def call(self, inputs):
            return self.function(inputs)

    def doubled(x):
        return x * 2

    class Positive(keras.constraints.Constraint):
        def __call__(self, w):
            return keras.ops.maximum(w, 0.0)

    model = sequential(
        kl.Conv2D(4, 3, kernel_constraint=Positive()),
        kl.BatchNormalization(),
        kl.Conv2D(2, 1, activation=doubled),
        kl.BatchNormalization(name="n"),
        Shift(2.0, name="s"),
    )
    folded = fold_batchnorm(model)
    assert layer_names(folded)[-2:] == ["n", "s"]
    same_predictions(model, folded, IMAGE)
    assert refusal(fold_batchnorm, sequential(Applied(lambda x: x * 2, name="sign"))) == [("TRANSFORM-COPY", "sign")]


def test_frozen_layers_and_those_with_constants_of_their_own():
    norm = kl.Normalization(name="data")
    norm.adapt(np.random.default_rng(0).normal(3, 7, (5, *IMAGE)).astype("float32"))
    model = keras.Sequential([keras.Input(IMAGE), norm, kl.Conv2D(4, 3, name="c"), kl.BatchNormalization(name="n")])
    for layer in model.layers[1:]:
        randomize(keras.Sequential([layer]))
        layer.trainable = False
    folded = fold_batchnorm(model)
    assert layer_names(folded) == ["data", "c"]
    assert not folded.get_layer("c").trainable
    same_predictions(model, folded, IMAGE)


# ---- order ----------------------------------------------------------------------------------------------------------


def test_prepare_to_convert_orders_the_layers():
    model = sequential(
        QuantizedConv2D(4, 3, MaxPerAxisQuantizer(8), name="c"),
        kl.Dropout(0.5),
        kl.BatchNormalization(),
        QuantizedReLU(4, 6.0, name="a"),
        kl.MaxPooling2D(name="p"),
        QuantizedSeparableConv2D(4, 2, MaxPerAxisQuantizer(4), name="s"),
        kl.GlobalAveragePooling2D(name="g"),
        kl.BatchNormalization(),
        kl.ReLU(name="r"),
        QuantizedDense(3, MaxPerAxisQuantizer(4), name="d"),
    )
    before = state(model)
    prepared = prepare_to_convert(model)
    unchanged(model, before)
    assert layer_names(prepared) == ["c", "p", "a", "s", "g", "r", "d"]
    assert isinstance(prepared, keras.Sequential)
    same_predictions(model, prepared, IMAGE, 1e-4)


def test_syncretize_keeps_branches_and_prepare_refuses_them():
    def forked(x):
        a = kl.MaxPooling2D(name="p")(kl.ReLU(name="r")(kl.BatchNormalization()(kl.Conv2D(4, 3, name="a")(x))))
        return kl.Concatenate(name="cat")([a, kl.ReLU(6.0, name="r2")(kl.Conv2D(2, 1, name="b")(a))])

    model = functional(forked)
    result = syncretize(sequentialize(model))
    assert sorted(layer_names(result)[1:]) == ["a_sequence", "b_sequence", "cat"]
    assert layer_names(result.get_layer("a_sequence")) == ["a", "p", "r"]
    same_predictions(model, result, IMAGE)
    assert refusal(prepare_to_convert, model) == [("TRANSFORM-BRANCH", "cat")]


# ---- size -----------------------------------------------------------------------------------------------------------


def small_net(*tail):
    return sequential(kl.Conv2D(4, 3, name="c"), kl.ReLU(), *tail)


@pytest.mark.parametrize("change", [lambda model: model, as_functional])
def test_reshape(change):
    model = change(small_net(kl.GlobalAveragePooling2D(), kl.Dense(2)))
    before = state(model)
    other = reshape(model, 12, 16)
    unchanged(model, before)
    assert other.input_shape == (None, 12, 16, 3)
    assert type(other) is type(model)
    same_predictions(model, reshape(other, 8, 8), IMAGE)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_reshape_that_cannot_be():
    flat = small_net(kl.Flatten(), kl.Dense(2, name="d"), kl.Dense(2, name="e"))
    assert refusal(reshape, flat, 12, 16) == [("TRANSFORM-WEIGHTS", "d")]
    assert refusal(reshape, as_functional(flat), 12, 16) == [("TRANSFORM-WEIGHTS", "d")]
    assert refusal(reshape, flat, 2, 16) == [("TRANSFORM-SHAPE", "c")]
    assert refusal(reshape, as_functional(flat), 2, 16) == [("TRANSFORM-SHAPE", "c")]
    assert [code for code, _ in refusal(reshape, flat, 0, -1)] == ["TRANSFORM-SIZE", "TRANSFORM-SIZE"]
    assert refusal(reshape, sequential(kl.Dense(2), shape=(5,)), 12, 16)[0][0] == "TRANSFORM-IMAGE"
    folded = small_net(kl.Reshape((6 * 6 * 4,), name="fold"))
    assert refusal(reshape, folded, 12, 16) == [("TRANSFORM-SHAPE", "fold")]


# ---- separable layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multiplier", [1, 2])
def test_normalized_separable_layers_compute_the_same(multiplier):
    model = sequential(
        kl.SeparableConv2D(5, 3, depth_multiplier=multiplier, name="s"), kl.ReLU(), kl.SeparableConv2D(4, 3, name="t")
    )
    before = state(model)
    other = normalize_separable_model(model)
    unchanged(model, before)
    for layer in ("s", "t"):
        largest = np.abs(other.get_layer(layer).depthwise_kernel.numpy()).max(axis=(0, 1))
        np.testing.assert_allclose(largest, 1, rtol=1e-6)
    same_predictions(model, other, IMAGE)
    expected = predict(model, np.ones((1, *IMAGE), "float32"))
    assert normalize_separable_layer(model.get_layer("s")) is None
    np.testing.assert_allclose(predict(model, np.ones((1, *IMAGE), "float32")), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(model.get_layer("s").get_weights()[0], other.get_layer("s").get_weights()[0])


def test_a_depthwise_filter_of_zeros_stays():
    model = sequential(QuantizedSeparableConv2D(5, 3, MaxPerAxisQuantizer(8), MaxPerAxisQuantizer(8), name="s"))
    depthwise, *others = model.get_layer("s").get_weights()
    depthwise[:, :, 1] = 0
    model.get_layer("s").set_weights([depthwise, *others])
    other = normalize_separable_model(model)
    assert all(np.isfinite(weight).all() for weight in other.get_weights())
    assert not other.get_layer("s").get_weights()[0][:, :, 1].any()


def test_only_separable_layers_are_normalized():
    assert refusal(normalize_separable_layer, sequential(kl.Conv2D(2, 3, name="c")).layers[0]) == [
        ("TRANSFORM-SEPARABLE", "c")
    ]
    assert refusal(normalize_separable_layer, kl.SeparableConv2D(2, 3, name="s")) == [("TRANSFORM-SEPARABLE", "s")]


def test_weights_homogeneity():
    model = sequential(
        kl.Conv2D(2, 1, name="c"), kl.SeparableConv2D(2, 1, name="s"), kl.Flatten(), kl.Dense(4, name="d")
    )
    model.get_layer("c").set_weights([np.array([[[[1, -4], [0, 2], [0, 0]]]]), np.ones(2)])
    model.get_layer("s").set_weights([np.array([[[[4.0], [-1.0]]]]), np.array([[[[1, 1], [1, 1]]]]), np.ones(2)])
    model.get_layer("d").set_weights([np.zeros((128, 4)), np.ones(4)])
    assert weights_homogeneity(model) == {"c": (0.25 + 1) / 2, "s": (1 + 0.25) / 2, "d": 1.0}


# ---- the graph ------------------------------------------------------------------------------------------------------


def test_calls_are_copied_with_all_their_arguments():
    def strange(x):
        twice = kl.Conv2D(2, 3, name="a")(x) * 2.0
        return kl.Add()([twice, kl.Conv2D(2, 3, name="b")(x)])

    model = functional(strange)
    same_predictions(model, build_model(read_graph(model)), IMAGE)
