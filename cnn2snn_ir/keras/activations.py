"""Quantized activations: a rectifier that counts how many steps its input has climbed.

    y = step · clip(ceil((x - step/2) / step), 0, levels)        levels = 2^bitwidth - 1

The ceiling has gradient 1 and the clip its own, so the gradient is that of a ReLU bounded by `levels · step`.
Source: the activations of cnn2snn 2.19.3 (Apache-2.0), restated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

import keras
from keras import ops

from cnn2snn_ir.keras.errors import refuse
from cnn2snn_ir.keras.straight_through import ceil_through


class QuantizedActivation(keras.layers.Layer, ABC):
    """An activation of `2^bitwidth` values, `step` apart, from 0 up; subclasses say what a step is."""

    def __init__(self, bitwidth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(bitwidth, Integral) or bitwidth < 1:
            raise refuse(
                "QUANT-BITS",
                "a quantized activation needs at least one bit",
                where=f"{self.name} ({type(self).__name__})",
                found=f"bitwidth {bitwidth!r}",
                allowed="an integer of 1 or more",
            )
        self.bitwidth: int = int(bitwidth)
        self.supports_masking = True
        self.built = True

    @property
    @abstractmethod
    def step(self) -> float:
        """The distance between two values."""

    @property
    def levels(self) -> int:
        """How many values there are above 0."""
        return int(2**self.bitwidth - 1)

    @property
    def threshold(self) -> float:
        """The input above which the output is no longer 0."""
        return self.step / 2

    def call(self, inputs: Any) -> Any:
        """The inputs in steps; inputs halfway between two values give the lower one."""
        count = ceil_through((inputs - self.threshold) / self.step)
        return self.step * ops.clip(count, 0, self.levels)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "bitwidth": self.bitwidth}


class QuantizedReLU(QuantizedActivation):
    """A quantized ReLU that ends at `max_value`; by default at `levels`, so that its values are integers."""

    def __init__(self, bitwidth: int = 1, max_value: float | None = None, **kwargs: Any) -> None:
        super().__init__(bitwidth=bitwidth, **kwargs)
        self.max_value = float(self.levels if max_value is None else max_value)
        if not self.max_value > 0:
            raise refuse(
                "QUANT-ARGUMENT",
                "a ReLU must have room between 0 and its max_value",
                where=f"{self.name} (QuantizedReLU)",
                found=f"max_value {max_value!r}",
                allowed="a number above 0",
            )

    @property
    def step(self) -> float:
        """`max_value / levels`."""
        return self.max_value / self.levels

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "max_value": self.max_value}


class ActivationDiscreteRelu(QuantizedActivation):
    """A quantized ReLU that ends at `levels`, or at 6 if that is less."""

    @property
    def max_value(self) -> float:
        """The largest output."""
        return float(min(self.levels, 6))

    @property
    def step(self) -> float:
        """`max_value / levels`."""
        return self.max_value / self.levels
