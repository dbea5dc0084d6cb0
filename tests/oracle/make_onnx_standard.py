"""Standard ONNX models quantized by onnxruntime, and what onnxruntime computes with them, optimisations off.

    python make_onnx_standard.py ../fixtures/onnx_standard

Needs onnx and onnxruntime.  One small network with random weights, in every format that `quantize_static` writes;
beside each model an `.npz` with every value that it rounds.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SHAPE = (3, 12, 10)
U8, S8, U16, S16 = QuantType.QUInt8, QuantType.QInt8, QuantType.QUInt16, QuantType.QInt16
PER_CHANNEL = {"QDQDisableWeightAdjustForInt32Bias": True}  # without it onnxruntime 1.23 fails on vectors of scales

VARIANTS: dict[str, dict[str, Any]] = {
    "qdq_u8": {"quant_format": QuantFormat.QDQ, "activation_type": U8, "weight_type": U8},
    "qdq_s8": {"quant_format": QuantFormat.QDQ, "activation_type": S8, "weight_type": S8},
    "qdq_s8_symmetric": {
        "quant_format": QuantFormat.QDQ, "activation_type": S8, "weight_type": S8,
        "extra_options": {"ActivationSymmetric": True, "WeightSymmetric": True},
    },
    "qdq_u8_per_channel": {
        "quant_format": QuantFormat.QDQ, "activation_type": U8, "weight_type": S8, "per_channel": True,
        "extra_options": PER_CHANNEL,
    },
    "qdq_u16": {"quant_format": QuantFormat.QDQ, "activation_type": U16, "weight_type": S8},
    "qdq_s16": {
        "quant_format": QuantFormat.QDQ, "activation_type": S16, "weight_type": S8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "qoperator_u8": {"quant_format": QuantFormat.QOperator, "activation_type": U8, "weight_type": U8},
    "qoperator_u8_s8": {"quant_format": QuantFormat.QOperator, "activation_type": U8, "weight_type": S8},
    "qoperator_s8": {"quant_format": QuantFormat.QOperator, "activation_type": S8, "weight_type": S8},
}  # fmt: skip
"""Fixture ▶ arguments of `quantize_static`."""


class Samples(CalibrationDataReader):
    """Inputs for the calibration, one by one."""

    def __init__(self, x: Any) -> None:
        self.rest = iter([{"x": sample[None]} for sample in x])

    def get_next(self) -> Any:
        return next(self.rest, None)


def float_model(random: np.random.Generator) -> Any:
    """A network with a branch, a depthwise convolution, a concatenation, poolings and a classifier."""
    constants: list[Any] = []

    def weights(name: str, *shape: int) -> str:
        values = random.normal(size=shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.25)
        constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(op, inputs, [output], name=output, **attributes)

    nodes = [
        node("Conv", ["x", weights("w1", 8, 3, 3, 3), weights("b1", 8)], "conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["conv1"], "relu1"),
        node("Conv", ["relu1", weights("w2", 8, 1, 3, 3), weights("b2", 8)], "dw", pads=[1, 1, 1, 1], group=8),
        node("Relu", ["dw"], "relu2"),
        node("Conv", ["relu2", weights("w3", 8, 8, 1, 1), weights("b3", 8)], "conv3"),
        node("Add", ["conv3", "relu1"], "add"),
        node("MaxPool", ["add"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["pool", weights("w4", 6, 8, 3, 3), weights("b4", 6)], "conv4", pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["conv4"], "leaky", alpha=0.1),
        node("Concat", ["leaky", "pool"], "concat", axis=1),
        node("AveragePool", ["concat"], "average", kernel_shape=[2, 2]),
        node("Flatten", ["average"], "flat"),
        node("Gemm", ["flat", weights("w5", 5, 14 * 2), weights("b5", 5)], "y", transB=1),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])
    graph = helper.make_graph(nodes, "small", [given], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def observed(model: Any) -> list[str]:
    """The values that are compared: what is dequantized, what operators on integers give, and the output."""
    stored = {t.name for t in model.graph.initializer}
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type.startswith(("QLinear", "QGemm"))
        or (node.op_type == "DequantizeLinear" and node.input[0] not in stored)
    ]
    return list(dict.fromkeys([*names, model.graph.output[0].name]))


def outputs(model: Any, x: Any) -> dict[str, Any]:
    """What onnxruntime computes, node by node as the file says."""
    names, model = observed(model), onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    random = np.random.default_rng(21)
    model, x = float_model(random), random.normal(size=(40, *SHAPE)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "samples.npz", x=x[:4])
    record(folder / "float.onnx", model, x[:4])
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "float.onnx", Path(scratch) / "quantized.onnx"
        onnx.save(model, source)
        for name, arguments in VARIANTS.items():
            quantize_static(source, target, Samples(x), **arguments)
            record(folder / f"{name}.onnx", onnx.load(target), x[:4])


def record(path: Path, model: Any, x: Any) -> None:
    """Write a model, and beside it what is computed from the samples."""
    path.write_bytes(model.SerializeToString())
    np.savez_compressed(path.with_suffix(".npz"), **outputs(model, x))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
