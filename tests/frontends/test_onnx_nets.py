"""Random ONNX networks compute what onnxruntime computes, or ONNX's own reference where that is not installed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from generators.onnx_cases import Array, computed, imported
from generators.onnx_nets import random_net
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from cnn2snn_ir.text import parse_module, print_module


def expected(model: Any, x: Array) -> Array:
    try:
        import onnxruntime
    except ImportError:
        try:
            (result,) = ReferenceEvaluator(model).run(None, {"x": x})
        except ValueError:  # it fails for windows that lie in a border as a whole
            reject()
        return result
    (result,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    return result


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_random_networks(seed: int) -> None:
    model, x = random_net(seed)
    wanted = expected(model, x)
    with tempfile.TemporaryDirectory() as folder:
        found = imported(model, Path(folder))
    (result,) = computed(found, {"x": x})
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(wanted).max()))
    text = print_module(found.module, weights="inline")
    assert print_module(parse_module(text), weights="inline") == text
