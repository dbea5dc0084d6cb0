"""Convolutions over time and their FIFOs: every number of frames, every saturation, step by step, no slow step."""

from __future__ import annotations

import numpy as np
import pytest

from cnn2snn_ir import reference
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.numba_layer import LayerStep
from cnn2snn_ir.runtime.numpy_backend import BlasStep
from cnn2snn_ir.runtime.step import ReferenceStep

FAST = {"numpy": BlasStep, "numba": LayerStep}
both = pytest.mark.parametrize("backend", FAST)
LAYERS = (akida2.BufferTempConv, akida2.DepthwiseBufferTempConv)


def stream(graph, x, frames, name="memory"):
    """The FIFO in front of `x`, which goes into it."""
    rows, columns, channels = x.type.per_sample
    fifo = graph.append(builtin.State(name, (rows, columns, frames, channels), x.type.element, name=name)).result
    pushed = graph.append(akida2.FifoPush(fifo, x, name=f"{name}/pushed")).result
    graph.append(builtin.Store(pushed, name))
    return fifo


def over_time(layer, rng, x, fifo, filters=5, weights=None, **variables):
    """A convolution over time with random bytes for weights, and outputs of 8 bits unless told otherwise."""
    frames, channels = fifo.type.per_sample[2] + 1, x.type.channels
    depthwise = layer is akida2.DepthwiseBufferTempConv
    shape = (frames, channels) if depthwise else (1, 1, frames * channels, filters)
    usual = {"output_scales": Tensor.of(200, ui(8)), "output_shift": Tensor.of(-16, si(8)), "to": si(8)}
    weights = Tensor.of(rng.integers(-128, 128, shape) if weights is None else np.full(shape, weights), si(8))
    return layer(x, fifo, weights, **(usual | variables))


def same_as_the_reference(engine, steps):
    """Every value of every step equals the reference's, and so does what is remembered."""
    ours, theirs = {}, {}
    for x in steps:
        expected = {}
        reference.run(
            engine.module, x, lambda op, array, found=expected: found.update({op.results[0]: array}), memory=theirs
        )
        found = engine.run_values(x, list(expected), memory=ours)
        for (value, wanted), got in zip(expected.items(), found, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=repr(value))
    assert {key: a.tolist() for key, a in ours.items()} == {key: a.tolist() for key, a in theirs.items()}


def finished(graph, *values):
    graph.append(builtin.Return(values))
    return builtin.Module("stream", graph)


def no_slow_step(engine, layers):
    """No reference step; `layers` of the fast ones compute layers."""
    assert not any(isinstance(step, ReferenceStep) for step in engine.steps)
    assert sum(isinstance(step, FAST[engine.backend.name]) for step in engine.steps) == layers


@both
@pytest.mark.parametrize("shape", [(3, 2, 3), (1, 1, 40), (2, 2, 64), (1, 3, 1)], ids=str)
def test_every_number_of_frames(backend, shape):
    rng, graph, values = np.random.default_rng(0), Graph(), []
    x = graph.append(builtin.Input(shape, si(8), name="input")).result
    for frames in range(1, 6):
        fifo = stream(graph, x, frames, f"memory_{frames}")
        for layer in LAYERS:
            filters = 5 if layer is akida2.BufferTempConv else shape[2]
            variables = {
                "input_shift": Tensor.of(rng.integers(0, 3, shape[2]), ui(4)),
                "bias": Tensor.of(rng.integers(-128, 128, filters), si(8)),
                "bias_shift": Tensor.of(rng.integers(0, 7, filters), ui(4)),
                "output_scales": Tensor.of(rng.integers(1, 256, filters), ui(8)),
                "output_shift": Tensor.of(rng.integers(-18, -12, filters), si(8)),
                "acc": si(18),  # saturates now and then
            }
            values.append(graph.append(over_time(layer, rng, x, fifo, name=f"{layer.__name__}_{frames}", **variables)))
    engine = Engine(finished(graph, *(op.result for op in values)), backend, threads=2)
    no_slow_step(engine, 10)
    same_as_the_reference(engine, rng.integers(-128, 128, (8, 70, *shape)).astype(np.int8))


