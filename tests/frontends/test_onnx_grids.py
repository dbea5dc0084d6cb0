"""Integers with a scale in ONNX files: QDQ pairs, integer inputs, QONNX; each against ONNX's reference."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from generators.onnx_cases import Array, computed, imported
from generators.onnx_nets import Net
from generators.qonnx_ops import ROUND, BipolarQuant, Quant
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.importer import Imported
from cnn2snn_ir.ir import si, ui

QONNX = "qonnx.custom_op.general"
LAYERS = nn.Conv2D | nn.DepthwiseConv2D | nn.Dense


def net(*shape: int, opset: int = 21) -> Net:
    return Net(np.random.default_rng(5), opset, shape=shape)


def model_of(n: Net, shape: tuple[int, ...], kind: str = "float32") -> Any:
    """The network, with QONNX's domain, and with inputs of a kind."""
    model = n.model(shape)
    model.opset_import.append(onnx.helper.make_opsetid(QONNX, 1))
    model.graph.input[0].type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return model


def check(model: Any, x: Array, folder: Path) -> Imported:
    """Import a model and compare it with ONNX's reference."""
    (wanted,) = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant]).run(None, {"x": x})
    found = imported(model, folder)
    (result,) = computed(found, {"x": x})
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)
    return found


def layer(found: Imported) -> Any:
    (op,) = (op for op in found.module.body if isinstance(op, LAYERS))
    return op


def code_of(model: Any, folder: Path) -> str:
    with pytest.raises(CompileError) as caught:
        imported(model, folder)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


def random_x(*shape: int) -> Array:
    return np.random.default_rng(8).normal(size=(2, *shape)).astype(np.float32)


# ---- QDQ ------------------------------------------------------------------------------------------------------


def stored(n: Net, values: Array, scale: Array, zero: Array, **attributes: Any) -> str:
    """Integers and the node that makes reals of them; gives its name."""
    before, n.value = n.value, n.constant(values)
    name = n.add("DequantizeLinear", n.constant(scale), n.constant(zero), **attributes)
    n.value = before
    return name


def test_weights_keep_their_integers(tmp_path: Path) -> None:
    n = net(4, 6, 6)
    values = n.random.integers(-128, 128, (5, 4, 3, 3)).astype(np.int8)
    scale = n.random.uniform(0.01, 0.02, 5).astype(np.float32)
    n.add("Conv", stored(n, values, scale, np.zeros(5, np.int8), axis=0), pads=[1, 1, 1, 1])
    conv = layer(check(model_of(n, (4, 6, 6)), random_x(4, 6, 6), tmp_path))
    assert conv.weights.type.element == si(8)
    np.testing.assert_array_equal(conv.weights.array, values.transpose(2, 3, 1, 0))
    np.testing.assert_allclose(1 / conv.weight_scale.array, scale)


@pytest.mark.parametrize(("zero", "element"), [(0, ui(8)), (128, si(8)), (100, si(9))])
def test_zero_points_of_weights_are_subtracted(zero: int, element: Any, tmp_path: Path) -> None:
    n = net(6)
    values = np.array([[0, 255], [100, 20], [7, 8], [9, 10], [0, 255], [128, 128]], np.uint8)
    n.add("MatMul", stored(n, values, np.float32(0.1), np.uint8(zero)))
    dense = layer(check(model_of(n, (6,)), random_x(6), tmp_path))
    assert dense.weights.type.element == element
    np.testing.assert_array_equal(dense.weights.array, values.astype(int) - zero)


def test_weights_are_followed_through_a_transposition(tmp_path: Path) -> None:
    n = net(6)
    values = n.random.integers(-8, 8, (3, 6)).astype(np.int8)
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    before, n.value = n.value, stored(n, values, scale, np.zeros(3, np.int8), axis=0)
    turned = n.add("Transpose", perm=[1, 0])
    n.value = before
    n.add("MatMul", turned)
    dense = layer(check(model_of(n, (6,)), random_x(6), tmp_path))
    np.testing.assert_array_equal(dense.weights.array, values.T)


