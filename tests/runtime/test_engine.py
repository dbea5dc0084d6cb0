from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from generators.networks import networks
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cnn2snn_ir import reference
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import akida2, builtin, qnn
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.runtime import numba_layer
from cnn2snn_ir.runtime.engine import Engine, split
from cnn2snn_ir.runtime.numpy_backend import FLOAT32_EXACT, BlasStep
from cnn2snn_ir.runtime.parallel import blas_lock
from cnn2snn_ir.runtime.step import ReferenceStep

BACKENDS = ["numpy", "numba"]
both = pytest.mark.parametrize("backend", BACKENDS)
some = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def agree(engine: Engine, x: np.ndarray) -> None:
    """Every value of the module equals the reference's, bit for bit; a stream's at a second step, too."""
    ours: dict[str, np.ndarray] = {}
    theirs: dict[str, np.ndarray] = {}
    for step in [x, x[::-1]] if engine.module.states else [x]:
        expected: dict[object, np.ndarray] = {}
        reference.run(engine.module, step, lambda op, array, to=expected: to.update({op.results[0]: array}), theirs)
        found = engine.run_values(step, list(expected), memory=ours)
        for (value, wanted), got in zip(expected.items(), found, strict=True):
            assert got.dtype == value.type.element.dtype
            np.testing.assert_array_equal(got, wanted, err_msg=repr(value))


@both
@some
@given(data=st.data())
def test_equals_reference(backend, modules, inputs, data):
    module = data.draw(modules)
    samples, threads = data.draw(st.sampled_from([1, 3, 7])), data.draw(st.sampled_from([1, 2]))
    agree(Engine(module, backend, threads), inputs(module, samples))


@settings(some, max_examples=60)
@given(data=st.data())
def test_equals_reference_without_products_of_bytes(modules, inputs, data):
    """What a processor without them does."""
    module = data.draw(modules)
    with mock.patch.object(numba_layer, "MULTIPLIES_BYTES", False):
        engine = Engine(module, "numba")
    agree(engine, inputs(module, 3))


@pytest.mark.slow
@both
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_equals_reference_at_length(backend, modules, inputs, data):
    module = data.draw(modules)
    agree(Engine(module, backend), inputs(module, 7))


@both
@settings(some, max_examples=40)
@given(module=networks())
def test_a_compiled_network_computes_what_the_imported_one_did(backend, inputs, module):
    x = inputs(module, 6)
    expected = reference.run(module, x)
    try:
        PassManager(parse_pipeline("akida2-default")).run(module)
    except CompileError:
        assume(False)
    for found, wanted in zip(Engine(module, backend).run(x), expected, strict=True):
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def small(filters: int = 5, **variables) -> builtin.Module:
    """An image, one convolution, one dense layer."""
    rng = np.random.default_rng(0)
    graph = Graph()
    x = graph.append(builtin.Input((6, 5, 3), ui(8), name="input")).result
    kernel = Tensor.of(rng.integers(-128, 128, (3, 3, 3, filters)), si(8))
    requantized = {"output_scales": Tensor.of(200, ui(8)), "output_shift": Tensor.of(-17, si(8)), "to": si(8)}
    conv = akida2.InputConv2D(x, kernel, activation=Activation.RELU, **(requantized | variables), name="conv")
    x = graph.append(conv).result
    weights = Tensor.of(rng.integers(-8, 8, (int(np.prod(x.type.per_sample)), 4)), si(4))
    x = graph.append(akida2.Dense1D(x, weights, name="dense")).result
    graph.append(builtin.Return((x,)))
    return builtin.Module("small", graph)


@both
@pytest.mark.parametrize("samples", [0, 1, 2, 63, 64, 65, 200])
def test_any_batch(backend, inputs, samples):
    engine = Engine(small(), backend, threads=2)
    x = inputs(engine.module, samples)
    assert engine.run(x)[0].shape == (samples, 1, 1, 4)
    if samples:
        agree(engine, x)
        np.testing.assert_array_equal(engine.run(x, batch_size=7)[0], engine.run(x)[0])


