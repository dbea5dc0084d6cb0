"""`cnn2snn run`: a program on samples, or on streams step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.tools.samples import Array, read_samples, write_array

MOST_CLASSES = 32
"""Predicted classes that are printed."""


def run(program: Path, inputs: Path, output: Path | None, batch: int | None) -> list[str]:
    """Predict, write the predictions where wanted, and say what came out."""
    model = Model(program)
    samples, labels = read_samples(inputs, model.module)
    predictions = predict(model, samples, batch)
    if output is not None:
        write_array(output, predictions)
    shape = f"output shape {model.output_shape}"
    if model.module.states:
        lines = [f"{samples.shape[0]} steps of {samples.shape[1]} streams, {shape}"]
    else:
        lines = [f"{len(samples)} samples, {shape}"]
    classes = predictions.reshape(*predictions.shape[: predictions.ndim - len(model.output_shape)], -1).argmax(axis=-1)
    if labels is not None:
        hits = classes == labels
        lines.append(f"accuracy {hits.mean():.4f} ({hits.sum()} of {hits.size})" if hits.size else "no samples")
    elif output is None:
        shown = classes.reshape(-1)
        lines.append(
            "classes " + " ".join(map(str, shown[:MOST_CLASSES])) + (" …" if len(shown) > MOST_CLASSES else "")
        )
    return lines


def predict(model: Model, samples: Array, batch: int | None) -> Array:
    """The predictions for `[samples, …]`, or for `[steps, streams, …]` if the model remembers."""
    if not model.module.states:
        return model.predict(samples, batch_size=batch)
    predictions = np.empty((*samples.shape[:2], *model.output_shape), model.module.outputs[0].type.element.dtype)
    for prediction, step in zip(predictions, samples, strict=True):
        prediction[...] = model.predict(step, batch_size=batch)
    return predictions
