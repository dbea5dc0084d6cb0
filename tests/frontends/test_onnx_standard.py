"""Standard ONNX models: layouts, borders, batches, activations written out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from generators.onnx_cases import Array, computed, imported
from generators.onnx_nets import Net
from onnx.reference import ReferenceEvaluator

from cnn2snn_ir.diagnostics import CompileError, Diagnostics
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.onnx.importer import import_onnx, read_graph
from cnn2snn_ir.frontends.onnx.standard.importer import Imported, survey_standard
from cnn2snn_ir.frontends.onnx.standard.inference import inferred_shapes
from cnn2snn_ir.reference import run

FIXTURES = Path(__file__).parent.parent / "fixtures" / "onnx_standard"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def net(*shape: int, opset: int = 17) -> Net:
    return Net(np.random.default_rng(7), opset, shape=shape)


def names(found: Imported) -> list[str]:
    return [op.op_name.removeprefix("nn.") for op in found.module.body if op.op_name.startswith("nn.")]


def check(model: Any, shape: tuple[int, ...], folder: Path) -> Imported:
    """Import a model and compare it with ONNX's reference."""
    x = np.random.default_rng(3).normal(size=(2, *shape)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    found = imported(model, folder)
    (result,) = computed(found, {"x": x})
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-4)
    return found


def faults(model: Any, folder: Path, input_shape: Any = None) -> list[tuple[str, str]]:
    """Codes and places of what is wrong with a model."""
    with pytest.raises(CompileError) as caught:
        imported(model, folder, input_shape)
    return [(d.code, d.where) for d in caught.value.diagnostics]


# ---- a trained network ------------------------------------------------------------------------------------------


def test_mnist_of_the_model_zoo() -> None:
    """CNTK's network: initializers among the inputs, auto_pad, Reshape to [1, 256], MatMul and Add."""
    module = load_model(FIXTURES / "mnist_8.onnx")
    assert [op.op_name for op in module.body][1:-1] == [
        "nn.conv2d", "nn.relu", "nn.max_pool", "nn.conv2d", "nn.relu", "nn.max_pool", "nn.reshape", "nn.dense",
    ]  # fmt: skip
    with np.load(EXAMPLES / "mnist_1000.npz") as data:
        images, labels = data["x"], data["y"]
    (scores,) = run(module, images.reshape(-1, 28, 28, 1).astype(np.float32))
    assert np.mean(scores.argmax(axis=1) == labels) >= 0.985


# ---- layouts ----------------------------------------------------------------------------------------------------


def test_flattening_permutes_the_weights_behind_it(tmp_path: Path) -> None:
    n = net(3, 4, 5)
    n.add("Flatten")
    n.add("Relu")
    n.add("Gemm", n.weights(60, 2))
    assert names(check(n.model((3, 4, 5)), (3, 4, 5), tmp_path)) == ["relu", "reshape", "dense"]


def test_channels_last_networks_have_no_transposition(tmp_path: Path) -> None:
    n = net(6, 6, 3)
    n.add("Transpose", perm=[0, 3, 1, 2])
    n.add("Conv", n.weights(4, 3, 3, 3))
    n.add("Transpose", perm=[0, 2, 3, 1])
    found = check(n.model((6, 6, 3)), (6, 6, 3), tmp_path)
    assert names(found) == ["conv2d"]
    assert found.inputs == {"x": (0, 1, 2, 3)}


def test_another_order_is_a_transposition(tmp_path: Path) -> None:
    n = net(3, 4, 5)
    n.add("Transpose", perm=[0, 1, 3, 2])
    n.add("Conv", n.weights(4, 3, 3, 3))
    assert names(check(n.model((3, 4, 5)), (3, 4, 5), tmp_path)) == ["transpose", "conv2d"]


def test_sequences_are_maps_of_height_1(tmp_path: Path) -> None:
    n = net(3, 16)
    n.add("Conv", n.weights(4, 3, 5), pads=[2, 2], strides=[2])
    n.add("Relu")
    n.add("MaxPool", kernel_shape=[2], strides=[2])
    n.add("GlobalAveragePool")
    n.add("Flatten")
    n.add("Gemm", n.weights(4, 2))
    found = check(n.model((3, 16)), (3, 16), tmp_path)
    assert names(found) == ["reshape", "conv2d", "relu", "max_pool", "global_average_pool", "dense"]