@both
def test_many_threads_may_run_one_engine(backend, inputs):
    engine = Engine(small(), backend, threads=2)
    batches = [inputs(engine.module, n, seed=n) for n in range(1, 40)]
    expected = [reference.run(engine.module, x)[0] for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(lambda x: engine.run(x)[0], batches), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("extra", [0, 1])
@both
def test_products_at_the_limit_of_float32(backend, extra):
    """255 · 65 793 = 2^24 - 1: one weight more, and float32 would be wrong."""
    weights = np.ones((65_793 + extra, 2), np.int64)
    weights[: len(weights) // 2, 1] = -1
    graph = Graph()
    x = graph.append(builtin.Input(weights.shape[:1], ui(8), name="input")).result
    layer = akida2.Dense1D(x, Tensor.of(weights, si(8)), name="dense")
    graph.append(layer)
    graph.append(builtin.Return((layer.result,)))
    engine = Engine(builtin.Module("limit", graph), backend)
    samples = np.full((3, len(weights)), 255, np.uint8)
    samples[1, 0], samples[2] = 254, np.arange(len(weights)) % 256
    agree(engine, samples)
    if backend == "numpy":
        (step,) = engine.steps
        assert isinstance(step, BlasStep)
        assert step.product == (np.float64 if extra else np.float32)
        assert (step.layer.ranges.partial < FLOAT32_EXACT) == (extra == 0)


@both
@pytest.mark.parametrize(
    "variables",
    [
        {"acc": si(12)},
        {"post_op": si(20)},
        {"output_shift": Tensor.of(3, si(8))},
        {"output_shift": Tensor.of(-40, si(8))},
        {"to": si(20), "output_shift": Tensor.of(-2, si(8))},
        {"to": si(40), "output_shift": Tensor.of(5, si(8)), "post_op": si(40)},
        {"to": None, "output_scales": None, "output_shift": None, "acc": si(50)},
        {"input_shift": Tensor.of(9, ui(8))},
        {"input_shift": Tensor.of([0, 3, 1], ui(8)), "padding_value": Tensor.of([1, 2, 3], ui(8))},
        {"input_shift": Tensor.of(6, ui(8)), "acc": si(12)},
        {"output_scales": Tensor.of([-3, 5, 0, -128, 127], si(8)), "pool": akida2.Pool.MAX},
        {
            "output_scales": Tensor.of([-3, 5, 0, -9, 7], si(8)),
            "output_shift": None,
            "to": si(33),
            "pool": akida2.Pool.MAX,
        },
        {"pool": akida2.Pool.MAX, "pool_size": (3, 2), "pool_stride": (2, 1)},
        {"pool": akida2.Pool.MAX, "padding": Padding.VALID, "to": None, "output_scales": None, "output_shift": None},
        {"pool": akida2.Pool.AVERAGE, "to": None, "output_scales": None, "output_shift": None},
        {"pool": akida2.Pool.AVERAGE, "post_op": si(16)},
    ],
    ids=str,
)
def test_unusual_layers(backend, inputs, variables):
    agree(Engine(small(**variables), backend), inputs(small(), 9))


@both
def test_readers_with_different_borders_share_a_map(backend, inputs):
    """Kernels of 3 and 5, one with a padding value: the second cannot have the border of the first."""
    rng = np.random.default_rng(0)
    graph = Graph()
    x = graph.append(builtin.Input((7, 7, 3), ui(8), name="input")).result
    results = []
    for index, (kernel, fill) in enumerate([(3, [9, 9, 9]), (5, [9, 9, 9]), (3, [0, 0, 1]), (1, [7, 7, 7])]):
        weights = Tensor.of(rng.integers(-128, 128, (kernel, kernel, 3, 4)), si(8))
        layer = akida2.InputConv2D(x, weights, padding_value=Tensor.of(fill, ui(8)), name=f"conv_{index}")
        results.append(graph.append(layer).result)
    graph.append(builtin.Return(tuple(results)))
    engine = Engine(builtin.Module("shared", graph), backend)
    agree(engine, inputs(engine.module, 5))
    assert [isinstance(step, ReferenceStep) for step in engine.steps] == [False, False, True, False]


def test_auto_does_without_numba(monkeypatch, inputs):
    monkeypatch.setitem(sys.modules, "cnn2snn_ir.runtime.numba_backend", None)
    engine = Engine(small())
    assert engine.backend.name == "numpy"
    agree(engine, inputs(engine.module, 3))
    with pytest.raises(CompileError, match="RUN-NO-NUMBA"):
        Engine(small(), "numba")


def test_auto_is_numba():
    assert Engine(small()).backend.name == "numba"


def test_a_module_that_is_not_lowered_is_refused():
    body, outer = Graph(), Graph()
    x = outer.append(builtin.Input((3,), si(8), name="input")).result
    inner = body.append(qnn.Shift(x, Tensor.of(1, si(8)), si(9))).result
    body.append(builtin.Return((inner,)))
    block = outer.append(qnn.Block(qnn.BlockKind.ADD, "add", body, name="add"))
    outer.append(builtin.Return((block.results[0],)))
    with pytest.raises(CompileError, match="lower the module"):
        Engine(builtin.Module("high", outer))


def test_inputs_by_name(inputs):
    graph = Graph()
    a, b = (graph.append(builtin.Input((2, 2, 3), si(8), name=name)).result for name in "ab")
    total = graph.append(akida2.Add(a, b, to=si(8), name="sum")).result
    graph.append(builtin.Return((total, a)))
    engine = Engine(builtin.Module("two", graph))
    x = np.arange(24).reshape(2, 2, 2, 3)
    found, again = engine.run({"a": x, "b": (-2 * x).astype(np.int8)})
    np.testing.assert_array_equal(found, -x)
    np.testing.assert_array_equal(again, x)
    with pytest.raises(CompileError, match="RUN-INPUT-MISSING"):
        engine.run({"a": x})
    with pytest.raises(CompileError, match="RUN-INPUT-BATCH"):
        engine.run({"a": x, "b": x[:1]})


@given(total=st.integers(0, 500), chunk=st.integers(1, 70), threads=st.integers(1, 5))
def test_spans_cover_the_batch_evenly(total, chunk, threads):
    spans = list(split(total, chunk, threads))
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert (spans[-1][1] if spans else 0) == total
    assert all(0 < end - start <= chunk for start, end in spans)
    assert len(spans) <= -(-total // (chunk * threads)) * threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_waits_for_the_product_under_way():
    running, forked = threading.Event(), threading.Event()

    def multiply():
        with blas_lock:
            running.set()
            forked.wait(0.2)
            seen.append(forked.is_set())

    seen = []
    thread = threading.Thread(target=multiply)
    thread.start()
    running.wait()
    child = os.fork()
    if not child:
        os._exit(0 if blas_lock.acquire(blocking=False) else 1)
    forked.set()
    thread.join()
    assert seen == [False]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
