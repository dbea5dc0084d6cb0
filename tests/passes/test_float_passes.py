"""Passes on float networks: results stay, to what reals allow, and the normal form is reached."""

import numpy as np
import pytest
from generators.float_networks import float_networks, residual
from generators.recorded import FIXTURES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import Severity
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends import load_float_model
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.calibrate import Method, batches
from cnn2snn_ir.passes.equalize import LARGEST_GAIN, is_quantized
from cnn2snn_ir.passes.instruments import CheckChanged, ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.quantization import clipping
from cnn2snn_ir.passes.quantization.channels import channels_of
from cnn2snn_ir.passes.quantization.observed import observed
from cnn2snn_ir.passes.quantization.weight_ranges import WeightRanges
from cnn2snn_ir.reference import run, run_all
from cnn2snn_ir.text import print_module

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=200)

GONE = (nn.BatchNorm, nn.Rescaling, nn.Dropout)
"""What no network in normal form has, whatever else it has."""


def apply(pipeline, module, context=None):
    checks = [ValidateEach(1), CheckChanged(), VerifyRoundTrip(), VerifyEach()]
    return PassManager(parse_pipeline(pipeline), checks).run(module, context)


def samples(module, count=3, seed=0):
    rng = np.random.default_rng(seed)
    (source,) = module.inputs
    if source.element.is_float:
        return rng.standard_normal((count, *source.shape)).astype(np.float32)
    return rng.integers(0, 256, (count, *source.shape))


def outputs(module, x):
    return run(module, x)[0]


def same(found, expected):
    return np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-6)


# ---- normal form ----------------------------------------------------------------------------------------------------


def preparing_keeps_the_results(module):
    x = samples(module)
    before = outputs(module, x)
    apply("prepare-nn", module)
    assert same(outputs(module, x), before)
    left = [op for op in module.body if isinstance(op, GONE) and op.operands[0].type.rank == 4]
    assert not left
    text = print_module(module)
    apply("prepare-nn", module)
    assert print_module(module) == text


test_preparing = few(given(float_networks())(preparing_keeps_the_results))
test_preparing_many = pytest.mark.slow(many(given(float_networks())(preparing_keeps_the_results)))


@pytest.mark.parametrize("name", ["residual", "normalizations", "line", "convolutions", "pooling", "shapes"])
def test_preparing_what_keras_saved(name):
    module = load_float_model(FIXTURES / "float_layers" / f"{name}.keras")
    x = np.load(FIXTURES / "float_layers" / f"{name}.npz")["x"]
    before = outputs(module, x)
    apply("prepare-nn", module)
    assert same(outputs(module, x), before)


def test_a_residual_net_needs_nothing_but_its_layers():
    module = residual()
    apply("prepare-nn", module)
    found = {type(op) for op in module.body}
    assert not found & {*GONE, nn.Affine, nn.Pad, nn.AveragePool}
    assert sum(isinstance(op, nn.DepthwiseConv2D) for op in module.body) == 1


# ---- calibration ----------------------------------------------------------------------------------------------------


def calibrated(pipeline, module, x):
    apply(pipeline, module, PassContext(samples=x))
    return {op.results[0].name: observed(op.results[0]) for op in module.body if op.results and op.results[0].name}


def test_ranges_are_those_of_every_channel():
    module = residual()
    x = samples(module, 7)
    found = calibrated("calibrate", module, x)
    for name, values in run_all(module, x).items():
        axes = tuple(range(values.ndim - 1))
        low, high = found[name]
        assert np.array_equal(low, values.min(axis=axes).astype(np.float32)), name
        assert np.array_equal(high, values.max(axis=axes).astype(np.float32)), name
    assert len(found) > 20


def test_batches_hold_what_memory_does(monkeypatch):
    module = residual()
    x = samples(module, 100)
    assert [len(b) for b in batches(module, x)] == [64, 36]
    whole = calibrated("calibrate", module, x)
    monkeypatch.setattr("cnn2snn_ir.passes.calibrate.MOST_ELEMENTS", 100_000)
    assert 1 < len(next(batches(module, x))) < 64
    parts = calibrated("calibrate", residual(), x)
    assert all(np.array_equal(parts[name], ranges) for name, ranges in whole.items())
    monkeypatch.setattr("cnn2snn_ir.passes.calibrate.MOST_ELEMENTS", 1)
    assert [len(b) for b in batches(module, x)] == [1] * 100


def test_calibrating_again_changes_nothing():
    module, x = residual(), None
    x = samples(module)
    assert apply("calibrate", module, PassContext(samples=x)) is True
    assert apply("calibrate", module, PassContext(samples=x)) is False


def test_without_samples_there_is_a_warning():
    context = PassContext()
    apply("calibrate", residual(), context)
    (found,) = context.diagnostics
    assert (found.code, found.severity) == ("CALIBRATE-RANDOM", Severity.WARNING)


