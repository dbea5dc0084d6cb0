"""Akida 1 programs: compiled from random networks they keep every promise, and the engine computes what they say."""

import numpy as np
import pytest
from generators.neurons import flattened, neurons, random_neurons
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.dialects import akida1, builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import F32, Graph, Tensor, si, ui
from cnn2snn_ir.passes.akida1_pipeline import akida1_default
from cnn2snn_ir.passes.instruments import CheckChanged, ValidateEach, VerifyEach, VerifyRoundTrip, WholeTrial
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.trial import Trial
from cnn2snn_ir.reference import run
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.model import Model

BACKENDS = ("numpy", "numba")
PIPELINE = "akida1-default"


def values_of(module, inputs):
    """Every integer or float value of the reference semantics."""
    found = {}
    run(module, inputs, lambda op, array: found.__setitem__(op.results[0], array))
    return found


def check_engine(module, count=3):
    """Every value of the module on both backends, the adversarial samples first."""
    inputs = Trial.of(module, count).inputs
    expected = values_of(module, inputs)
    for backend in BACKENDS:
        engine = Engine(module, backend)
        for value, found in zip(expected, engine.run_values(inputs, list(expected)), strict=True):
            assert np.array_equal(found, expected[value]), f"{backend}: {value.owner}"
    return expected


def check_ranges(module, expected):
    """No value leaves its proven range."""
    for value, proven in value_ranges(module).items():
        if value in expected:
            assert (expected[value] >= proven.lo.astype(np.int64)).all()
            assert (expected[value] <= proven.hi.astype(np.int64)).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_neurons(), st.sampled_from([1, 1, 2, 3]))
def test_random_networks(module, copies):
    trial = WholeTrial(module)
    instruments = [trial, ValidateEach(1), CheckChanged(), VerifyRoundTrip(), VerifyEach()]
    PassManager(akida1_default(copies=copies), instruments).run(module)
    trial.check(module, PIPELINE)
    assert module.annotations["target"] == "v1"
    check_ranges(module, check_engine(module, 1))


@pytest.mark.parametrize("network", [neurons, flattened])
def test_whole_networks(network):
    module = network()
    PassManager(parse_pipeline(PIPELINE), [ValidateEach(3), VerifyEach()]).run(module)
    check_ranges(module, check_engine(module))
    model = Model(module)
    assert [layer.type for layer in model.layers][-2:] == ["FullyConnected", "Dequantizer"]
    model.summary()


def one_layer(op_class, x, **options):
    """A module of one layer."""
    graph = Graph()
    value = graph.append(builtin.Input(x[:-1], x[-1], name="x")).results[0]
    y = graph.append(op_class(value, name="y", **options)).results[0]
    graph.append(builtin.Return((y,)))
    return builtin.Module("m", graph)


RNG = np.random.default_rng(3)
KERNEL = Tensor.of(RNG.integers(-8, 8, (3, 3, 2, 3)), si(4), "k")
DEPTHWISE = Tensor.of(RNG.integers(-8, 8, (3, 3, 2)), si(4), "d")
POINTWISE = Tensor.of(RNG.integers(-8, 8, (1, 1, 2, 3)), si(4), "p")
MATRIX = Tensor.of(RNG.integers(-8, 8, (1, 1, 5 * 4 * 2, 3)), si(4), "m")
IMAGE_KERNEL = Tensor.of(RNG.integers(-128, 128, (3, 3, 3, 3)), si(8), "k")
LEVELS = {
    "threshold": Tensor.of([-30, 0, 41], si(32), "t"),
    "act_step": Tensor.of([3.7, 12.0, 0.001], F32, "s"),
    "to": ui(4),
}
MAP, IMAGE = (5, 4, 2, ui(4)), (6, 5, 3, ui(8))
VARIANTS = [
    {},
    LEVELS,
    {**LEVELS, "to": ui(1)},
    {"threshold": Tensor.of(7, si(32), "t")},
    {**LEVELS, "act_step": Tensor.of(2.0**60, F32, "s")},
    {**LEVELS, "act_step": Tensor.of(2.0**-60, F32, "s")},
]
CONV_VARIANTS = [
    *VARIANTS,
    {**LEVELS, "pool": Pool.MAX, "pool_stride": (1, 1)},
    {**LEVELS, "pool": Pool.MAX, "padding": Padding.VALID, "pool_size": (2, 1), "pool_stride": (2, 1)},
    {**LEVELS, "pool": Pool.AVERAGE},
    {"pool": Pool.AVERAGE, "threshold": Tensor.of([5, -6, 7], si(32), "t")},
    {**LEVELS, "stride": 2, "acc": si(9)},
    {"acc": si(7), "threshold": Tensor.of([100, -100, 7], si(32), "t")},
]


@pytest.mark.parametrize("options", CONV_VARIANTS)
@pytest.mark.parametrize("kind", ["input", "full", "separable"])
def test_convolutions(kind, options):
    match kind:
        case "input":
            made = one_layer(akida1.InputConvolutional, IMAGE, weights=IMAGE_KERNEL, padding_value=9, **options)
        case "full":
            made = one_layer(akida1.Convolutional, MAP, weights=KERNEL, **options)
        case _:
            weights = {"weights": DEPTHWISE, "weights_pw": POINTWISE}
            made = one_layer(akida1.SeparableConvolutional, MAP, **weights, **options)
    check_ranges(made, check_engine(made))


@pytest.mark.parametrize("options", VARIANTS)
def test_fully_connected(options):
    module = one_layer(akida1.FullyConnected, MAP, weights=MATRIX, **options)
    check_ranges(module, check_engine(module))


def test_rows_of_a_fully_connected_layer_go_by_channel_row_and_column():
    weights = np.zeros((2, 5, 4, 1), np.int64)  # channel, row, column
    weights[1, 2, 3] = 1
    module = one_layer(akida1.FullyConnected, MAP, weights=Tensor.of(weights.reshape(1, 1, 40, 1), si(2), "w"))
    x = RNG.integers(0, 16, (4, 5, 4, 2))
    (y,) = run(module, x)
    assert y.reshape(-1).tolist() == x[:, 2, 3, 1].tolist()


@pytest.mark.parametrize("to", [ui(4), ui(8), si(8)])
@pytest.mark.parametrize("base", [0, 3])
def test_boundaries_of_any_kind_run(to, base):
    """`qnn.threshold` by itself, in reach of 32 bits and beyond."""
    for element, far in ((si(8), 0), (si(33), 1 << 32)):
        steps = Tensor.of(np.array([[-5, 0, 7 + far], [-far, 1, 1]]), si(40), "t")
        graph = Graph()
        x = graph.append(builtin.Input((2, 2, 2), element, name="x")).results[0]
        y = graph.append(qnn.Threshold(x, steps, to, base=base, name="y")).results[0]
        graph.append(builtin.Return((y,)))
        check_engine(builtin.Module("m", graph))
