"""Transposed convolutions and activations by table: every geometry, every place of the table, and no slow step."""

from __future__ import annotations

import numpy as np
import pytest

from cnn2snn_ir import reference
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation, Pool
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.runtime import table
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.numba_layer import LayerStep
from cnn2snn_ir.runtime.numpy_backend import BlasStep

FAST = {"numpy": BlasStep, "numba": LayerStep}
both = pytest.mark.parametrize("backend", FAST)


def fast_and_exact(backend, graph, values, x):
    """Every step is a fast one, and every value equals the reference's."""
    graph.append(builtin.Return(tuple(values)))
    engine = Engine(builtin.Module("kinds", graph), backend)
    assert {type(step) for step in engine.steps} == {FAST[backend]}
    for value, found, wanted in zip(values, engine.run(x), reference.run(engine.module, x), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=repr(value.owner))


@both
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 2, 40)], ids=str)
def test_every_kernel_and_stride_of_transposed_layers(backend, depthwise, shape):
    rng, graph, values = np.random.default_rng(0), Graph(), []
    x = graph.append(builtin.Input(shape, si(8), name="input")).result
    for kernel in range(1, 8):
        for stride in (1, 2, 3):
            for padding in Padding:
                size = (kernel, kernel, shape[2]) if depthwise else (kernel, kernel, shape[2], 5)
                filters = size[-1]
                layer = akida2.DepthwiseConv2DTranspose if depthwise else akida2.Conv2DTranspose
                op = layer(
                    x,
                    Tensor.of(rng.integers(-128, 128, size), si(8)),
                    stride=stride,
                    padding=padding,
                    input_shift=Tensor.of(rng.integers(0, 3, shape[2]), ui(4)),
                    bias=Tensor.of(rng.integers(-128, 128, filters), si(8)),
                    bias_shift=Tensor.of(6, ui(4)),
                    acc=si(16),  # saturates now and then
                    output_scales=Tensor.of(rng.integers(1, 256, filters), ui(8)),
                    output_shift=Tensor.of(-15, si(8)),
                    to=si(8),
                    name=f"k{kernel}_s{stride}_{padding}",
                )
                values.append(graph.append(op).result)
    fast_and_exact(backend, graph, values, rng.integers(-128, 128, (3, *shape)).astype(np.int8))


TABLES = {
    "the whole layer in one table": {},
    "a table for each filter": {"output_scales": Tensor.of([1, 100, 200, 255, 0], ui(8))},
    "a shift for each filter": {"output_scales": None, "output_shift": Tensor.of([-9, -8, -7, 2, 0], si(8))},
    "values as they are": {"to": None, "output_scales": None, "output_shift": None},
    "index saturates": {"activation_shift": Tensor.of([-9, -10, -11, -12, -8], si(8))},
    "product saturates before the index": {"post_op": si(20)},
    "product saturates before the output": {"post_op": si(23), "output_scales": Tensor.of(255, ui(8))},
    "accumulator saturates": {"acc": si(14)},
    "scaled up": {"output_shift": Tensor.of(3, si(8)), "to": si(24)},
    "maximum first": {"pool": Pool.MAX, "pool_size": (3, 2), "pool_stride": (2, 1)},
    "average last": {"pool": Pool.AVERAGE, "output_shift": Tensor.of(-19, si(8))},
    "average, as it is": {"pool": Pool.AVERAGE, "to": None, "output_scales": None, "output_shift": None},
    "average saturates": {"pool": Pool.AVERAGE, "post_op": si(18), "output_shift": Tensor.of(-12, si(8))},
}


def with_table(x, **variables):
    """A convolution with a table of 2^11 values, which neither rises nor falls throughout."""
    rng = np.random.default_rng(1)
    values = np.rint(20000 * np.sin(np.arange(-1024, 1024) / 200) + rng.normal(0, 500, 2048)).astype(np.int64)
    usual = {
        "activation": Activation.LUT,
        "lut_values": Tensor.of(values, si(16)),
        "activation_scales": Tensor.of([100, 255, 128, 201, 1], ui(8)),
        "activation_shift": Tensor.of(-14, si(8)),
        "output_scales": Tensor.of(200, ui(8)),
        "output_shift": Tensor.of(-16, si(8)),
        "to": si(8),
    }
    weights = Tensor.of(rng.integers(-128, 128, (3, 3, 3, 5)), si(8))
    return akida2.InputConv2D(x, weights, **(usual | variables), name="conv")


@both
@pytest.mark.parametrize("variables", TABLES.values(), ids=TABLES)
def test_activation_by_table(backend, variables):
    graph = Graph()
    x = graph.append(builtin.Input((6, 5, 3), ui(8), name="input")).result
    value = graph.append(with_table(x, **variables)).result
    images = np.random.default_rng(2).integers(0, 256, (5, 6, 5, 3)).astype(np.uint8)
    images[0], images[1] = 0, 255
    fast_and_exact(backend, graph, [value], images)


@both
def test_a_table_too_large_to_be_folded(backend, monkeypatch):
    monkeypatch.setattr(table, "MAX_ENTRIES", 5 * 2048 - 1)
    graph = Graph()
    x = graph.append(builtin.Input((6, 5, 3), ui(8), name="input")).result
    op = with_table(x, **TABLES["a table for each filter"])
    graph.append(op)
    graph.append(builtin.Return((op.result,)))
    engine = Engine(builtin.Module("large", graph), backend)
    (step,) = engine.steps
    assert isinstance(step, BlasStep)
    assert step.layer.epilogue.last is not None
    images = np.random.default_rng(2).integers(0, 256, (5, 6, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(engine.run(images)[0], reference.run(engine.module, images)[0])


def test_a_table_for_all_filters_is_folded_whatever_its_size(monkeypatch):
    """It has the entries that the program has anyway."""
    monkeypatch.setattr(table, "MAX_ENTRIES", 2047)
    x = builtin.Input((6, 5, 3), ui(8), name="input").result
    assert table.Table.with_output(with_table(x)).results.shape == (1, 2048)
    assert table.Table.with_output(with_table(x, **TABLES["a table for each filter"])) is None


def test_concatenation_is_part_of_the_one_call():
    """Parts of 16 and of 32 bits side by side, without leaving the kernels."""
    rng, graph = np.random.default_rng(0), Graph()
    source = graph.append(builtin.Input((3, 4, 2), si(8), name="input")).result
    x = graph.append(akida2.InputData(source, name="data")).result
    weights = Tensor.of(rng.integers(-128, 128, (3, 3, 2, 6)), si(8))
    sums = graph.append(akida2.Conv2D(x, weights, name="sums")).result
    value = graph.append(akida2.Concatenate((x, sums, x), name="joined")).result
    graph.append(builtin.Return((value,)))
    engine = Engine(builtin.Module("joined", graph), "numba")
    assert len(engine._take(1, complete=False).calls) == 1
    samples = rng.integers(-128, 128, (7, 3, 4, 2)).astype(np.int8)
    np.testing.assert_array_equal(engine.run(samples)[0], reference.run(engine.module, samples)[0])
