"""Bias correction: quantized weights shift the mean of every channel; the bias takes the shift back."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.keras.calibration.sampler import QuantizationSampler, to_array
from cnn2snn_ir.keras.errors import refuse
from cnn2snn_ir.keras.graph import Array, Node, build_model, read_graph
from cnn2snn_ir.keras.layers import QuantizedLayer


def bias_correction(model: Any, samples: Any, batch_size: int | None = None) -> Any:
    """A copy of the model whose quantized layers give, on average over the samples, what their float weights give.

    Each layer in order gets bias += mean(float − quantized) over all samples and positions, for every channel; its
    mean squared error before and after is printed.  Layers without a bias get one.  Correct a model once: the float
    weights do not remember a correction, so a second one would add it again.

    Args:
        model: a quantized model.
        samples: array [samples, …] of the shape of the model's input.
        batch_size: samples at a time; all at once if it is None.  It does not change the result.

    Raises:
        QuantizationError: if nothing in the model is quantized, or it does not take the samples.
    """
    graph = read_graph(model)
    for node in graph.nodes:
        if node.holds(QuantizedLayer) and not node.content.config["use_bias"]:
            add_bias(node)
    result = build_model(graph)
    sampler = QuantizationSampler(result, samples, batch_size)
    require_quantized(sampler)
    for layer in sampler.layers:
        sampler.select_layer(layer)
        shift, before = mean_difference(sampler)
        layer.bias.assign(layer.bias + shift.astype(layer.bias.dtype))
        after = before - float(np.mean(shift**2))  # what subtracting the mean takes from the mean square
        print(f"{layer.name}: mean squared error {before:.4g} -> {max(after, 0.0):.4g}")
    return result


def require_quantized(sampler: QuantizationSampler) -> None:
    """There must be something to calibrate."""
    if not sampler.layers:
        raise refuse(
            "CALIBRATE-FLOAT", "no layer of the model is quantized", where=sampler.model.name, help="quantize it first"
        )


def add_bias(node: Node) -> None:
    """Give a layer a bias of zeros."""
    node.content.config["use_bias"] = True
    node.content.weights.append(np.zeros(node.tensor.shape[-1], node.content.weights[0].dtype))


def mean_difference(sampler: QuantizationSampler) -> tuple[Array, float]:
    """The mean of float − quantized for every channel, and the mean of its square over all."""
    total: Array = np.zeros(())
    squares: Array = np.zeros(())
    count = 0
    for batch_id in range(len(sampler.batches)):
        inputs = sampler.inputs(batch_id)
        difference = to_array(sampler.unquantized(inputs)) - to_array(sampler.quantized(inputs))
        difference = difference.reshape(-1, difference.shape[-1])
        total = total + difference.sum(axis=0)
        squares = squares + (difference**2).sum(axis=0)
        count += len(difference)
    return total / count, float(np.mean(squares / count))
