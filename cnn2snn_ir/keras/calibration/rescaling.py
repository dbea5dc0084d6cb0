"""Quantized activations that end where the values end, so that no level is wasted."""

from __future__ import annotations

from typing import Any

from cnn2snn_ir.keras.activations import QuantizedReLU
from cnn2snn_ir.keras.calibration.sampler import QuantizationSampler, apply, path_to_activation, to_array
from cnn2snn_ir.keras.graph import build_model, read_graph


def activations_rescaling(model: Any, samples: Any, batch_size: int | None = None) -> Any:
    """A copy of the model in which each QuantizedReLU ends at the largest value that it gives for the samples.

    The value is that behind the layer before it with float weights, over all samples; it can only lower `max_value`.
    The layers are taken in order, each with the activations before it as already rescaled.  An activation that
    gives nothing but zeros keeps its end.

    Args:
        model: a quantized model.
        samples: array [samples, …] of the shape of the model's input.
        batch_size: samples at a time; all at once if it is None.

    Raises:
        QuantizationError: if the model does not take the samples.
    """
    result = build_model(read_graph(model))
    sampler = QuantizationSampler(result, samples, batch_size)
    for layer in sampler.layers:
        path = path_to_activation(layer)
        if not path or not isinstance(path[-1], QuantizedReLU):
            continue
        sampler.select_layer(layer)
        largest = max(
            float(to_array(apply(path, sampler.float_outputs(batch_id))).max())
            for batch_id in range(len(sampler.batches))
        )
        if 0 < largest < path[-1].max_value:
            path[-1].max_value = largest
    return result