@pytest.mark.parametrize("target", [[0, -1], [-1, 48], [1, 48], [1, -1]])
def test_reshapes_that_flatten(target: list[int], tmp_path: Path) -> None:
    n = net(3, 4, 4)
    n.add("Relu")
    n.add("Reshape", n.constant(np.array(target)))
    n.add("Gemm", n.weights(48, 2))
    found = imported(n.model((3, 4, 4), batch=1), tmp_path)
    assert names(found) == ["relu", "reshape", "dense"]


def test_the_batch_is_followed_through_shapes(tmp_path: Path) -> None:
    """`x.view(x.size(0), -1)`, as torch writes it."""
    n = net(3, 4, 4)
    x = n.add("Relu")
    n.add("Shape")
    n.add("Gather", n.constant(np.array(0)), axis=0)
    batch = n.add("Unsqueeze", n.constant(np.array([0])))
    rest = n.constant(np.array([-1]))
    n.value = batch
    shape = n.add("Concat", rest, axis=0)
    n.value = x
    n.add("Reshape", shape)
    n.add("Gemm", n.weights(48, 2))
    assert names(check(n.model((3, 4, 4)), (3, 4, 4), tmp_path)) == ["relu", "reshape", "dense"]


# ---- borders ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "pads", "stride", "rule"),
    [
        (8, [1, 1, 1, 1], 1, Padding.SAME),
        (8, [1, 1, 1, 1], 2, Padding.SAME_UPPER),  # torch: the last row is not read
        (7, [1, 1, 1, 1], 2, Padding.SAME),
        (8, [0, 0, 1, 1], 2, Padding.SAME),  # TensorFlow
        (8, [0, 0, 0, 0], 2, Padding.VALID),
    ],
)
def test_border_rules(size: int, pads: list[int], stride: int, rule: Padding, tmp_path: Path) -> None:
    n = net(2, size, size)
    n.add("Conv", n.weights(3, 2, 3, 3), pads=pads, strides=[stride, stride])
    (conv,) = (
        op for op in check(n.model((2, size, size)), (2, size, size), tmp_path).module.body if isinstance(op, nn.Conv2D)
    )
    assert conv.padding is rule


def test_a_border_that_no_rule_gives(tmp_path: Path) -> None:
    n = net(2, 8, 8)
    n.add("Conv", n.weights(3, 2, 3, 3), pads=[2, 1, 0, 1])
    assert names(check(n.model((2, 8, 8)), (2, 8, 8), tmp_path)) == ["pad", "conv2d"]


def test_padding_before_a_convolution_becomes_its_own(tmp_path: Path) -> None:
    n = net(2, 8, 8)
    n.add("Pad", n.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1])))
    n.add("Conv", n.weights(3, 2, 3, 3), strides=[2, 2])
    found = check(n.model((2, 8, 8)), (2, 8, 8), tmp_path)
    assert names(found) == ["conv2d"]


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        (2, {}),
        (3, {"pads": [1, 1, 1, 1], "output_padding": [1, 1]}),  # torch
        (4, {"pads": [1, 1, 1, 1]}),  # torch
        (3, {"auto_pad": "SAME_UPPER"}),  # TensorFlow
        (5, {}),
    ],
)
@pytest.mark.parametrize("group", [1, 3])
def test_transposed_convolutions(kernel: int, attributes: dict[str, Any], group: int, tmp_path: Path) -> None:
    n = net(3, 5, 4)
    weights = n.weights(3, 2 if group == 1 else 1, kernel, kernel)
    n.add("ConvTranspose", weights, strides=[2, 2], group=group, **attributes)
    found = check(n.model((3, 5, 4)), (3, 5, 4), tmp_path)
    assert names(found) == ["conv2d_transpose" if group == 1 else "depthwise_conv2d_transpose"]


def test_groups_are_written_out(tmp_path: Path) -> None:
    n = net(4, 6, 6)
    n.add("Conv", n.weights(6, 2, 3, 3), group=2)
    found = check(n.model((4, 6, 6)), (4, 6, 6), tmp_path)
    assert names(found) == ["conv2d"]
    assert [d.code for d in found.found] == ["ONNX-GROUPS"]


# ---- activations written out ------------------------------------------------------------------------------------


def scalar(n: Net, value: float) -> str:
    return n.constant(np.float32(value))


