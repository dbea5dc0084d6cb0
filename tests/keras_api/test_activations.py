"""Quantized activations against their formula in numpy, their gradients, and the constraint."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnn2snn_ir.min_value_constraint import MinValueConstraint
from cnn2snn_ir.quantization_layers import ActivationDiscreteRelu, QuantizedActivation, QuantizedReLU

INPUTS = arrays(np.float32, st.integers(1, 30), elements=st.floats(-20, 300, width=32))


def stepped(x, step, levels):
    """The activation by its formula, in float32."""
    step = np.float32(step)
    return step * np.clip(np.ceil((x - step / 2) / step), 0, levels)


@settings(max_examples=80, deadline=None)
@given(x=INPUTS, bitwidth=st.integers(1, 8), max_value=st.none() | st.floats(0.01, 100))
def test_relu(x, bitwidth, max_value):
    layer = QuantizedReLU(bitwidth, max_value)
    levels = 2**bitwidth - 1
    assert layer.levels == levels
    assert layer.step == (levels if max_value is None else max_value) / levels
    assert layer.threshold == layer.step / 2
    assert np.array_equal(layer(x), stepped(x, layer.step, levels))


@settings(max_examples=40, deadline=None)
@given(x=INPUTS, bitwidth=st.integers(1, 8))
def test_discrete_relu(x, bitwidth):
    layer = ActivationDiscreteRelu(bitwidth)
    assert np.array_equal(layer(x), stepped(x, layer.step, layer.levels))


def test_steps_of_discrete_relu():
    steps = [ActivationDiscreteRelu(bits).step for bits in (1, 2, 3, 4, 8)]
    assert steps == pytest.approx([1, 1, 6 / 7, 0.4, 6 / 255])


def test_ties_take_the_lower_value():
    """The comparison is strict: a potential that equals a threshold has not passed it."""
    assert QuantizedReLU(2)(np.array([0.5, 1.5, 2.5, 3.5], np.float32)).numpy().tolist() == [0, 1, 2, 3]


def test_max_value_moves_the_step():
    layer = QuantizedReLU(4, 6.0)
    layer.max_value = 3.0
    assert layer.step == 0.2


def test_gradient_is_that_of_a_bounded_relu():
    layer = QuantizedReLU(2, 6.0)
    x = tf.Variable([-1.0, 0.0, 0.9, 1.1, 3.0, 5.0, 6.9, 7.1, 20.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    count = np.ceil((x.numpy() - 1) / 2)
    assert np.array_equal(tape.gradient(y, x), ((count >= 0) & (count <= 3)).astype(np.float32))


@pytest.mark.parametrize("layer", [QuantizedReLU(3, 4.5), QuantizedReLU(2), ActivationDiscreteRelu(4)])
def test_round_trip(layer):
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.bitwidth, copy.step) == (layer.bitwidth, layer.step)


@pytest.mark.parametrize("kind", [QuantizedReLU, ActivationDiscreteRelu])
@pytest.mark.parametrize("bitwidth", [0, -1, 1.5, None])
def test_bitwidth_is_refused(kind, bitwidth):
    with pytest.raises(ValueError, match="QUANT-BITS"):
        kind(bitwidth)


@pytest.mark.parametrize("max_value", [0, -1])
def test_max_value_is_refused(max_value):
    with pytest.raises(ValueError, match="QUANT-ARGUMENT"):
        QuantizedReLU(4, max_value)


def test_base_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        QuantizedActivation(2)


def test_activation_of_the_user():
    class Quarters(QuantizedActivation):
        @property
        def step(self):
            return 0.25

    assert Quarters(2)(np.array([0.1, 0.2, 0.5, 9], np.float32)).numpy().tolist() == [0, 0.25, 0.5, 0.75]


def test_min_value_constraint():
    constraint = MinValueConstraint(0.5)
    assert constraint(tf.constant([-1.0, 0.5, 2.0])).numpy().tolist() == [0.5, 0.5, 2.0]
    assert MinValueConstraint.from_config(constraint.get_config()).min_value == 0.5
    assert MinValueConstraint().min_value == 1e-2
