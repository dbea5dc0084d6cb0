"""The scales of quantized weights: the largest weight fits, and one too small to matter has no huge scale."""

import numpy as np
import pytest

from cnn2snn_ir.passes.quantize_weights import error, scale_of


@pytest.mark.parametrize("bits", [8, 16])
def test_the_largest_weight_is_the_largest_integer(bits):
    columns = np.array([[0.5, -3.0, 2.0], [-0.25, 1.0, 0.0]])
    top = 2 ** (bits - 1) - 1
    assert np.allclose(scale_of(columns, bits) * np.abs(columns).max(axis=0), top)


@pytest.mark.parametrize(
    ("largest", "taken"), [(0.0, 2.0**-16), (2.0**-20, 2.0**-16), (1.5 * 2.0**-16, 1.5 * 2.0**-16)]
)
def test_a_filter_of_almost_nothing_has_a_scale(largest, taken):
    assert scale_of(np.array([[largest], [0.0]]), 8) == pytest.approx([127 / taken])


def test_few_bits_clip_where_that_errs_less():
    columns = np.random.default_rng(0).laplace(size=(500, 8))
    plain = 7 / np.abs(columns).max(axis=0)
    chosen = scale_of(columns, 4)
    assert (chosen > plain).all()
    assert (error(columns, chosen, 7) < error(columns, plain, 7)).all()