def swish(n: Net) -> None:
    x = n.value
    n.add("Sigmoid")
    n.add("Mul", x)


def mish(n: Net) -> None:
    x = n.value
    n.add("Softplus")
    n.add("Tanh")
    n.add("Mul", x)


def hard_swish(n: Net) -> None:
    x = n.value
    n.add("HardSigmoid", alpha=1 / 6)
    n.add("Mul", x)


def hard_swish_relu6(n: Net) -> None:
    x = n.value
    n.add("Add", scalar(n, 3))
    n.add("Clip", scalar(n, 0), scalar(n, 6))
    n.add("Mul", x)
    n.add("Div", scalar(n, 6))


def hard_swish_divided_first(n: Net) -> None:
    x = n.value
    n.add("Add", scalar(n, 3))
    n.add("Clip", scalar(n, 0), scalar(n, 6))
    n.add("Mul", scalar(n, 1 / 6))
    n.add("Mul", x)


def gelu(n: Net) -> None:
    x = n.value
    n.add("Div", scalar(n, 2**0.5))
    n.add("Erf")
    n.add("Add", scalar(n, 1))
    n.add("Mul", x)
    n.add("Mul", scalar(n, 0.5))


def gelu_halved_first(n: Net) -> None:
    half, x = n.add("Mul", scalar(n, 0.5)), n.nodes[-1].input[0]
    n.value = x
    n.add("Mul", scalar(n, 0.5**0.5))
    n.add("Erf")
    n.add("Add", scalar(n, 1))
    n.add("Mul", half)


@pytest.mark.parametrize(
    ("write", "function"),
    [
        (swish, nn.Function.SWISH),
        (mish, nn.Function.MISH),
        (hard_swish, nn.Function.HARD_SWISH),
        (hard_swish_relu6, nn.Function.HARD_SWISH),
        (hard_swish_divided_first, nn.Function.HARD_SWISH),
        (gelu, nn.Function.GELU),
        (gelu_halved_first, nn.Function.GELU),
    ],
)
def test_activations_written_out(write: Any, function: nn.Function, tmp_path: Path) -> None:
    n = net(2, 4, 4)
    n.add("Conv", n.weights(3, 2, 1, 1))
    write(n)
    found = check(n.model((2, 4, 4)), (2, 4, 4), tmp_path)
    assert names(found) == ["conv2d", "activation"]
    assert [op.function for op in found.module.body if isinstance(op, nn.Activation)] == [function]


def test_a_scale_that_is_also_read_elsewhere_stays_apart(tmp_path: Path) -> None:
    n = net(2, 4, 4)
    x = n.add("Mul", scalar(n, 0.9))
    n.add("Add", scalar(n, 3))
    n.add("Clip", scalar(n, 0), scalar(n, 6))
    n.add("Mul", x)
    assert names(check(n.model((2, 4, 4)), (2, 4, 4), tmp_path)) == ["affine", "activation", "affine"]


def test_linear_functions_in_a_row_are_one(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    n.add("Sub", n.constant(np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1)))
    n.add("Div", n.constant(np.array([0.5, 0.6, 0.7], np.float32).reshape(1, 3, 1, 1)))
    n.add("Neg")
    assert names(check(n.model((3, 4, 4)), (3, 4, 4), tmp_path)) == ["affine"]