def test_scales_of_another_axis_are_taken_with_a_warning(tmp_path: Path) -> None:
    """onnxruntime writes such biases: [1, 3] with three scales and axis 0."""
    n = net(6)
    bias = stored(
        n, np.array([[10, 20, 30]], np.int32), np.array([0.1, 0.2, 0.3], np.float32), np.zeros(3, np.int32), axis=0
    )
    n.add("Gemm", n.weights(6, 3), bias)
    found = imported(model_of(n, (6,)), tmp_path)
    assert [d.code for d in found.found] == ["ONNX-SCALES"]
    np.testing.assert_allclose(layer(found).bias.array, [1, 4, 9], rtol=1e-6)


def pair(n: Net, scale: Any, zero: Any, other: Any = None, **attributes: Any) -> None:
    n.add("QuantizeLinear", n.constant(np.asarray(scale, np.float32)), n.constant(zero), **attributes)
    n.add("DequantizeLinear", n.constant(np.asarray(other or scale, np.float32)), n.constant(zero), **attributes)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
def test_pairs_are_one_rounding(kind: Any, tmp_path: Path) -> None:
    n = net(3, 5, 5)
    pair(n, 0.05, kind(3))
    found = check(model_of(n, (3, 5, 5)), 3 * random_x(3, 5, 5), tmp_path)
    (op,) = (op for op in found.module.body if isinstance(op, nn.FakeQuantize))
    assert op.to.dtype == np.dtype(kind)


def test_pairs_with_a_scale_for_each_channel(tmp_path: Path) -> None:
    n = net(3, 5, 5)
    n.add("QuantizeLinear", n.constant(np.array([0.1, 0.2, 0.3], np.float32)), n.constant(np.zeros(3, np.int8)), axis=1)
    n.add(
        "DequantizeLinear", n.constant(np.array([0.1, 0.2, 0.3], np.float32)), n.constant(np.zeros(3, np.int8)), axis=1
    )
    check(model_of(n, (3, 5, 5)), 30 * random_x(3, 5, 5), tmp_path)


def test_integers_go_through_what_keeps_them(tmp_path: Path) -> None:
    n = net(3, 6, 6)
    n.add("QuantizeLinear", n.constant(np.float32(0.05)), n.constant(np.uint8(128)))
    n.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    n.add("Transpose", perm=[0, 2, 3, 1])
    n.add("Reshape", n.constant(np.array([0, -1])))
    n.add("DequantizeLinear", n.constant(np.float32(0.05)), n.constant(np.uint8(128)))
    check(model_of(n, (3, 6, 6)), random_x(3, 6, 6), tmp_path)


def test_pairs_of_two_scales_are_refused(tmp_path: Path) -> None:
    n = net(3, 5, 5)
    pair(n, 0.05, np.int8(0), other=0.1)
    assert code_of(model_of(n, (3, 5, 5)), tmp_path) == "ONNX-QUANT"


def test_blocks_of_weights_are_refused(tmp_path: Path) -> None:
    n = net(4)
    scale, zero = np.full((2, 3), 0.1, np.float32), np.zeros((2, 3), np.int8)
    n.add("MatMul", stored(n, np.ones((4, 3), np.int8), scale, zero, axis=0, block_size=2))
    assert "ONNX-QUANT" in code_of(model_of(n, (4,)), tmp_path)


@pytest.mark.parametrize(("kind", "zero"), [("uint8", 3), ("int8", -128)])
def test_integer_inputs_are_scaled(kind: str, zero: int, tmp_path: Path) -> None:
    n = net(3, 5, 5)
    n.add("DequantizeLinear", n.constant(np.float32(0.1)), n.constant(np.asarray(zero, kind)))
    n.add("Conv", n.weights(2, 3, 3, 3))
    limits = np.iinfo(kind)
    x = np.random.default_rng(2).integers(limits.min, limits.max + 1, (2, 3, 5, 5)).astype(kind)
    found = check(model_of(n, (3, 5, 5), kind), x, tmp_path)
    assert [op.op_name for op in found.module.body][1] == "nn.input_scaling"


# ---- QONNX ----------------------------------------------------------------------------------------------------


