"""Runs of pixels: what one turn of a kernel's loop takes."""

import numpy as np
import pytest

from cnn2snn_ir.runtime.commands import RUN, runs


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [((28, 28, 16), 8), ((28, 28, 1), 28), ((4, 100, 1), 100), ((3, 200, 1), RUN), ((7, 7, 100), 2), ((7, 7, 128), 1)],
)
def test_a_run_is_as_many_pixels_of_a_row_as_it_takes_for_a_vector_or_two(shape, pixels):
    found, first = runs(shape)
    assert found == pixels
    covered = np.unique(first[:, None] + np.arange(pixels))
    assert np.array_equal(covered, np.arange(shape[0] * shape[1])), "every pixel, and none beyond"
    assert (first % shape[1] + pixels <= shape[1]).all(), "no run goes on in the next row"


@pytest.mark.parametrize("shape", [(), (5,), (0, 3, 4)])
def test_vectors_and_nothing_are_runs_too(shape):
    found, first = runs(shape)
    assert found >= 1
    assert len(first) == (0 if shape[:1] == (0,) else 1)
