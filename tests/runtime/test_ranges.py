from __future__ import annotations

import numpy as np
import pytest
from generators.networks import networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir import reference
from cnn2snn_ir.analysis import interval
from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.layer_ranges import layer_ranges
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline

some = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def every_value_lies_inside(module, x):
    """Also those in nested blocks; and no range is wider than its type."""
    ranges = value_ranges(module)

    def observe(op, array):
        value = op.results[0]
        if value.type.element.is_float:
            assert value not in ranges
        else:
            assert ranges[value].contains(array), value
            assert ranges[value].within(value.type.element), value

    memory = {}
    for step in [x, x[::-1]] if module.states else [x]:
        reference.run(module, step, observe, memory)


@some
@given(data=st.data())
def test_akida2_values_lie_in_their_ranges(modules, inputs, data):
    module = data.draw(modules)
    every_value_lies_inside(module, inputs(module, 8))


@some
@given(module=networks(), fused=st.booleans())
def test_qnn_values_lie_in_their_ranges(inputs, module, fused):
    if fused:
        PassManager(parse_pipeline("materialize-alignment, fuse-blocks")).run(module)
    every_value_lies_inside(module, inputs(module, 8))


def dense(weights, **variables):
    """A dense layer on signed bytes."""
    weights = np.asarray(weights)
    graph = Graph()
    x = graph.append(builtin.Input(weights.shape[:1], si(8), name="input")).result
    layer = akida2.Dense1D(x, Tensor.of(weights, si(8)), name="dense", **variables)
    graph.append(layer)
    graph.append(builtin.Return((layer.result,)))
    return builtin.Module("dense", graph), layer


def test_a_dense_layer_reaches_both_ends_of_its_range():
    weights = np.random.default_rng(0).integers(-128, 128, (30, 7))
    module, layer = dense(weights)
    found = value_ranges(module)[layer.result]
    for bound, toward, away in ((found.lo, -128, 127), (found.hi, 127, -128)):
        worst = np.where(weights > 0, toward, away).T.astype(np.int8)
        assert np.diagonal(reference.run(module, worst)[0].reshape(7, 7)).tolist() == bound.tolist()


def test_the_stages_of_a_layer():
    _, layer = dense(
        [[100], [-100]],
        input_shift=Tensor.of([0, 1], ui(4)),
        bias=Tensor.of([3], si(8)),
        bias_shift=Tensor.of(4, ui(8)),
        activation=Activation.RELU,
        max_value=Tensor.of([125], ui(8)),
        max_value_shift=Tensor.of(7, ui(8)),
        output_scales=Tensor.of([255], ui(8)),
        output_shift=Tensor.of(-15, si(8)),
        to=si(8),
    )
    found = layer_ranges(layer, Range.full(si(8)))
    dot = [-128 * 100 - 254 * 100, 127 * 100 + 256 * 100]
    stages = (found.dot, found.biased, found.activated, found.product, found.output)
    assert [[stage.least, stage.greatest] for stage in stages] == [
        dot,
        [dot[0] + 48, dot[1] + 48],
        [0, 125 << 7],
        [0, 255 * 125 << 7],
        [0, 125],
    ]
    assert found.partial == 100 * 128 + 100 * 256
    assert found.aligned.lo.tolist() == [-128, -256]


@pytest.mark.parametrize(("lo", "hi", "bits"), [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-128, 127, 8), (-129, 0, 9)])
def test_bits_of_a_range(lo, hi, bits):
    assert Range.of(lo, hi).bits == bits


def test_bounds_never_overflow():
    huge = Range.of(-(2**62), 2**62).times(interval.integers(2**40)).shift_left(interval.integers(30))
    assert huge.greatest == 2**132
    weights = np.full((3, 2, 2), 2**62, np.int64)
    assert interval.dot(Range.of(0, 2**62), weights).greatest == 6 * 2**124


@given(x=st.integers(-(2**70), 2**70), shift=st.integers(-40, 40))
def test_shift_round_rounds_half_up(x, shift):
    from fractions import Fraction
    from math import floor

    found = interval.shift_round(interval.integers(x), interval.integers(shift))
    assert int(found) == floor(Fraction(x) * Fraction(2) ** shift + Fraction(1, 2))
