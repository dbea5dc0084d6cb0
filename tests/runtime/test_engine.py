from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir import reference
from cnn2snn_ir.runtime.engine import Engine

BACKENDS = ["numpy", "numba"]


def agree(engine: Engine, x: np.ndarray) -> None:
    """Every value of the module equals the reference's, bit for bit."""
    expected: dict[object, np.ndarray] = {}
    reference.run(engine.module, x, lambda op, array: expected.update({op.results[0]: array}))
    found = engine.run_values(x, list(expected))
    for (value, wanted), got in zip(expected.items(), found, strict=True):
        np.testing.assert_array_equal(got, wanted, err_msg=repr(value))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_equals_reference(backend, modules, inputs, data):
    module = data.draw(modules)
    samples = data.draw(st.sampled_from([1, 3, 7]))
    threads = data.draw(st.sampled_from([1, 2]))
    agree(Engine(module, backend, threads), inputs(module, samples))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_equals_reference_at_length(backend, modules, inputs, data):
    module = data.draw(modules)
    agree(Engine(module, backend), inputs(module, 7))
