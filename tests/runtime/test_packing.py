"""Weights take one byte each where they fit, two where they do not, and give the same sums."""

import numpy as np
import pytest

from cnn2snn_ir import reference
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Graph, Tensor, si
from cnn2snn_ir.runtime.engine import Engine, analyse
from cnn2snn_ir.runtime.packing import pack


def convolution(weights):
    """A module whose only layer has these weights, of nine bits."""
    graph = Graph()
    x = graph.append(builtin.Input((4, 5, weights.shape[2]), si(8), name="input")).result
    kernel = Tensor.of(weights, si(9))
    y = graph.append(akida2.Conv2D(x, kernel, acc=si(32), to=None, name="conv")).result
    graph.append(builtin.Return((y,)))
    return builtin.Module("packed", graph)


@pytest.mark.parametrize("filters", [1, 16, 17, 40])
@pytest.mark.parametrize(
    ("least", "greatest", "dtype"), [(-128, 127, np.int8), (-129, 3, np.int16), (0, 128, np.int16)]
)
def test_weights_of_either_size_give_the_same_sums(least, greatest, dtype, filters):
    rng = np.random.default_rng(filters)
    weights = rng.integers(least, greatest + 1, (3, 3, 5, filters))
    weights[0, 0, 0, 0], weights[-1, -1, -1, -1] = least, greatest
    module = convolution(weights)
    engine = Engine(module, "numba")
    ((layer,),) = analyse(engine.module, engine.backend).layers.values()
    assert pack(layer, 35)[2].dtype == dtype
    for count in (1, 3):
        x = rng.integers(-128, 128, (count, 4, 5, 5)).astype(np.int8)
        np.testing.assert_array_equal(engine.run(x)[0], reference.run(module, x)[0])
