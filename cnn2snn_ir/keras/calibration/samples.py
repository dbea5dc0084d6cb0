"""Samples in batches, once it is sure that the model takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Array


def in_batches(model: Any, samples: Any, batch_size: int | None) -> list[Array]:
    """The samples in batches of `batch_size`, the last of which may be smaller; in one batch if it is None.

    Raises:
        QuantizationError: if they are no numbers, are not of the shape of the model's input, or are none.
    """
    (tensor,) = model.inputs
    array = np.asarray(samples)
    found = Diagnostics(sample_problems(model.name, array, tuple(tensor.shape)))
    if batch_size is not None and batch_size < 1:
        message = "a batch holds at least one sample"
        found.add(
            Diagnostic("CALIBRATE-ARGUMENT", message, where="batch_size", found=str(batch_size), allowed="1 or more")
        )
    if found.errors:
        raise QuantizationError(found, f"{model.name}: the model cannot be calibrated")
    size = batch_size or len(array)
    array = array.astype(tensor.dtype)
    return [array[start : start + size] for start in range(0, len(array), size)]


def sample_problems(name: str, array: Array, shape: tuple[int | None, ...]) -> Iterator[Diagnostic]:
    """Why a model does not take samples."""
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        yield Diagnostic(
            "CALIBRATE-SAMPLES",
            "the samples do not have the shape of the model's input",
            where=name,
            found=str(array.shape),
            allowed=f"({', '.join(['samples', *map(str, shape[1:])])})",
        )
    elif not array.size:
        yield Diagnostic("CALIBRATE-SAMPLES", "there are no samples", where=name, help="give some hundreds")
    elif array.dtype.kind not in "buif":
        yield Diagnostic("CALIBRATE-SAMPLES", "the samples are no numbers", where=name, found=f"dtype {array.dtype}")
    elif not np.isfinite(array).all():
        yield Diagnostic("CALIBRATE-SAMPLES", "the samples hold infinities or NaNs", where=name)
