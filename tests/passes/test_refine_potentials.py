"""Copies of neurons: what weights are divided into adds up, fits the chip, and is where the copies are."""

import numpy as np
import pytest
from generators.neurons import Neurons
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.passes.copies import copies_of, in_copies
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.neurons import joined_weights
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.refine_potentials import Choice, divided, room

TO_LEVELS = "canonicalize, fold-scales, sink-biases, fold-thresholds"

weights = hnp.arrays(np.int64, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4), elements=st.integers(-8, 7))


def convolution(kernel):
    x = Graph().append(builtin.Input((5, 5, kernel.shape[2]), ui(4), name="x")).result
    return qnn.Conv2D(x, Tensor.of(kernel, si(4)))


@given(weights, st.integers(2, 16))
def test_parts_add_up_to_the_multiplied_weights_and_fit_four_bits(kernel, copies):
    main = convolution(kernel)
    factors = room(main, copies)
    parts = divided(main, kernel.shape[2], Choice(copies, factors, factors))
    assert parts.min() >= -8
    assert parts.max() <= 7
    assert np.array_equal(sum(np.split(parts, copies, axis=2)), kernel * factors)


@given(weights, st.integers(2, 16))
def test_filters_are_multiplied_by_as_much_as_fits(kernel, copies):
    """One more, and a weight of some filter would need a copy more."""
    factors = room(convolution(kernel), copies)
    finer = (kernel * (factors + 1)).reshape(-1, kernel.shape[-1])
    both_signs = (kernel.max(axis=(0, 1, 2)) > 0) & (kernel.min(axis=(0, 1, 2)) < 0)
    assert ((finer > 7 * copies) | (finer < -8 * copies)).any(axis=0)[both_signs].all()
    assert (factors >= 1).all()


@pytest.mark.parametrize("told", [0, -1, 4, 1 << 62, 2.0, "2", None])
def test_a_number_of_copies_that_cannot_be_is_none(told):
    op = convolution(np.ones((1, 1, 2, 6), np.int64))
    op.annotations["copies"] = 3
    assert copies_of(op) == 3
    op.annotations["copies"] = told
    assert copies_of(op) == 1


def test_copies_of_a_map_stand_one_behind_the_other():
    levels = np.arange(24).reshape(2, 2, 2, 3)
    doubled = in_copies(levels, 2, 48)
    assert np.array_equal(doubled[..., :3], levels)
    assert np.array_equal(doubled[..., 3:], levels)
    assert in_copies(levels, 2, 24) is levels
    assert in_copies(levels, 1, 24) is levels
    assert in_copies(levels, 3, 48) is levels


def test_weights_of_all_copies_are_one_weight_for_potentials():
    """Behind a flatten too, where every position has its own copies."""
    b = Neurons(5)
    x = b.stem(b.input((4, 4, 1)), filters=3)
    x = b.emit(qnn.Reshape(x, (48,)), "flatten", "QuantizedFlatten")
    module = b.finish(b.dequantize(b.dense(b.fire(b.dense(x, "hidden", 5, 4), "out", right=4), "dense", 2, 4)))
    PassManager(parse_pipeline(TO_LEVELS)).run(module)
    dense = next(op for op in module.body if isinstance(op, qnn.Dense))
    before = joined_weights(dense)
    PassManager(parse_pipeline("refine-potentials{copies=3}")).run(module)
    copied = [op for op in module.body if copies_of(op) > 1]
    assert [type(op) for op in copied] == [qnn.Threshold]
    joined = joined_weights(dense)
    assert joined.shape == before.shape
    factors = np.abs(joined).max(axis=0) // np.abs(before).max(axis=0)
    assert (factors >= 2).all()
    assert np.array_equal(joined, before * factors)
