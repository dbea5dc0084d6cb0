"""Weight quantizers: symmetric, linear, with a scale factor computed from the weights themselves.

    quantize(w) = clip(round(w · s), -kmax, kmax) / s        kmax = 2^(bitwidth - 1) - 1

`s` is the inverse of the quantization step, so `quantize(w) · s` is an integer.  Rounding is half to even with
gradient 1; clipping has its own gradient, 0 outside; and gradients flow through `s`, which is part of the graph.
Source: the quantizers of cnn2snn 2.19.3 (Apache-2.0), restated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, ClassVar

import keras
from keras import ops

from cnn2snn_ir.keras.errors import refuse
from cnn2snn_ir.keras.straight_through import round_through

MAX_SCALE = 1000.0
"""Scale factors are clipped to this, so that weights near zero do not blow up."""

TINY = 1e-10
"""Spreads below this count as this: `MAX_SCALE` applies long before, and no gradient divides by zero."""


class WeightQuantizer(keras.layers.Layer, ABC):
    """What quantized layers ask of a quantizer; a Keras layer, so that it may have variables of its own."""

    def __init__(self, bitwidth: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__dict__.pop("quantize", None)  # Keras wraps what it takes for its own `Layer.quantize(mode)`
        if not isinstance(bitwidth, Integral) or bitwidth < 2:
            raise refuse(
                "QUANT-BITS",
                "a weight quantizer needs a sign and at least one more bit",
                where=f"{self.name} ({type(self).__name__})",
                found=f"bitwidth {bitwidth!r}",
                allowed="an integer of 2 or more",
            )
        self.bitwidth: int = int(bitwidth)
        self.built = True

    @abstractmethod
    def quantize(self, w: Any) -> Any:
        """The weights that the hardware will have, in float and of the same shape."""

    @abstractmethod
    def scale_factor(self, w: Any) -> Any:
        """What to multiply `quantize(w)` with to get integers: a scalar, or one value a filter (last axis)."""

    def call(self, w: Any) -> Any:
        """`quantize`."""
        return self.quantize(w)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "bitwidth": self.bitwidth}


class LinearWeightQuantizer(WeightQuantizer):
    """A quantizer with steps of equal size; subclasses say what they do with the `spread` of the weights."""

    per_axis: ClassVar[bool] = False
    """One scale factor for each index of the last axis (a filter), instead of one for all weights."""

    @property
    def kmax(self) -> int:
        """The largest integer; the smallest is its negative, so that zero is in the middle."""
        return int(2 ** (self.bitwidth - 1) - 1)

    @abstractmethod
    def spread(self, w: Any) -> Any:
        """The magnitude of weights that becomes `kmax`: a scalar, or one value a filter."""

    def scale_factor(self, w: Any) -> Any:
        """`kmax / spread(w)`, at most `MAX_SCALE`."""
        return ops.clip(self.kmax / ops.maximum(self.spread(w), TINY), 0.0, MAX_SCALE)

    def quantize(self, w: Any) -> Any:
        """The nearest multiple of the step, within ±kmax steps."""
        scale = self.scale_factor(w)
        return ops.clip(round_through(w * scale), -self.kmax, self.kmax) / scale

    def axes(self, w: Any) -> tuple[int, ...]:
        """The axes that share a scale factor."""
        return tuple(range(len(w.shape) - self.per_axis))


class MaxQuantizer(LinearWeightQuantizer):
    """The largest weight in magnitude becomes `kmax`."""

    def spread(self, w: Any) -> Any:
        """max|w|."""
        return ops.max(ops.abs(w), axis=self.axes(w))


class MaxPerAxisQuantizer(MaxQuantizer):
    """The largest weight of each filter becomes `kmax`."""

    per_axis = True


class StdWeightQuantizer(LinearWeightQuantizer):
    """`threshold` standard deviations become `kmax`; weights beyond them are clipped."""

    def __init__(self, threshold: float = 3, bitwidth: int = 4, **kwargs: Any) -> None:
        super().__init__(bitwidth=bitwidth, **kwargs)
        if not threshold > 0:
            raise refuse(
                "QUANT-ARGUMENT",
                "the threshold counts standard deviations",
                where=f"{self.name} ({type(self).__name__})",
                found=f"threshold {threshold!r}",
                allowed="a number above 0",
            )
        self.threshold = threshold

    def spread(self, w: Any) -> Any:
        """`threshold` times the population's standard deviation."""
        variance = ops.var(w, axis=self.axes(w))
        return self.threshold * ops.sqrt(ops.maximum(variance, TINY**2))  # the root has no slope at zero

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "threshold": self.threshold}


class StdPerAxisQuantizer(StdWeightQuantizer):
    """`threshold` standard deviations of each filter become `kmax`."""

    per_axis = True


CLASSES: dict[str, type[WeightQuantizer]] = {
    quantizer.__name__: quantizer
    for quantizer in (StdWeightQuantizer, StdPerAxisQuantizer, MaxQuantizer, MaxPerAxisQuantizer)
}
"""Class name in model files ▶ the class."""


def get(identifier: Any) -> WeightQuantizer:
    """A quantizer as it is, or made from its serialized form `{class_name, config}`.

    Classes of the user's own are looked up where Keras keeps custom objects.

    Raises:
        QuantizationError: for anything else.
    """
    if isinstance(identifier, WeightQuantizer):
        return identifier
    if not isinstance(identifier, dict) or "class_name" not in identifier:
        raise refuse(
            "QUANT-QUANTIZER",
            "this is not a weight quantizer",
            found=repr(identifier),
            allowed=f"a quantizer such as {', '.join(CLASSES)}, or its serialized form",
        )
    name = identifier["class_name"]
    found = CLASSES.get(name) or keras.saving.get_registered_object(identifier.get("registered_name") or name)
    if found is None:
        raise refuse(
            "QUANT-QUANTIZER",
            "there is no weight quantizer of this class",
            found=str(name),
            allowed=", ".join(CLASSES),
            help="give classes of your own as custom_objects",
        )
    return get(found.from_config(identifier.get("config") or {}))
