"""`cnn2snn run`: a program on samples, or on streams step by step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.tools.sample_streams import opened_samples
from cnn2snn_ir.tools.samples import Array, check_streams, write_array

MOST_CLASSES = 32
"""Predicted classes that are printed."""


def run(program: Path, inputs: Path, output: Path | None, batch: int | None) -> list[str]:
    """Predict block by block, write the predictions where wanted, and say what came out."""
    model = Model(program)
    with opened_samples(inputs, model.module) as samples:
        if model.module.states:
            check_streams(inputs, samples.shape, model.module)
        kept: list[Array] = []
        classes: list[Array] = []
        for block in samples.blocks:
            predictions = predict(model, block, batch)
            leading = predictions.shape[: predictions.ndim - len(model.output_shape)]
            classes.append(predictions.reshape(*leading, math.prod(model.output_shape)).argmax(axis=-1))
            kept += [predictions] if output is not None else []
        if not classes:  # not one sample: the shapes of nothing
            predictions = predict(model, np.empty(samples.shape, model.module.inputs[0].element.dtype), batch)
            classes, kept = [np.empty(predictions.shape[:1], np.int64)], [predictions]
        if output is not None:
            write_array(output, np.concatenate(kept))
        return summary(model, samples.shape, np.concatenate(classes), samples.labels, output is not None)


def summary(model: Model, shape: tuple[int, ...], classes: Array, labels: Array | None, written: bool) -> list[str]:
    """What came out: the accuracy, or the classes unless they are written."""
    counted = f"{shape[0]} steps of {shape[1]} streams" if model.module.states else f"{shape[0]} samples"
    lines = [f"{counted}, output shape {model.output_shape}"]
    if labels is not None:
        hits = classes == labels
        lines.append(f"accuracy {hits.mean():.4f} ({hits.sum()} of {hits.size})" if hits.size else "no samples")
    elif not written:
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