# ---- what is refused --------------------------------------------------------------------------------------------


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Behind a node that is not supported, the next ones are looked at with the shape that it would give."""
    n = net(3, 8, 8)
    n.add("Conv", n.weights(4, 2, 3, 3))
    n.add("Tan")
    n.add("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])
    n.add("LRN", size=3)
    n.add("Conv", n.weights(4, 4, 3, 3), pads=[1, 1, 1, 1])
    n.add("PRelu", n.constant(np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(4, 1, 1)))
    assert [(code, where.split("_")[0]) for code, where in faults(n.model((3, 8, 8)), tmp_path)] == [
        ("ONNX-SHAPE", "conv"),
        ("ONNX-OP", "tan"),
        ("ONNX-NODE", "maxpool"),
        ("ONNX-OP", "lrn"),
        ("ONNX-NODE", "prelu"),
    ]


def test_a_survey_keeps_what_can_be_checked(tmp_path: Path) -> None:
    n = net(3, 8, 8)
    n.add("Conv", n.weights(4, 3, 3, 3))
    n.add("Tan")
    n.add("Conv", n.weights(5, 4, 3, 3))
    path = tmp_path / "net.onnx"
    path.write_bytes(n.model((3, 8, 8)).SerializeToString())
    found = survey_standard(read_graph(path), lambda samples: inferred_shapes(path, samples))
    assert names(found) == ["conv2d", "conv2d"]
    assert len(found.module.outputs) == 2


def one(op: str, *constants: Array, shape: tuple[int, ...] = (4, 6, 6), opset: int = 17, **attributes: Any) -> Any:
    """A model of one node."""
    n = net(*shape, opset=opset)
    n.add(op, *(n.constant(c) for c in constants), **attributes)
    return n.model(shape)


W = np.ones((4, 4, 3, 3), np.float32)
BAD = {
    "kernel_shape": (one("Conv", W, kernel_shape=[5, 5]), "ONNX-SHAPE"),
    "channels": (one("Conv", W[:, :3]), "ONNX-SHAPE"),
    "group": (one("Conv", W, group=2), "ONNX-SHAPE"),
    "pads": (one("Conv", W, pads=[1, 1]), "ONNX-ATTRIBUTE"),
    "pads_and_auto_pad": (one("Conv", W, pads=[1, 1, 1, 1], auto_pad="SAME_UPPER"), "ONNX-NODE"),
    "auto_pad": (one("Conv", W, auto_pad="SAME"), "ONNX-NODE"),
    "negative_pads": (one("Conv", W, pads=[-1, 0, 0, 0]), "ONNX-NODE"),
    "strides": (one("Conv", W, strides=[0, 1]), "ONNX-ATTRIBUTE"),
    "strides_type": (one("Conv", W, strides="two"), "ONNX-ATTRIBUTE"),
    "unknown_attribute": (one("Conv", W, color=1), "ONNX-ATTRIBUTE"),
    "further_operand": (one("Relu", W), "ONNX-VALUE"),
    "missing_operand": (one("Conv"), "ONNX-VALUE"),
    "nan": (one("Conv", np.full_like(W, np.nan)), "ONNX-NAN"),
    "integer_weights": (one("Conv", W.astype(np.int8)), "ONNX-TYPE"),
    "bias": (one("Conv", W, np.ones(3, np.float32)), "ONNX-SHAPE"),
    "window": (one("MaxPool", kernel_shape=[9, 9]), "ONNX-SHAPE"),
    "three_dimensions": (one("Conv", np.ones((4, 4, 3, 3, 3), np.float32), shape=(4, 6, 6, 6)), "ONNX-SHAPE"),
    "positional": (one("Add", np.arange(36, dtype=np.float32).reshape(6, 6)), "ONNX-SHAPE"),
    "division_by_0": (one("Div", np.zeros((), np.float32)), "ONNX-NODE"),
    "clip": (one("Clip", np.float32(-1), np.float32(1)), "ONNX-NODE"),
    "reshape": (one("Reshape", np.array([-1, 6])), "ONNX-BATCH"),
    "squeeze": (one("Squeeze", np.array([0])), "ONNX-SHAPE"),
    "half": (one("Cast", to=10), "ONNX-NODE"),
    "scale_0": (one("QuantizeLinear", np.float32(0), np.uint8(0)), "ONNX-QUANT"),
    "scale_below_0": (one("QuantizeLinear", np.float32(-1), np.uint8(0)), "ONNX-QUANT"),
    "reals_dequantized": (one("DequantizeLinear", np.float32(1), np.uint8(0)), "ONNX-TYPE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_nodes(name: str, tmp_path: Path) -> None:
    model, code = BAD[name]
    assert [c for c, _ in faults(model, tmp_path)] == [code]


def test_the_shape_of_an_input_is_asked_for(tmp_path: Path) -> None:
    n = net(3, 8, 8)
    n.add("Relu")
    model = n.model(("C", "H", "W"))
    assert faults(model, tmp_path) == [("ONNX-INPUT", "input x")]
    assert faults(model, tmp_path, (3, 8)) == [("ONNX-INPUT", "input x")] * 2
    assert imported(model, tmp_path, (3, 8, 6)).module.inputs[0].shape == (8, 6, 3)
    assert imported(model, tmp_path, {"x": (3, 8, 6)}).module.inputs[0].shape == (8, 6, 3)
    assert faults(n.model((3, 8, 8)), tmp_path, (3, 8, 9)) == [("ONNX-INPUT", "input x")]


def test_the_shape_of_every_input_is_asked_for_at_once(tmp_path: Path) -> None:
    n = net(3, 8, 8)
    n.add("Add", "y")
    model = n.model(("C", "H", "W"))
    model.graph.input.append(model.graph.input[0])
    model.graph.input[1].name = "y"
    assert {("ONNX-INPUT", "input x"), ("ONNX-INPUT", "input y")} <= set(faults(model, tmp_path))


def test_what_says_nothing_about_nearest_neighbours_is_left_out(tmp_path: Path) -> None:
    n = net(3, 4, 4)
    scales = n.constant(np.array([1, 1, 2, 2], np.float32))
    says_nothing = {"cubic_coeff_a": -0.5, "exclude_outside": 0, "extrapolation_value": 0.0}
    place = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    n.add("Resize", "", scales, shape=(3, 8, 8), mode="nearest", **place, **says_nothing)
    assert imported(n.model((3, 4, 4)), tmp_path).module.outputs[0].type.shape == (None, 8, 8, 3)


def test_a_batch_of_another_size_than_1_is_refused(tmp_path: Path) -> None:
    n = net(3, 8, 8)
    n.add("Relu")
    assert faults(n.model((3, 8, 8), batch=4), tmp_path) == [("ONNX-BATCH", "input x")]
    imported(n.model((3, 8, 8), batch=1), tmp_path)


@pytest.mark.parametrize("op", ["Expand", "ConstantOfShape", "Tile"])
def test_no_huge_constant_is_computed(op: str, tmp_path: Path) -> None:
    n = net(3, 8, 8)
    huge = n.constant(np.array([1 << 20, 1 << 20]))
    n.value = huge if op == "ConstantOfShape" else n.constant(np.ones((1, 1), np.float32))
    large = n.add(op, *([] if op == "ConstantOfShape" else [huge]))
    n.value = "x"
    n.add("Add", large)
    assert "ONNX-FOLD" in [code for code, _ in faults(n.model((3, 8, 8)), tmp_path)]


def test_constants_are_folded(tmp_path: Path) -> None:
    n = net(3, 8, 8)
    n.value = n.weights(3, 3, 5, 4)
    n.add("Transpose", perm=[3, 2, 0, 1])
    weights = n.add("Mul", n.constant(np.float32(0.5)))
    n.value = "x"
    n.add("Conv", weights)
    n.add("Reshape", n.constant(np.array([0, 4, -1])))
    model = n.model((3, 8, 8))
    with pytest.raises(CompileError, match="channels do not fit"):
        imported(model, tmp_path)
    model.graph.node[0].attribute[0].ints[:] = [3, 0, 1, 2]
    check(model, (3, 8, 8), tmp_path)


def function_model() -> Any:
    """A model of which the only operator is a function of the file: a convolution and a rectifier."""
    n = net(3, 8, 8)
    n.add("Block", n.weights(4, 3, 3, 3), domain="local")
    model = n.model((3, 8, 8))
    body = [onnx.helper.make_node("Conv", ["x", "w"], ["t"]), onnx.helper.make_node("Relu", ["t"], ["y"])]
    opset = onnx.helper.make_opsetid("", 17)
    model.functions.append(onnx.helper.make_function("local", "Block", ["x", "w"], ["y"], body, [opset]))
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    return model


def test_functions_of_the_file_are_their_bodies(tmp_path: Path) -> None:
    assert names(check(function_model(), (3, 8, 8), tmp_path)) == ["conv2d", "relu"]


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    model = function_model()
    model.functions[0].node[1].op_type, model.functions[0].node[1].domain = "Block", "local"
    model.functions[0].opset_import.append(onnx.helper.make_opsetid("local", 1))
    with pytest.raises(CompileError):
        imported(model, tmp_path)


def test_warnings_and_remarks_reach_the_caller(tmp_path: Path) -> None:
    n = net(4, 6, 6)
    n.add("Conv", n.weights(6, 2, 3, 3), group=2)
    path = tmp_path / "net.onnx"
    path.write_bytes(n.model((4, 6, 6)).SerializeToString())
    notes = Diagnostics()
    import_onnx(path, notes=notes)
    assert [d.code for d in notes] == ["ONNX-GROUPS"]
