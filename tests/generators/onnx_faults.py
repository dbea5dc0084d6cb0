"""Ways to spoil an ONNX model: attributes, operands, operators, constants and shapes that are not what they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 7, 2**31, 2**62)
KINDS = ("float64", "float16", "int8", "uint8", "int32", "int64", "bool", "float32")
OPERATORS = [
    "Add",
    "Mul",
    "Sub",
    "Div",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Relu",
    "Clip",
    "PRelu",
    "Softmax",
    "Concat",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "Pad",
    "Resize",
    "Upsample",
    "DepthToSpace",
    "ReduceMean",
    "Shape",
    "Gather",
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "Erf",
    "Cast",
    "Max",
    "Sum",
    "Dropout",
    "Identity",
    "GlobalMaxPool",
    "HardSigmoid",
    "Slice",
    "Expand",
    "Constant",
    "Loop",
]


def choice(random: np.random.Generator, options: Any) -> Any:
    return options[int(random.integers(len(options)))]


def spoil_attribute(model: Any, random: np.random.Generator) -> None:
    attributes = [a for n in model.graph.node for a in n.attribute]
    if not attributes:
        return
    attribute = choice(random, attributes)
    if attribute.ints:
        values = list(attribute.ints)
        values[int(random.integers(len(values)))] = choice(random, NUMBERS)
        if random.random() < 0.2:
            values.append(1)
        attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, values))
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = choice(random, NUMBERS)
    elif random.random() < 0.5:
        attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, choice(random, ("text", 3, 0.5, [1, 2], [0.5]))))
    else:
        attribute.f = choice(random, (float("nan"), float("inf"), -1.0, 0.0, 1e38))


def spoil_operand(model: Any, random: np.random.Generator) -> None:
    node = choice(random, model.graph.node)
    earlier = [name for n in model.graph.node for name in n.output]
    names = ["x", "", *(i.name for i in model.graph.initializer), *earlier[: list(earlier).index(node.output[0])]]
    way = random.random()
    if way < 0.5 and node.input:
        node.input[int(random.integers(len(node.input)))] = choice(random, names)
    elif way < 0.75:
        node.input.append(choice(random, names))
    elif node.input:
        del node.input[-1]


def spoil_operator(model: Any, random: np.random.Generator) -> None:
    choice(random, model.graph.node).op_type = choice(random, OPERATORS)


def spoil_constant(model: Any, random: np.random.Generator) -> None:
    if not model.graph.initializer:
        return
    tensor = choice(random, model.graph.initializer)
    values = onnx.numpy_helper.to_array(tensor)
    way = random.random()
    if way < 0.3:
        with np.errstate(all="ignore"):
            values = values.astype(choice(random, KINDS))
    elif way < 0.6:
        values = values.reshape(choice(random, ((-1,), (1, *values.shape), (*values.shape, 1), values.shape[::-1])))
    elif way < 0.8 and values.size:
        values = values.copy().reshape(-1)[: int(random.integers(values.size + 1))]
    elif values.size:
        values = values.copy()
        values.reshape(-1)[0] = 0 if random.random() < 0.5 else -1
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def spoil_shape(model: Any, random: np.random.Generator) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    way = random.random()
    if way < 0.4:
        choice(random, dims).dim_value = choice(random, NUMBERS)
    elif way < 0.6:
        del dims[-1]
    elif way < 0.8:
        dims.add().dim_value = 2
    else:
        model.graph.input[0].type.tensor_type.elem_type = int(random.integers(1, 24))


def spoil_version(model: Any, random: np.random.Generator) -> None:
    model.opset_import[0].version = int(random.integers(1, 25))


WAYS: tuple[Callable[[Any, np.random.Generator], None], ...] = (
    spoil_attribute, spoil_operand, spoil_operator, spoil_constant, spoil_shape, spoil_version,
)  # fmt: skip


def spoiled(model: Any, seed: int) -> Any:
    """A copy of a model with one to three faults."""
    model, random = onnx.ModelProto.FromString(model.SerializeToString()), np.random.default_rng(seed)
    for _ in range(int(random.integers(1, 4))):
        choice(random, WAYS)(model, random)
    return model