def quant(n: Net, x: str, scale: Any, zero: float, bits: int, **attributes: Any) -> str:
    """A Quant node behind a value; gives its name."""
    n.value = x
    constants = (n.constant(np.asarray(v, np.float32)) for v in (scale, zero, bits))
    return n.add("Quant", *constants, domain=QONNX, **attributes)


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(sorted(ROUND)), st.booleans(), st.booleans(), st.integers(2, 9), st.booleans(), st.integers(0, 1000)
)
def test_quant_rounds_as_specified(mode: str, signed: bool, narrow: bool, bits: int, constant: bool, seed: int) -> None:
    """Values and weights, half of them on ties, inside and outside of the grid."""
    random = np.random.default_rng(seed)
    scale = np.float32(2.0 ** random.integers(-4, 3))
    ties = random.integers(-(2**bits), 2**bits, (2, 2, 3, 4)) * 0.5
    x = (np.where(random.random(ties.shape) < 0.5, ties, ties + random.random(ties.shape)) * scale).astype(np.float32)
    n = net(2, 3, 4)
    attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
    if constant:
        weights = quant(n, n.constant(x.reshape(2, 2, 3, 4)), scale, 0, bits, **attributes)
        n.value = "x"
        n.add("Conv", weights)
        x = (random.integers(-16, 17, (2, 2, 3, 4)) / 8).astype(np.float32)  # float32 sums are exact
    else:
        quant(n, "x", scale, 0, bits, **attributes)
    with tempfile.TemporaryDirectory() as folder:
        found = check(model_of(n, (2, 3, 4)), x, Path(folder))
    if constant:
        op = layer(found)
        assert op.weights.type.element == (si(bits) if signed else ui(bits))
        assert float(op.weight_scale.array) * float(scale) == 1


def test_quant_with_a_scale_for_each_channel(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    scale = np.array([0.1, 0.2, 0.3], np.float32).reshape(1, 3, 1, 1)
    attributes = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
    quant(n, n.value, scale, 0, 4, **attributes)
    check(model_of(n, (3, 4, 4)), 3 * random_x(3, 4, 4), tmp_path)


def test_bipolar_weights(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    n.value = n.weights(2, 3, 3, 3)
    weights = n.add("BipolarQuant", n.constant(np.float32(0.5)), domain=QONNX)
    n.value = "x"
    n.add("Conv", weights)
    conv = layer(check(model_of(n, (3, 4, 4)), random_x(3, 4, 4), tmp_path))
    assert set(np.unique(conv.weights.array)) == {-1, 1}
    n = net(3, 4, 4)
    n.add("BipolarQuant", n.constant(np.float32(0.5)), domain=QONNX)
    assert code_of(model_of(n, (3, 4, 4)), tmp_path) == "ONNX-NODE"


def test_filters_without_weights_become_zeros(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    scale = np.array([0.1, 1e-13, 0.2], np.float32).reshape(3, 1, 1, 1)
    values = np.full((3, 3, 3, 3), 1.0, np.float32) * scale
    weights = quant(n, n.constant(values), scale, 0, 4, signed=1, narrow=1, rounding_mode="ROUND")
    n.value = "x"
    n.add("Conv", weights)
    found = check(model_of(n, (3, 4, 4)), random_x(3, 4, 4), tmp_path)
    assert [d.code for d in found.found] == ["ONNX-DEAD"]
    conv = layer(found)
    assert not conv.weights.array[..., 1].any()
    np.testing.assert_allclose(1 / conv.weight_scale.array, [0.1, 0.2, 0.2], rtol=1e-6)


@pytest.mark.parametrize(("op", "attributes"), [("FloatQuant", {}), ("Trunc", {"rounding_mode": "FLOOR"})])
def test_other_operators_of_qonnx_are_refused(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    n = net(3, 4, 4)
    n.add(op, n.constant(np.float32(1)), domain=QONNX, **attributes)
    assert code_of(model_of(n, (3, 4, 4)), tmp_path) == "ONNX-OP"


def test_zero_points_that_change_ties_are_refused(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    quant(n, n.value, 0.1, 1, 4, signed=0, narrow=0, rounding_mode="ROUND")
    assert code_of(model_of(n, (3, 4, 4)), tmp_path) == "ONNX-NODE"
