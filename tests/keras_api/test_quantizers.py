"""Weight quantizers against their formulas in numpy, and the gradients that training gets."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnn2snn_ir import quantization_ops
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.quantization_ops import (
    LinearWeightQuantizer,
    MaxPerAxisQuantizer,
    MaxQuantizer,
    StdPerAxisQuantizer,
    StdWeightQuantizer,
    WeightQuantizer,
)

ALL = [StdWeightQuantizer, StdPerAxisQuantizer, MaxQuantizer, MaxPerAxisQuantizer]

WEIGHTS = arrays(
    np.float32,
    st.tuples(*[st.integers(1, 4)] * 4) | st.tuples(*[st.integers(1, 6)] * 2),
    elements=st.floats(-8, 8, width=32) | st.sampled_from([0.0, 0.5, -0.5, 1e-12]),
)


def scale_of(quantizer, w):
    """The scale factor by its formula, in float64."""
    axes = tuple(range(w.ndim - 1)) if "PerAxis" in type(quantizer).__name__ else None
    wide = w.astype(np.float64)
    kmax = 2 ** (quantizer.bitwidth - 1) - 1
    if isinstance(quantizer, StdWeightQuantizer):
        spread = quantizer.threshold * np.sqrt(np.mean((wide - wide.mean(axis=axes, keepdims=True)) ** 2, axis=axes))
    else:
        spread = np.abs(wide).max(axis=axes)
    return np.minimum(kmax / np.maximum(spread, 1e-10), 1000)


def quantized(quantizer, w, scale):
    """The weights by their formula, in float32, with a given scale factor."""
    kmax = 2 ** (quantizer.bitwidth - 1) - 1
    return np.clip(np.rint(w * scale), -kmax, kmax) / scale


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=60, deadline=None)
@given(w=WEIGHTS, bitwidth=st.integers(2, 8))
def test_formula(kind, w, bitwidth):
    quantizer = kind(bitwidth=bitwidth)
    scale = np.asarray(quantizer.scale_factor(tf.constant(w)))
    assert scale.shape == (w.shape[-1:] if "PerAxis" in kind.__name__ else ())
    expected = scale_of(quantizer, w)
    if issubclass(kind, StdWeightQuantizer):  # float32 leaves some variance to equal weights, at the limit of scales
        spread = (2 ** (bitwidth - 1) - 1) / expected
        allowed = 1e-4 + 1e-5 * np.abs(w).max() / spread
    else:
        allowed = 1e-6
    assert np.all(np.abs(scale - expected) <= allowed * expected + 1e-6)
    found = np.asarray(quantizer.quantize(tf.constant(w)))
    assert np.array_equal(found, quantized(quantizer, w, scale))


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=40, deadline=None)
@given(w=WEIGHTS, bitwidth=st.integers(2, 8))
def test_result_times_scale_is_a_symmetric_integer(kind, w, bitwidth):
    quantizer = kind(bitwidth=bitwidth)
    integers = np.asarray(quantizer.quantize(tf.constant(w)) * quantizer.scale_factor(tf.constant(w)))
    assert np.allclose(integers, np.rint(integers), atol=1e-4)
    assert np.abs(np.rint(integers)).max() <= 2 ** (bitwidth - 1) - 1


def test_defaults():
    assert [kind().bitwidth for kind in ALL] == [4] * 4
    assert StdWeightQuantizer().threshold == StdPerAxisQuantizer().threshold == 3


def test_depthwise_kernels_have_one_filter():
    w = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 8, 1)).astype(np.float32))
    per_axis, whole = MaxPerAxisQuantizer(), MaxQuantizer()
    assert np.array_equal(per_axis.quantize(w), whole.quantize(w))
    assert per_axis.scale_factor(w).shape == (1,)


# ---- gradients ------------------------------------------------------------------------------------------------------


def gradient(function, x):
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(function(x))
    return np.asarray(tape.gradient(y, x))


class Fixed(LinearWeightQuantizer):
    """A quantizer whose scale does not depend on the weights."""

    def spread(self, w):
        return 1.0


def test_gradient_is_one_within_the_range_and_zero_outside():
    w = np.array([-3, -1.2, -0.99, -0.3, 0, 0.4, 0.99, 1.2, 3], np.float32)
    inside = (np.abs(np.rint(w * 7)) <= 7).astype(np.float32)
    assert np.allclose(gradient(Fixed(bitwidth=4).quantize, w), inside)


def test_gradient_flows_through_the_scale_factor():
    """With s = k / max|w|: a weight of round(w s) = n counts n/k towards that of the largest, beside its own 1."""
    w = np.array([0.1, -0.37, 0.8, 2.0], np.float32)
    n = np.rint(w * 7 / 2.0)
    # d/dm of round(w s)/s with gradient 1 through round: w s contributes -w/m, 1/s contributes n/k.
    expected = np.ones(4)
    expected[3] += np.sum(n / 7 - w / 2.0)
    assert np.allclose(gradient(MaxQuantizer(bitwidth=4).quantize, w), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_gradients_of_equal_weights_are_numbers(kind, value):
    assert np.isfinite(gradient(kind().quantize, np.full((3, 3, 2, 4), value, np.float32))).all()


# ---- objects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_round_trip(kind):
    options = {"bitwidth": 3} | ({"threshold": 2.5} if issubclass(kind, StdWeightQuantizer) else {})
    original = kind(**options)
    copy = quantization_ops.get(keras.saving.serialize_keras_object(original))
    assert type(copy) is kind
    assert copy.get_config() == original.get_config()
    assert set(original.get_config()) == {"name", "trainable", "dtype", *options}


def test_get_passes_instances_on():
    quantizer = MaxQuantizer()
    assert quantization_ops.get(quantizer) is quantizer


def test_get_reads_files_of_keras_2():
    serialized = {
        "module": "cnn2snn.quantization_ops",
        "class_name": "StdWeightQuantizer",
        "config": {"name": "q", "trainable": True, "dtype": "float32", "threshold": 2, "bitwidth": 8},
        "registered_name": "StdWeightQuantizer",
    }
    found = quantization_ops.get(serialized)
    assert (type(found), found.threshold, found.bitwidth, found.name) == (StdWeightQuantizer, 2, 8, "q")


def test_get_finds_classes_of_the_user():
    with keras.saving.custom_object_scope({"Fixed": Fixed}):
        assert isinstance(quantization_ops.get(keras.saving.serialize_keras_object(Fixed(bitwidth=2))), Fixed)


@pytest.mark.parametrize(
    "identifier", ["MaxQuantizer", None, 4, {"class_name": "Nobody", "config": {}}, {"config": {}}]
)
def test_get_refuses_what_is_no_quantizer(identifier):
    with pytest.raises(ValueError, match="QUANT-QUANTIZER") as caught:
        quantization_ops.get(identifier)
    assert isinstance(caught.value, CompileError)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("bitwidth", [1, 0, -4, 2.5, "4", None])
def test_bitwidth_is_refused(kind, bitwidth):
    with pytest.raises(ValueError, match="QUANT-BITS"):
        kind(bitwidth=bitwidth)


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_threshold_is_refused(threshold):
    with pytest.raises(ValueError, match="QUANT-ARGUMENT"):
        StdWeightQuantizer(threshold=threshold)


def test_bases_are_abstract():
    for base in (WeightQuantizer, LinearWeightQuantizer):
        with pytest.raises(TypeError, match="abstract"):
            base(bitwidth=4)
