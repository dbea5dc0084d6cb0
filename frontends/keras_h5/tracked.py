"""A value of the IR under construction together with what QuantizeML knows about it.

`FixedPoint` and `QFloat` tensors carry value bits, fractional bits and a float scale; all of them follow from
the file alone, so the importer tracks them beside the SSA value and emits integers only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnn2snn_ir.frontends.keras_h5.quantizers import F, Floats, Ints
from cnn2snn_ir.ir import ElementType, Tensor, Value, si, ui


class Tracked(NamedTuple):
    """`value` holds integers q of real value `q / 2^frac_bits * scale`.

    `frac_bits` has no dimension or one of channels; `scale` likewise, or is None for a pure fixed-point tensor.
    `positive` says that no integer is below zero.  `rate` is what QuantizeML multiplied the values by to fill the range
    of their type, and divided the next weights by: no later integer depends on it, but the float model's value is the
    real value divided by it.
    """

    value: Value
    value_bits: int
    frac_bits: Floats
    scale: Floats | None = None
    positive: bool = False
    rate: Floats | None = None

    @property
    def frac_bits_vary(self) -> bool:
        """True if channels have fractional bits of their own (not necessarily different ones)."""
        return self.frac_bits.ndim > 0 and self.frac_bits.shape != (1,)

    @property
    def per_tensor(self) -> bool:
        """QuantizeML's notion: one exponent and at most one scale."""
        return not self.frac_bits_vary and (self.scale is None or self.scale.ndim == 0)

    @property
    def scale_or_one(self) -> Floats:
        """The float scale; a fixed-point tensor has scale 1."""
        return np.asarray(F(1.0)) if self.scale is None else self.scale

    def on(self, value: Value) -> Tracked:
        """The same meaning on another value."""
        return self._replace(value=value)


def integer_type(value_bits: int, unsigned: bool = False) -> ElementType:
    """The element type of a tensor of so many value bits."""
    return ui(value_bits) if unsigned else si(value_bits + 1)


def constant(values: Ints | Floats, element: ElementType, name: str) -> Tensor:
    """A tensor attribute; one value for all channels has no dimension."""
    array = np.asarray(values)
    return Tensor.of(array.reshape(()) if array.shape == (1,) else array, element, name)


def frac_bits_tensor(frac_bits: Floats) -> Tensor:
    """Fractional bits as an attribute."""
    return constant(frac_bits.astype(np.int64), si(16), "frac_bits")
