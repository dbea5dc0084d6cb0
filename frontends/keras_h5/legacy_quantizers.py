"""The weight quantizers of the legacy cnn2snn API: from stored floats to integers and their scale.

With `n` bits the integers lie in ±m, m = 2^(n-1) - 1.  The scale, integers a unit of a real weight, is

    MaxQuantizer            m / max|w|
    MaxPerAxisQuantizer     m / max|w|, of each filter; the maximum is at least 10^-10
    StdWeightQuantizer      m / (threshold · std w)
    StdPerAxisQuantizer     m / (threshold · std w), of each filter

clipped to [0, 1000], and the integers are `clip(rne(w · scale), -m, m)`.  All of it in float32, as Keras computes it.

Source: cnn2snn 2.19.3 (Apache-2.0), restated as formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnn2snn_ir.frontends.keras_h5.archive import class_of
from cnn2snn_ir.frontends.keras_h5.importer import UnsupportedLayerError
from cnn2snn_ir.frontends.keras_h5.quantizers import F, Floats, Ints

LARGEST_SCALE = F(1000.0)
SMALLEST_MAXIMUM = F(1e-10)
DEFAULT_BITS = 4
DEFAULT_THRESHOLD = 3.0
MOST_BITS = 16
"""Wider integers are no longer exact in what Keras computes; the vendor documents 2 to 8."""


class QuantizedWeights(NamedTuple):
    """Real weights are `integers / scale`; the scale has no dimension, or one of filters."""

    integers: Ints
    scale: Floats
    bits: int


def filter_axes(kernel: Floats) -> tuple[int, ...]:
    """All axes but the last, that of the filters."""
    return tuple(range(kernel.ndim - 1))


def largest(kernel: Floats, axes: tuple[int, ...] | None) -> Floats:
    """The largest magnitude."""
    found = np.max(np.abs(kernel), axis=axes)
    return np.asarray(found if axes is None else np.maximum(found, SMALLEST_MAXIMUM), F)


def deviation(kernel: Floats, axes: tuple[int, ...] | None) -> Floats:
    """The standard deviation of a population."""
    centred = kernel - np.mean(kernel, axis=axes, keepdims=True, dtype=F)
    return np.sqrt(np.mean(np.square(centred), axis=axes, dtype=F), dtype=F)


Spread = Callable[[Floats, dict[str, Any]], Floats]

QUANTIZERS: dict[str, Spread] = {
    "MaxQuantizer": lambda kernel, config: largest(kernel, None),
    "MaxPerAxisQuantizer": lambda kernel, config: largest(kernel, filter_axes(kernel)),
    "StdWeightQuantizer": lambda kernel, config: threshold(config) * deviation(kernel, None),
    "StdPerAxisQuantizer": lambda kernel, config: threshold(config) * deviation(kernel, filter_axes(kernel)),
}
"""Class ▶ the real weight that becomes the largest integer."""


def threshold(config: dict[str, Any]) -> Any:
    """How many standard deviations the integers cover."""
    return F(config.get("threshold", DEFAULT_THRESHOLD))


def quantize_kernel(kernel: Floats, record: dict[str, Any]) -> QuantizedWeights:
    """The integers and the scale of a kernel whose last axis is that of the filters.

    `record` is a serialized quantizer, `{class_name, config}`.  Raises `UnsupportedLayerError` for one that the
    legacy API does not have.
    """
    name, config = class_of(record), record["config"]
    if name not in QUANTIZERS:
        raise UnsupportedLayerError(f"its weight quantizer {name} is unknown", allowed=", ".join(QUANTIZERS))
    bits = config.get("bitwidth", DEFAULT_BITS)
    if type(bits) is not int or not 2 <= bits <= MOST_BITS:
        raise UnsupportedLayerError("its weight quantizer has no such bitwidth", found=str(bits), allowed="2 to 8")
    most = F((1 << (bits - 1)) - 1)
    with np.errstate(divide="ignore", over="ignore"):  # a kernel of zeros has the largest scale
        scale = np.clip(most / QUANTIZERS[name](kernel, config), F(0.0), LARGEST_SCALE).astype(F)
    if not (scale > 0).all():
        raise UnsupportedLayerError("its weights are too large to quantize", found=str(np.max(np.abs(kernel))))
    integers = np.clip(np.rint(np.asarray(kernel * scale, F)), -most, most).astype(np.int64)
    return QuantizedWeights(integers, scale, bits)
