"""`cnn2snn calibrate`: a better quantized model from samples.

Both methods begin with activations that end where the values end, and separable layers with depthwise filters of one
size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, fail
from cnn2snn_ir.tools import keras_models
from cnn2snn_ir.tools.samples import Array, read_arrays

LABELS = "y"
"""The array that holds labels if there are others, as in `cnn2snn run`."""


def calibrated_path(model: Path, method: str) -> Path:
    """Where the calibrated model goes: beside the one that was read, the method in the name."""
    return model.parent / f"{model.stem}_{method}_calibrated.h5"


def calibrate_by_bias_correction(path: Path, samples: Path, batch_size: int | None) -> Any:
    """The model of a file with corrected biases; raises `CompileError`."""
    model, images = load(path, samples)
    from cnn2snn_ir.keras.calibration import bias_correction

    return bias_correction(prepared(model, images, batch_size), images, batch_size)


def calibrate_by_adaround(
    path: Path, samples: Path, batch_size: int | None, epochs: int, learning_rate: float, include_activation: bool
) -> Any:
    """The model of a file with learned rounding; raises `CompileError`."""
    if not 0 < learning_rate < float("inf"):
        message = "the learning rate must be a positive number"
        raise fail("CALIBRATE-ARGUMENT", message, where="learning_rate", found=str(learning_rate))
    model, images = load(path, samples)
    from cnn2snn_ir.keras.calibration import adaround

    ready = prepared(model, images, batch_size)
    optimizer = {"class_name": "Adam", "config": {"learning_rate": learning_rate}}
    return adaround(ready, images, optimizer, epochs, batch_size=batch_size, include_activation=include_activation)


def load(path: Path, samples: Path) -> tuple[Any, Array]:
    """The model and the samples; the latter first, because their faults are found sooner."""
    images = read_samples(samples)
    return keras_models.load(path), images


def prepared(model: Any, images: Array, batch_size: int | None) -> Any:
    """What both methods begin with."""
    from cnn2snn_ir.keras.calibration import activations_rescaling
    from cnn2snn_ir.keras.transforms import normalize_separable_model

    return normalize_separable_model(activations_rescaling(model, images, batch_size))


def read_samples(path: Path) -> Array:
    """All arrays of a file, one after the other, but for labels beside them.

    Raises:
        CompileError: if the file holds no arrays, or arrays that do not fit together.
    """
    arrays = read_arrays(path)
    if len(arrays) > 1:
        arrays.pop(LABELS, None)
    found = Diagnostics()
    shapes = {array.shape[1:] for array in arrays.values()}
    if not arrays or any(array.ndim == 0 for array in arrays.values()):
        found.add(Diagnostic("SAMPLES-FORMAT", "the file holds no samples", where=str(path)))
    elif len(shapes) > 1:
        found.add(
            Diagnostic(
                "SAMPLES-FORMAT",
                "the arrays do not hold samples of one shape",
                where=str(path),
                found=", ".join(f"{name} {array.shape}" for name, array in arrays.items()),
                allowed="arrays of samples, which are put together, and labels y",
            )
        )
    found.raise_errors()
    return np.concatenate(list(arrays.values()))
