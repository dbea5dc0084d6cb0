"""The float32 twin of an `akida2` module: the same layers, NCHW, biases and ReLUs, no quantization.

A FIFO is an input and an output of the twin: [batch, frames · channels, height, width], or for a depthwise convolution
[batch, channels, frames, height, width], which makes that a grouped one.  A recurrence is a `Scan`, onnxruntime's loop
over time.  Every table is taken to be a swish.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnn2snn_ir.analysis.layer_ranges import border
from cnn2snn_ir.dialects import akida2, builtin, nn
from cnn2snn_ir.dialects.akida2 import Activation, Pool
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Op, Value


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

    def integers(self, name: str, *values: int) -> str:
        """Constant shapes, axes and indices."""
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
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
                return self.transposed(op, inputs[0], op.weights.array.transpose(2, 3, 0, 1), 1)
            case akida2.DepthwiseConv2DTranspose():
                weights = op.weights.array.transpose(2, 0, 1)[:, None]
                return self.transposed(op, inputs[0], weights, len(weights))
            case akida2.BufferTempConv():
                window = self.node("Concat", [inputs[1], inputs[0]], f"{name}_window", axis=1)
                return self.convolution(op, window, op.weights.array.transpose(3, 2, 0, 1), 1)
            case akida2.DepthwiseBufferTempConv():
                return self.depthwise_over_time(op, *inputs)
            case akida2.FifoPush():
                return self.push(op, *inputs)
            case akida2.Concatenate():
                return self.node("Concat", inputs, name, axis=1)
            case akida2.StatefulRecurrent():
                return self.recurrence(op, *inputs)
            case akida2.Add():
                return self.node("Add", inputs, name)
            case akida2.Quantizer() | akida2.Dequantizer():
                return self.node("Identity", inputs, name)
            case nn.Reshape():
                return self.node("Reshape", [*inputs, self.integers(f"{name}_shape", -1, *op.shape)], name)
        raise NotImplementedError(op.op_name)

    def bias(self, op: akida2.NeuralLayer) -> str:
        return self.weight(f"{op.results[0].name}_b", op.bias.array * 0.01)

    def convolution(self, op: akida2.NeuralLayer, x: str, weights: np.ndarray, group: int) -> str:
        """Convolution, max pooling, activation, average pooling: the order of the hardware."""
        name = op.result.name
        scale = 0.02 / np.sqrt(np.prod(weights.shape[1:]))
        parts = [x, self.weight(f"{name}_w", weights * scale), self.bias(op)]
        if not isinstance(op, akida2.ConvLayer):
            return self.activated(op, self.node("Conv", parts, f"{name}_sums", group=group), name)
        (top, bottom), (left, right) = border(op)
        pads, strides = [top, left, bottom, right], [op.stride, op.stride]
        y = self.node("Conv", parts, f"{name}_sums", strides=strides, pads=pads, group=group)
        y = self.activated(op, y, f"{name}_activated")
        if op.pool is Pool.MAX:
            padding = "SAME_UPPER" if op.padding is Padding.SAME else "VALID"
            sizes = {"kernel_shape": op.pool_size, "strides": op.pool_stride}
            y = self.node("MaxPool", [y], f"{name}_pool", auto_pad=padding, **sizes)
        if op.pool is Pool.AVERAGE:
            y = self.node("GlobalAveragePool", [y], f"{name}_average")
        return self.node("Identity", [y], name)

    def activated(self, op: akida2.NeuralLayer, x: str, name: str) -> str:
        """The activation."""
        if op.activation is Activation.RELU:
            return self.node("Relu", [x], name)
        if op.activation is Activation.LUT:
            return self.node("Mul", [x, self.node("Sigmoid", [x], f"{name}_sigmoid")], name)
        return self.node("Identity", [x], name)

    def depthwise_over_time(self, op: akida2.DepthwiseBufferTempConv, x: str, fifo: str) -> str:
        """The frames of each channel side by side; of the ways to say it, the fastest in onnxruntime."""
        name, (frames, channels) = op.result.name, op.weights.array.shape
        newest = self.node("Unsqueeze", [x, self.integers(f"{name}_axis", 2)], f"{name}_newest")
        window = self.node("Concat", [fifo, newest], f"{name}_window", axis=2)
        shape = self.integers(f"{name}_shape", 0, frames * channels, *op.x.type.per_sample[:2])
        flat = self.node("Reshape", [window, shape], f"{name}_flat")
        return self.convolution(op, flat, op.weights.array.T[:, :, None, None], channels)

    def recurrence(self, op: akida2.StatefulRecurrent, x: str, real: str, imaginary: str) -> str:
        """Time first, a projection, the loop, a projection, ReLU, and channels first again."""
        name, after_real, after_imaginary = (result.name for result in op.results)
        height = self.integers(f"{name}_height", 2)
        steps = self.node(
            "Transpose", [self.node("Squeeze", [x, height], f"{name}_flat")], f"{name}_steps", perm=[2, 0, 1]
        )
        u = self.node("MatMul", [steps, self.weight(f"{name}_in", op.in_weights.array * 0.01)], f"{name}_u")
        states = f"{name}_states"
        body = rotation(name, op.a_real.array / 2.0**15, op.a_imaginary.array / 2.0**15)
        loop = helper.make_node(
            "Scan", [real, imaginary, u], [after_real, after_imaginary, states], body=body, num_scan_inputs=1
        )
        self.nodes.append(loop)
        sums = self.node("MatMul", [states, self.weight(f"{name}_out", op.weights.array * 0.01)], f"{name}_sums")
        y = self.node("Relu", [self.node("Add", [sums, self.bias(op)], f"{name}_biased")], f"{name}_y")
        return self.node("Unsqueeze", [self.node("Transpose", [y], f"{name}_back", perm=[1, 2, 0]), height], name)

    def push(self, op: akida2.FifoPush, fifo: str, x: str) -> str:
        """The frames without the oldest, and the newest one."""
        name, channels = op.result.name, op.x.type.channels
        axis, first = (2, 1) if frames_first(op.fifo) else (1, channels)
        bounds = [self.integers(f"{name}_{k}", v) for k, v in (("from", first), ("to", 2**31), ("axis", axis))]
        kept = self.node("Slice", [fifo, *bounds], f"{name}_kept")
        newest = self.node("Unsqueeze", [x, f"{name}_axis"], f"{name}_newest") if axis == 2 else x
        return self.node("Concat", [kept, newest], name, axis=axis)

    def transposed(self, op: akida2.TransposedLayer, x: str, weights: np.ndarray, group: int) -> str:
        """Transposed convolution with padding `same` and a kernel no smaller than the stride, and ReLU."""
        name = op.result.name
        before, after = (op.weights.array.shape[0] - op.stride) // 2, -(-(op.weights.array.shape[0] - op.stride) // 2)
        scale = 0.02 * op.stride / np.sqrt(weights.size / weights.shape[1] / group)
        parts = [x, self.weight(f"{name}_w", weights * scale), self.bias(op)]
        pads, strides = [before, before, after, after], [op.stride, op.stride]
        sums = {"strides": strides, "pads": pads, "group": group}
        return self.node("Relu", [self.node("ConvTranspose", parts, f"{name}_sums", **sums)], name)


def rotation(name: str, a_real: np.ndarray, a_imaginary: np.ndarray) -> onnx.GraphProto:
    """One step of a recurrence: the new state, and its real part once more for the sequence."""
    graph = FloatGraph()
    a, b = graph.weight(f"{name}_a", a_real), graph.weight(f"{name}_b", a_imaginary)
    turned = graph.node("Sub", [graph.node("Mul", ["re", a], "re_a"), graph.node("Mul", ["im", b], "im_b")], "turned")
    graph.node("Add", [turned, "u"], "new_re")
    graph.node("Add", [graph.node("Mul", ["re", b], "re_b"), graph.node("Mul", ["im", a], "im_a")], "new_im")
    graph.node("Identity", ["new_re"], "step")
    values = [helper.make_tensor_value_info(v, TensorProto.FLOAT, None) for v in ("re", "im", "u")]
    results = [helper.make_tensor_value_info(v, TensorProto.FLOAT, None) for v in ("new_re", "new_im", "step")]
    return helper.make_graph(graph.nodes, f"{name}_step", values, results, graph.weights)


def frames_first(fifo: Value) -> bool:
    """True if the twin of `fifo` has an axis for its frames."""
    return any(isinstance(op, akida2.DepthwiseBufferTempConv) for op in fifo.users)


def memories(module: builtin.Module) -> dict[str, tuple[int, ...]]:
    """What the twin remembers, by name: shapes of a sample."""
    shapes = {}
    for op in module.states:
        if len(op.shape) == 1:  # of a recurrence
            shapes[op.sym_name] = op.shape
            continue
        height, width, frames, channels = op.shape
        leading = (channels, frames) if frames_first(op.result) else (frames * channels,)
        shapes[op.sym_name] = (*leading, height, width)
    return shapes


def float_model(module: builtin.Module) -> onnx.ModelProto:
    """An ONNX model with input `input`, float32 [batch, channels, height, width], and `memories` in and out."""
    graph, stored = FloatGraph(), []
    for op in module.body:
        if isinstance(op, builtin.Store):
            stored.append(op.value.name)
        elif not isinstance(op, builtin.Input | builtin.State | builtin.Return):
            graph.convert(op, [v.name or "input" for v in op.operands])
    height, width, channels = module.inputs[0].shape
    inputs = {"input": (channels, height, width)} | memories(module)
    sources = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in inputs.items()]
    outputs = [*(v.name for v in module.outputs), *stored]
    targets = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    body = helper.make_graph(graph.nodes, module.sym_name, sources, targets, graph.weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