EXTREMES = {
    "accumulator saturates": {"acc": si(12)},
    "accumulator passes on": {"to": None, "output_scales": None, "output_shift": None},
    "product saturates": {"post_op": si(20)},
    "scaled up": {"output_shift": Tensor.of(3, si(8))},
    "more than 16 bits": {"output_shift": Tensor.of(-2, si(8)), "to": si(24)},
    "more than 32 bits": {"output_shift": Tensor.of(9, si(8)), "to": si(40), "post_op": si(40)},
    "bounded": {
        "activation": akida2.Activation.RELU,
        "max_value": Tensor.of(100, ui(8)),
        "max_value_shift": Tensor.of(6, ui(8)),
        "to": ui(4),
    },
    "by table": {
        "activation": akida2.Activation.LUT,
        "lut_values": Tensor.of(np.arange(-512, 512)[::-1] * 9, si(16)),
        "activation_shift": Tensor.of(-7, si(8)),
    },
    "input shift saturates": {"input_shift": Tensor.of(6, ui(4)), "acc": si(12)},
}


@both
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("variables", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("weights", [-128, 127, None])
def test_extremes(backend, layer, variables, weights):
    rng, graph = np.random.default_rng(0), Graph()
    x = graph.append(builtin.Input((2, 3, 7), si(8), name="input")).result
    op = over_time(layer, rng, x, stream(graph, x, 4), weights=weights, name="layer", **variables)
    value = graph.append(op).result
    engine = Engine(finished(graph, value), backend)
    steps = rng.choice(np.array([-128, -128, 0, 127, 127], np.int8), (7, 9, 2, 3, 7))
    steps[:, 0], steps[:, 1] = -128, 127
    same_as_the_reference(engine, steps)
    assert any(isinstance(step, ReferenceStep) for step in engine.steps) is ("input_shift" in variables)


@both
@pytest.mark.parametrize("bits", [9, 16, 17, 24, 33, 50])
def test_frames_of_any_width(backend, bits):
    """The newest frame is known to be narrow, but the FIFO may hold what its type does."""
    rng, graph = np.random.default_rng(0), Graph()
    source = graph.append(builtin.Input((2, 2, 3), si(8), name="input")).result
    weights = Tensor.of(rng.integers(-1, 2, (1, 1, 3, 4)), si(8))
    one = {"output_shift": Tensor.of(0, si(8)), "post_op": si(bits)}
    x = graph.append(akida2.Conv2D(source, weights, to=si(bits), **one, name="x")).result
    fifo = stream(graph, x, 3)
    values = [
        graph.append(over_time(layer, rng, x, fifo, acc=si(60), post_op=si(62), name=layer.__name__)).result
        for layer in LAYERS
    ]
    engine = Engine(finished(graph, *values), backend)
    memory = {"memory": rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (3, 2, 2, 3, 4))}
    memory["memory"][0], memory["memory"][1] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    samples, theirs = rng.integers(-128, 128, (3, 2, 2, 3)).astype(np.int8), dict(memory)
    for _ in range(5):
        expected = reference.run(engine.module, samples, memory=theirs)
        for found, wanted in zip(engine.run_values(samples, values, memory=memory), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(memory["memory"], theirs["memory"])
    if bits <= 24:
        no_slow_step(engine, 3 if bits <= 16 or backend == "numpy" else 1)


@both
def test_the_newest_frame_may_have_a_border(backend):
    """Another layer reads it with a border; the window and the FIFO hold none."""
    rng, graph = np.random.default_rng(0), Graph()
    x = graph.append(builtin.Input((4, 3, 8), si(8), name="input")).result
    fifo = stream(graph, x, 2)
    weights = Tensor.of(rng.integers(-128, 128, (3, 3, 8, 8)), si(8))
    beside = graph.append(akida2.Conv2D(x, weights, name="beside")).result
    layers = [over_time(layer, rng, x, fifo, filters=8, name=layer.__name__) for layer in LAYERS]
    values = [graph.append(layer).result for layer in layers]
    after = graph.append(akida2.Conv2D(values[0], weights, name="after")).result
    engine = Engine(finished(graph, beside, after, *values), backend)
    no_slow_step(engine, 4)
    same_as_the_reference(engine, rng.integers(-128, 128, (5, 6, 4, 3, 8)).astype(np.int8))


def test_a_stream_is_one_call():
    """The window, the convolution and the FIFO, without leaving the kernels."""
    rng, graph = np.random.default_rng(0), Graph()
    x = graph.append(builtin.Input((2, 2, 3), si(8), name="input")).result
    op = over_time(akida2.BufferTempConv, rng, x, stream(graph, x, 3), name="layer")
    value = graph.append(op).result
    assert len(Engine(finished(graph, value), "numba")._take(1, complete=False).calls) == 1
