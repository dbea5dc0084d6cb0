"""What a quantized layer gives for samples, and what it would give with its float weights.

Both read what the model, as it is quantized, brings to the layer; so they differ by the weights of this layer alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnn2snn_ir.keras.activations import QuantizedActivation
from cnn2snn_ir.keras.calibration.samples import in_batches
from cnn2snn_ir.keras.errors import refuse
from cnn2snn_ir.keras.graph import Array, Content, Node, read_graph
from cnn2snn_ir.keras.layers import QuantizedLayer

NEURAL = (
    QuantizedLayer,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
)


class QuantizationSampler:
    """Looks at the outputs of one layer of a model at a time, `select_layer` says which.

    Args:
        model: a Sequential or functional model with one input.
        samples: array [samples, …] of the shape of the model's input.
        batch_size: samples at a time; all at once if it is None.  The last batch may be smaller.

    Raises:
        QuantizationError: if the model does not take the samples.
    """

    def __init__(self, model: Any, samples: Any, batch_size: int | None = None) -> None:
        self.model = model
        self.graph = read_graph(model)
        if len(self.graph.inputs) != 1:
            names = ", ".join(node.content.name for node in self.graph.inputs)
            raise refuse("TRANSFORM-ENDS", "the model must have one input", where=model.name, found=names)
        self.batches = in_batches(model, samples, batch_size)
        self.layer: Any = None

    @property
    def layers(self) -> list[Any]:
        """The quantized layers of the model, in the order of computation."""
        return [node.content.source for node in self.graph.nodes if node.holds(QuantizedLayer)]

    def select_layer(self, layer: Any) -> None:
        """Look at a layer from now on.

        Args:
            layer: a quantized layer of the model, or its name.

        Raises:
            QuantizationError: if the model has no such layer, or it is not quantized.
        """
        node = self.find(layer)
        source = node.inputs[0]
        self.layer = node.content.source
        self._before = None if source.is_input else keras.Model(self.model.inputs[0], source.tensor)
        self._twin = float_twin(self.layer, source.shape)

    def find(self, layer: Any) -> Node:
        """The node of a layer or of a name."""
        fits = [node for node in self.graph.nodes if layer in (node.content.name, node.content.source)]
        if not fits or not fits[0].holds(QuantizedLayer):
            raise refuse(
                "CALIBRATE-LAYER",
                "this layer is not quantized" if fits else "the model has no such layer",
                where=str(getattr(layer, "name", layer)),
                allowed=", ".join(each.name for each in self.layers) or "none",
            )
        return fits[0]

    def inputs(self, batch_id: int) -> Any:
        """What the model brings to the layer for a batch."""
        self.require_layer()
        batch = keras.ops.convert_to_tensor(self.batches[batch_id])
        return batch if self._before is None else self._before(batch, training=False)

    def quantized_outputs(self, batch_id: int) -> Any:
        """What the layer gives for a batch."""
        return self.quantized(self.inputs(batch_id))

    def float_outputs(self, batch_id: int) -> Any:
        """What the layer would give for a batch if its weights were not quantized."""
        return self.unquantized(self.inputs(batch_id))

    def quantized(self, inputs: Any) -> Any:
        """The layer, applied."""
        return self.layer(inputs, training=False)

    def unquantized(self, inputs: Any) -> Any:
        """The layer with float weights, applied."""
        self._twin.set_weights(self.layer.get_weights()[: len(self._twin.weights)])
        return self._twin(inputs, training=False)

    def quantization_error(self, metric: Any = "mse") -> float:
        """The mean over all samples of a metric or loss of Keras, or another function (float, quantized) ▶ numbers."""
        measure = keras.losses.get(metric) if isinstance(metric, str) else metric
        total = 0.0
        for batch_id, batch in enumerate(self.batches):
            inputs = self.inputs(batch_id)
            errors = measure(self.unquantized(inputs), self.quantized(inputs))
            total += float(np.mean(keras.ops.convert_to_numpy(errors))) * len(batch)
        return total / sum(map(len, self.batches))

    def require_layer(self) -> None:
        """A layer must have been selected."""
        if self.layer is None:
            raise refuse("CALIBRATE-LAYER", "no layer is selected", help="call select_layer first")


def float_twin(layer: Any, input_shape: tuple[int | None, ...]) -> Any:
    """A layer of Keras that computes what a quantized one would with float weights; it has weights of its own."""
    kind = next(base for base in type(layer).__mro__ if not issubclass(base, QuantizedLayer))
    settings = {name: value for name, value in layer.get_config().items() if name not in layer.quantizers}
    twin = Content(kind, {**settings, "trainable": True}, [], layer).create()
    twin.build(input_shape)
    return twin


def next_activation(layer: Any) -> Any:
    """The quantized activation that follows a layer, or None behind other weights, branches and joins."""
    path = path_to_activation(layer)
    return path[-1] if path else None


def path_to_activation(layer: Any) -> list[Any]:
    """The layers behind `layer` up to its quantized activation; none if there is no activation of its own."""
    path: list[Any] = []
    while True:
        calls = {id(call.operation): call for call in layer._outbound_nodes}
        if len(calls) != 1:
            return []
        (call,) = calls.values()
        layer = call.operation
        if isinstance(layer, (*NEURAL, keras.Model)) or len(call.input_tensors) != 1:
            return []
        path.append(layer)
        if isinstance(layer, QuantizedActivation):
            return path


def apply(path: list[Any], outputs: Any) -> Any:
    """The layers of a path, one after the other."""
    for layer in path:
        outputs = layer(outputs)
    return outputs


def to_array(tensor: Any) -> Array:
    """A tensor as float64, to sum up."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)
