"""The means and variances from which the zoo's thresholds follow are those that random inputs have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.zoo_moments import (
    Firing,
    Moments,
    Taps,
    byte_image,
    coverage,
    through_conv,
    through_dense,
    through_depthwise,
)
from cnn2snn_ir.dialects.geometry import Padding, borders, window_count

SIZE, KERNEL = 12, 3


def samples(count, channels):
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, channels))


def windows(x, stride=1):
    """Windows of 3x3 with zeros around the map [samples, rows, columns, channels, 3, 3]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(1, 2))[:, ::stride, ::stride]


@given(st.integers(1, 12), st.integers(1, 7), st.integers(1, 3), st.sampled_from(list(Padding)))
def test_coverage_counts_where_a_tap_is_inside(size, kernel, stride, padding):
    if padding is Padding.VALID and kernel > size:
        return
    before, _ = borders(size, kernel, stride, padding)
    starts = [at * stride - before for at in range(window_count(size, kernel, stride, padding))]
    for tap, part in enumerate(coverage(size, kernel, stride, padding)):
        assert part == pytest.approx(sum(0 <= start + tap < size for start in starts) / len(starts))


@pytest.mark.parametrize("summed", [False, True])
def test_moments_of_convolutions_are_those_of_random_inputs(summed):
    rng = np.random.default_rng(0)
    full, single = rng.integers(-7, 8, (KERNEL, KERNEL, 4, 6)), rng.integers(-7, 8, (KERNEL, KERNEL, 4))
    taps = Taps.of((SIZE, SIZE), KERNEL, 1, Padding.SAME, summed)
    read = windows(samples(4000 if summed else 400, 4))
    for through, kernel, product in (
        (through_conv, full, np.einsum("nhwcij,ijcf->nhwf", read, full, optimize=True)),
        (through_depthwise, single, np.einsum("nhwcij,ijc->nhwc", read, single, optimize=True)),
    ):
        potentials = product.sum(axis=(1, 2)) if summed else product.reshape(-1, product.shape[-1])
        found = through(byte_image(4), kernel, taps)
        deviation = np.sqrt(found.variance)
        assert np.abs(found.mean - potentials.mean(axis=0)).max() < 0.1 * deviation.max()
        # Sums over positions take the taps outside of the map for others of the same kind, which costs a few percent.
        assert np.median(deviation / potentials.std(axis=0)) == pytest.approx(1, abs=0.15)


def test_moments_of_a_matrix_are_those_of_random_inputs():
    kernel = np.random.default_rng(0).integers(-7, 8, (6 * 2, 5))
    x = np.random.default_rng(1).integers(0, 256, (20000, 6, 2))
    found = through_dense(byte_image(2), kernel, 6)
    potentials = x.reshape(-1, 12) @ kernel
    assert found.mean == pytest.approx(potentials.mean(axis=0), abs=0.05 * np.sqrt(found.variance).max())
    assert np.sqrt(found.variance) == pytest.approx(potentials.std(axis=0), rel=0.03)


@given(st.floats(0.05, 0.95), st.sampled_from([1, 3, 15, 127]), st.sampled_from([1, 4]))
def test_levels_of_normal_potentials_have_the_density_and_the_moments(density, count, pooled):
    potentials = np.random.default_rng(0).standard_normal((20000, pooled)).max(axis=1)
    firing = Firing.of(density, count, pooled)
    levels = np.clip(np.ceil((potentials - firing.threshold) / firing.step), 0, count)
    assert np.count_nonzero(levels) / len(levels) == pytest.approx(density, abs=0.02)
    assert levels.mean() == pytest.approx(firing.mean, abs=0.03 * count)
    assert levels.std() == pytest.approx(firing.variance**0.5, abs=0.03 * count)


def test_moments_scale():
    scaled = Moments.alike(3, 2.0, 9.0) * np.array([1.0, 2.0, -1.0])
    assert scaled.mean.tolist() == [2, 4, -2]
    assert scaled.variance.tolist() == [9, 36, 9]
    assert scaled.root_mean_square == pytest.approx(np.sqrt([13, 52, 13]))
