"""Bounds of sums of products, at sizes that no machine integer holds."""

import numpy as np
import pytest

from cnn2snn_ir.analysis.interval import Range, dot, dot_depthwise, magnitude, magnitude_depthwise

INPUTS = Range.of(-(2**31), 2**31 - 1)
"""Times weights of 2^29, eight of them are one more than int64 holds."""


@pytest.mark.parametrize(("taps", "channels"), [(8, 1), (1, 8), (4, 2)])
def test_bounds_do_not_overflow(taps, channels):
    weights = np.full((taps, channels, 2), 2**29, np.int64)
    weights[:, :, 1] = -(2**29)
    sums = dot(INPUTS, weights)
    low, high = (8 * 2**29 * x for x in (-(2**31), 2**31 - 1))
    assert (list(sums.lo), list(sums.hi)) == ([low, -high], [high, -low])
    assert magnitude(INPUTS, weights) == -low == 2**63


def test_bounds_of_each_channel_do_not_overflow():
    weights = np.array([[2**29, -(2**29)]] * 8, np.int64)
    sums = dot_depthwise(INPUTS, weights)
    low, high = (8 * 2**29 * x for x in (-(2**31), 2**31 - 1))
    assert (list(sums.lo), list(sums.hi)) == ([low, -high], [high, -low])
    assert magnitude_depthwise(INPUTS, weights) == 2**63
