"""Passes on float networks: results stay, to what reals allow, and the normal form is reached."""

import numpy as np
import pytest
from generators.float_networks import float_networks, residual
from generators.recorded import FIXTURES
from hypothesis import HealthCheck, given, settings

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends import load_float_model
from cnn2snn_ir.passes.instruments import CheckChanged, ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.reference import run
from cnn2snn_ir.text import print_module

few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
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
