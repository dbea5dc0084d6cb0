"""Make a float model with its quantized counterpart, its ONNX twin, and what Keras computes with it.

usage: python make_float.py OUTDIR

Needs an environment with `quantizeml` (see README.md beside this file).  The network is small, and has what makes
float and quantized layers differ: batch normalizations before and behind a pooling, a ReLU before a pooling, a
convolution with an activation of its own, outputs whose range QuantizeML moves into the next weights.

    twin_float.h5     the float model, as tf_keras saves it
    twin_float.onnx   the same, channels first, nodes named as tf2onnx names them
    twin_i8_w8_a8.h5  quantized by QuantizeML
    twin_float.npz    samples `x`, and the output of every float layer by its name
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from make_models import Entry, quantized_model, save, spread_weights, structured_samples
from onnx import TensorProto, helper, numpy_helper
from tf_keras import Input, Model, layers, utils

SHAPE = (12, 10, 3)
ENTRY = Entry("twin", "twin", samples=4)


def network() -> Model:
    """The float model."""
    x = inputs = Input(SHAPE, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255, name="rescaling")(x)
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="c1")(x)
    x = layers.BatchNormalization(name="c1_bn")(x)
    x = layers.ReLU(6.0, name="c1_relu")(x)
    x = layers.MaxPool2D(2, padding="same", name="c1_pool")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="c2")(x)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="c3")(x)
    x = layers.MaxPool2D(2, padding="same", name="c3_pool")(x)
    x = layers.BatchNormalization(name="c3_bn")(x)
    x = shortcut = layers.ReLU(6.0, name="c3_relu")(x)
    x = layers.Conv2D(8, 3, padding="same", name="c4")(x)
    x = layers.ReLU(6.0, name="c4_relu")(x)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.Conv2D(5, 1, name="c5")(x)
    x = layers.ReLU(6.0, name="c5_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4, name="dense")(x)
    return Model(inputs, layers.Softmax(name="classes")(x), name="twin")


class OnnxGraph:
    """The same layers as ONNX nodes; tensors are called after the nodes."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, layer: str, kind: str, inputs: list[str], *constants: Any, **attributes: Any) -> str:
        """A node of a layer; constants follow its inputs."""
        name = f"twin/{layer}/{kind}"
        names = [f"{name}/{number}" for number in range(len(constants))]
        arrays = zip(constants, names, strict=True)
        self.weights += [numpy_helper.from_array(np.ascontiguousarray(c), n) for c, n in arrays]
        self.nodes.append(helper.make_node(kind, [*inputs, *names], [f"{name}:0"], name=name, **attributes))
        return f"{name}:0"

    def layer(self, name: str, inputs: list[str]) -> str:
        """The nodes of one layer."""
        made = self.model.get_layer(name)
        variables = [w.astype(np.float32) for w in made.get_weights()]
        match type(made).__name__:
            case "Rescaling":
                return self.node(name, "Mul", inputs, np.float32(made.scale))
            case "Conv2D":
                kernel, *bias = variables
                x = self.node(name, "Conv", inputs, kernel.transpose(3, 2, 0, 1), *bias, auto_pad="SAME_UPPER")
                return self.node(name, "Relu", [x]) if made.activation.__name__ == "relu" else x
            case "BatchNormalization":
                return self.node(name, "BatchNormalization", inputs, *variables, epsilon=made.epsilon)
            case "ReLU":
                return self.node(name, "Clip", inputs, np.float32(0), np.float32(made.max_value))
            case "MaxPooling2D":
                sizes = {"kernel_shape": made.pool_size, "strides": made.strides}
                return self.node(name, "MaxPool", inputs, auto_pad="SAME_UPPER", **sizes)
            case "Flatten":
                x = self.node(name, "Transpose", inputs, perm=(0, 2, 3, 1))
                return self.node(name, "Reshape", [x], np.array([0, -1]))
            case "Dense":
                return self.node(name, "Add", [self.node(name, "MatMul", inputs, variables[0])], variables[1])
            case kind:
                return self.node(name, kind, inputs)


def to_onnx(model: Model) -> onnx.ModelProto:
    """The float model as ONNX."""
    graph, results = OnnxGraph(model), {"image": "image"}
    for layer in model.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        results[layer.name] = graph.layer(layer.name, [results[s.node.layer.name] for s in sources])
    height, width, channels = SHAPE
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, height, width])
    output = helper.make_tensor_value_info(results[model.layers[-1].name], TensorProto.FLOAT, ["batch", 4])
    made = helper.make_graph(graph.nodes, "twin", [given], [output], graph.weights)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def main() -> None:
    """Command line."""
    outdir = Path(sys.argv[1])
    outdir.mkdir(parents=True, exist_ok=True)
    utils.set_random_seed(ENTRY.seed())
    samples = structured_samples(ENTRY, SHAPE)
    calibration, x = samples[: -ENTRY.samples], samples[-ENTRY.samples :]
    model = network()
    spread_weights(model, calibration, np.random.default_rng(ENTRY.seed("/weights")))
    save(model, outdir / "twin_float.h5")
    onnx.save(to_onnx(model), outdir / "twin_float.onnx")
    save(quantized_model(ENTRY, model, calibration), outdir / "twin_i8_w8_a8.h5")
    probe = Model(model.inputs, [layer.output for layer in model.layers])
    outputs = dict(zip([layer.name for layer in model.layers], probe(x, training=False), strict=True))
    np.savez_compressed(outdir / "twin_float.npz", x=x, **{name: np.asarray(o) for name, o in outputs.items()})


if __name__ == "__main__":
    main()
