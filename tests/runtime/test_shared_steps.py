"""Which step runs an op that no backend has a kernel for."""

import numpy as np
import pytest

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Tensor, si, ui
from cnn2snn_ir.runtime.step import ReferenceStep, ThresholdStep, shared_step


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
