"""Which step runs an op that no backend has a kernel for."""

import numpy as np
import pytest

from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.ir import F32, Tensor, si, ui
from cnn2snn_ir.runtime.step import CopyStep, ReferenceStep, ThresholdStep, shared_step


@pytest.mark.parametrize(
    ("to", "base", "levels", "step"),
    [
        (si(4), -8, 15, ThresholdStep),
        (si(4), -8, 16, ReferenceStep),  # the last level would not fit
        (ui(2), 0, 3, ThresholdStep),
        (ui(2), 0, 4, ReferenceStep),
    ],
)
def test_levels_are_counted_where_all_of_them_fit(to, base, levels, step):
    x = builtin.Input((3,), si(16)).result
    thresholds = Tensor.of(np.arange(levels)[None, :], si(16), "thresholds")
    assert isinstance(shared_step(qnn.Threshold(x, thresholds, to, base=base)), step)


def test_a_reshape_on_the_host_is_a_copy():
    """The reference semantics would take longer than a small network."""
    x = builtin.Input((1, 1, 10), F32).result
    assert isinstance(shared_step(nn.Reshape(x, (10,))), CopyStep)
