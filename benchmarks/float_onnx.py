"""The float32 twin of an `akida2` module: the same layers, NCHW, biases and ReLUs, no quantization."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnn2snn_ir.analysis.layer_ranges import border
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.dialects.akida2 import Activation, Pool
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Op


class FloatGraph:
    """Collects ONNX nodes; a value keeps its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def convert(self, op: Op, inputs: list[str]) -> str:
        """The nodes of one op; returns the name of its result."""
        name = op.results[0].name or "value"
        match op:
            case akida2.InputConv2D() | akida2.Conv2D():
                return self.convolution(op, inputs[0], op.weights.array.transpose(3, 2, 0, 1), 1)
            case akida2.DepthwiseConv2D():
                weights = op.weights.array.transpose(2, 0, 1)[:, None]
                return self.convolution(op, inputs[0], weights, len(weights))
            case akida2.Dense1D():
                flat = self.node("Flatten", inputs, f"{name}_flat")
                parts = [flat, self.weight(f"{name}_w", op.weights.array * 0.01), self.bias(op)]
                return self.node("Gemm", parts, name)
            case akida2.Conv2DTranspose():
                return self.transposed(op, inputs[0])
            case akida2.Concatenate():
                return self.node("Concat", inputs, name, axis=1)
            case akida2.Add():
                return self.node("Add", inputs, name)
            case akida2.Dequantizer():
                return self.node("Identity", inputs, name)
        raise NotImplementedError(op.op_name)

    def bias(self, op: akida2.NeuralLayer) -> str:
        return self.weight(f"{op.result.name}_b", op.bias.array * 0.01)

    def convolution(self, op: akida2.ConvLayer, x: str, weights: np.ndarray, group: int) -> str:
        """Convolution, max pooling, ReLU, average pooling: the order of the hardware."""
        name = op.result.name
        (top, bottom), (left, right) = border(op)
        scale = 0.02 / np.sqrt(np.prod(weights.shape[1:]))
        parts = [x, self.weight(f"{name}_w", weights * scale), self.bias(op)]
        pads, strides = [top, left, bottom, right], [op.stride, op.stride]
        y = self.node("Conv", parts, f"{name}_sums", strides=strides, pads=pads, group=group)
        if op.activation is Activation.RELU:
            y = self.node("Relu", [y], f"{name}_relu")
        if op.pool is Pool.MAX:
            padding = "SAME_UPPER" if op.padding is Padding.SAME else "VALID"
            sizes = {"kernel_shape": op.pool_size, "strides": op.pool_stride}
            y = self.node("MaxPool", [y], f"{name}_pool", auto_pad=padding, **sizes)
        if op.pool is Pool.AVERAGE:
            y = self.node("GlobalAveragePool", [y], f"{name}_average")
        return self.node("Identity", [y], name)

    def transposed(self, op: akida2.Conv2DTranspose, x: str) -> str:
        """Transposed convolution with padding `same` and a kernel no smaller than the stride, and ReLU."""
        name = op.result.name
        before, after = (op.weights.array.shape[0] - op.stride) // 2, -(-(op.weights.array.shape[0] - op.stride) // 2)
        weights = op.weights.array.transpose(2, 3, 0, 1)
        scale = 0.02 * op.stride / np.sqrt(np.prod(op.weights.array.shape[:3]))
        parts = [x, self.weight(f"{name}_w", weights * scale), self.bias(op)]
        pads, strides = [before, before, after, after], [op.stride, op.stride]
        return self.node("Relu", [self.node("ConvTranspose", parts, f"{name}_sums", strides=strides, pads=pads)], name)


def float_model(module: builtin.Module) -> onnx.ModelProto:
    """An ONNX model with input `input`, float32 [batch, channels, height, width]."""
    graph = FloatGraph()
    for op in module.body:
        if not isinstance(op, builtin.Input | builtin.Return):
            graph.convert(op, [v.name or "input" for v in op.operands])
    height, width, channels = module.inputs[0].shape
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, height, width])
    (result,) = module.outputs
    target = helper.make_tensor_value_info(result.name, TensorProto.FLOAT, None)
    body = helper.make_graph(graph.nodes, module.sym_name, [source], [target], graph.weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