@pytest.mark.parametrize("method", list(Method))
def test_every_range_lies_within_the_one_that_was_seen(method):
    module = residual()
    x = samples(module, 20)
    whole = calibrated("calibrate", module, x)
    for name, (low, high) in calibrated(f"calibrate{{method={method} percentile=95 bits=3}}", residual(), x).items():
        kept = low.min(), high.max()
        assert np.array_equal(low, np.clip(whole[name][0], *kept)), name
        assert np.array_equal(high, np.clip(whole[name][1], *kept)), name


NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60)


@given(NUMBERS, st.floats(50, 100))
def test_a_percentile_leaves_out_no_more_than_it_says(numbers, percent):
    values = np.array(numbers)
    histogram = clipping.Histogram.between(values.min(), values.max())
    histogram.add(values)
    low, high = clipping.percentile(histogram, percent)
    most = len(values) * (1 - percent / 100) + 1e-6
    width = 1e-9 + (values.max() - values.min()) / clipping.BINS
    assert (values < low - width).sum() <= most
    assert (values > high + width).sum() <= most
    assert values.min() - width <= low <= high <= values.max() + width


def error(values, low, high, bits, signed):
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    step = max(high / most if most else 0, low / least if least else 0)
    return ((np.clip(np.rint(values / step), least, most) * step - values) ** 2).sum() if step else (values**2).sum()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("spread", ["normal", "laplace", "exponential"])
def test_the_least_error_is_no_larger_than_that_of_the_whole_range(spread, bits):
    rng = np.random.default_rng(bits)
    values = getattr(rng, spread)(size=5000)
    histogram = clipping.Histogram.between(values.min(), values.max())
    histogram.add(values)
    signed = values.min() < 0
    found = error(values, *clipping.least_error(histogram, bits), bits, signed)
    assert found <= 1.01 * error(values, values.min(), values.max(), bits, signed)
    for part in (0.25, 0.5, 0.75):
        assert found <= 1.05 * error(values, part * values.min(), part * values.max(), bits, signed)
    if bits == 2:
        assert found < 0.9 * error(values, values.min(), values.max(), bits, signed)


# ---- equalization ---------------------------------------------------------------------------------------------------

WAYS = ("equalize", "equalize{power-of-two}", "calibrate, equalize{by=activations}")


def equalizing_keeps_the_results(module, way):
    apply("prepare-nn", module)
    x = samples(module)
    before = run_all(module, x)
    (expected,) = run(module, x)
    apply(way, module, PassContext(samples=x))
    found = outputs(module, x)
    assert same(found, expected)
    if "power" in way:
        assert np.array_equal(found, expected)
    for name, values in run_all(module, x).items():
        (op,) = (op for op in module.body if op.results and op.results[0].name == name)
        rate = op.annotations["rate"].array if "rate" in op.annotations else 1.0
        assert same(values / rate, before[name]), name


test_equalizing = few(given(float_networks(), st.sampled_from(WAYS))(equalizing_keeps_the_results))
test_equalizing_many = pytest.mark.slow(
    many(given(float_networks(), st.sampled_from(WAYS))(equalizing_keeps_the_results))
)


def test_weights_are_alike_on_both_sides():
    module = residual()
    apply("prepare-nn", module)
    assert WeightRanges(channels_of(module)).sweep() > 0.5
    apply("equalize", module)
    assert WeightRanges(channels_of(module)).sweep() < 0.02


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_channels_get_the_range_of_the_largest(strength):
    """By the whole of the difference, or by its square root; noise no more than the largest gain allows."""
    module = residual(5)
    apply("prepare-nn", module)
    x = samples(module, 50)
    apply("calibrate", module, PassContext(samples=x))
    channels = channels_of(module)
    before = sizes_of(channels)
    apply(f"equalize{{by=activations strength={strength}}}, calibrate", module, PassContext(samples=x))
    after = sizes_of(channels)
    for family in np.unique(channels.family[~channels.fixed]):
        alive = (channels.family == family) & (before > 0)
        largest = before[alive].max()
        gain = np.minimum(largest / before[alive], LARGEST_GAIN) ** strength
        assert np.allclose(after[alive], before[alive] * gain, rtol=1e-5)
        assert (gain > 1.2).any()
    assert (before[~channels.fixed] > 0).sum() > 20


def sizes_of(channels):
    """The largest number that was observed in each channel, of values that would be quantized."""
    sizes = np.zeros(channels.count)
    for value, ids in channels.ids.items():
        if is_quantized(value):
            np.maximum.at(sizes, ids, np.abs(observed(value)).max(axis=0))
    return sizes


def test_a_bound_stops_equalization():
    module = residual(bound=6.0)
    apply("prepare-nn", module)
    channels = channels_of(module)
    bounded = [op for op in module.body if isinstance(op, nn.ReLU) and op.max_value is not None]
    assert bounded
    assert all(channels.fixed[channels.ids[op.result]].all() for op in bounded)
