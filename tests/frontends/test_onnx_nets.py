"""Random ONNX networks compute what onnxruntime computes."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from generators.onnx_cases import Array, computed, imported
from generators.onnx_faults import spoiled
from generators.onnx_nets import quantized_net, random_net
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.importer import Imported
from cnn2snn_ir.text import parse_module, print_module


def expected(model: Any, x: Array) -> Array:
    options = onnxruntime.SessionOptions()  # as the file says: its optimisations round elsewhere
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (result,) = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
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


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1))
def test_random_quantized_networks(seed: int) -> None:
    """Powers of two make every sum exact: so is every level."""
    model, x = quantized_net(seed)
    wanted = expected(model, x)
    with tempfile.TemporaryDirectory() as folder:
        found = imported(model, Path(folder))
    (result,) = computed(found, {"x": x})
    np.testing.assert_array_equal(result, wanted)
    for op in found.module.body:
        if isinstance(op, nn.Conv2D | nn.DepthwiseConv2D | nn.Dense):
            assert not op.weights.type.element.is_float


SMALL = 1 << 20
"""Elements of a value that is computed here."""


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1))
def test_spoiled_networks_are_refused_or_right(seed: int) -> None:
    """No fault of a file is a traceback, and none makes another function of it."""
    model = spoiled(random_net(seed)[0], seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = imported(model, Path(folder))
    except CompileError:
        return
    assert not list(found.module.verify())
    if max(math.prod(v.type.per_sample) for op in found.module.body for v in op.results) > SMALL:
        return
    x, result = given_and_computed(found, seed)
    if (wanted := from_onnxruntime(model, x)) is not None:
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def given_and_computed(found: Imported, seed: int) -> tuple[Array, Array]:
    """A sample in ONNX's order, and the first output."""
    (op,) = found.module.inputs
    axes = np.argsort(found.inputs["x"])
    random = np.random.default_rng(seed)
    whole = not op.element.is_float
    values = random.integers(0, 100, (1, *op.shape)) if whole else random.normal(size=(1, *op.shape))
    x = values.astype(op.element.dtype).transpose(axes)
    with np.errstate(all="ignore"):
        return x, computed(found, {"x": x})[0]


def from_onnxruntime(model: Any, x: Array) -> Array | None:
    """What onnxruntime computes, if it is installed and takes the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        result: Array = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]
    except Exception:  # it has no class of its own for what it refuses
        return None
    return result
