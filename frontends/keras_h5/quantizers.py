"""QuantizeML's quantizers, computed statically: floats of the file in, integers out.

Every formula is evaluated in float32 with the roundings of the TensorFlow graph that `model.predict` runs,
because an integer next to a rounding boundary depends on them.  Source: QuantizeML 1.2.5 (Apache-2.0),
restated; docs/numerics.md lists the formulas.

Notation: *value bits* leave out the sign, so a tensor of `b` value bits holds [-2^b, 2^b - 1]; *fractional
bits* f give an integer q the real value q / 2^f.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
F = np.float32

MIN_WEIGHT_SCALE = F(1e-6)
"""QuantizeML's lower bound of a weight scale."""


def over_constant(x: Any, constant: float) -> Floats:
    """`x / constant` as TensorFlow's graph optimizer evaluates it: times the float32 reciprocal."""
    return np.asarray(F(1.0 / constant) * np.asarray(x, F), F)


def ceil_log2(x: Any) -> Floats:
    """`ceil(ln x / ln 2)` with both logarithms rounded to float32: not always the true ceiling."""
    with np.errstate(divide="ignore"):
        natural = np.log(np.asarray(x, np.float64)).astype(F)
    return np.ceil(np.asarray(natural * F(1.0 / F(np.log(2.0))), F))


def frac_bits_for(value_bits: int, largest: Any, clamp: bool = True) -> Floats:
    """Fractional bits such that `largest` fits in `value_bits`; never more than `value_bits` if `clamp`."""
    bits = np.asarray(F(value_bits) - ceil_log2(largest), F)
    return np.minimum(bits, F(value_bits)) if clamp else bits


def power_of_two(exponent: Any) -> Floats:
    """`2^exponent`, exact."""
    return np.exp2(np.asarray(exponent, np.float64)).astype(F)


def clip_bits(x: Any, value_bits: int) -> Ints:
    """Round half to even and saturate to `value_bits`."""
    low, high = -(2.0**value_bits), 2.0**value_bits - 1
    return np.clip(np.rint(np.asarray(x, np.float64)), low, high).astype(np.int64)


def quantize_weights(weights: Floats, bits: int, axis: int | None) -> tuple[Ints, Floats]:
    """Symmetric weights: integers within ±(2^(bits-1) - 1), and one scale a slice along `axis` (or one)."""
    value_bits = bits - 1
    if axis is None or weights.ndim == 1:
        largest = np.max(np.abs(weights))
    else:
        others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
        largest = np.max(np.abs(weights), axis=others, keepdims=True)
    scale = np.maximum(over_constant(largest, 2.0**value_bits - 1), MIN_WEIGHT_SCALE)
    integers = clip_bits(np.asarray(weights / scale, F), value_bits)
    return integers, scale.reshape(-1) if scale.ndim else scale


def align_to_grid(x: Any, scale: Floats, frac_bits: Floats, bits: int, signed: bool) -> tuple[Ints, Ints]:
    """A constant (bias, ReLU bound, padding) on the grid of an accumulator of given scale and fractional bits.

    Returns mantissas of `bits` bits and left shifts: the constant is `mantissa << shift`.
    """
    value_bits = bits - 1 if signed else bits
    x = np.asarray(x, F)
    largest = np.abs(x) if bits > 4 else np.max(np.abs(x))
    own = np.minimum(frac_bits_for(value_bits, np.asarray(largest / scale, F)), frac_bits)
    mantissa = clip_bits(np.asarray(x / scale, F) * power_of_two(own), value_bits)
    return mantissa, np.asarray(frac_bits - own, F).astype(np.int64)


def quantize_scale(scale: Floats, bits: int) -> tuple[Ints, Floats]:
    """A float scale as an unsigned mantissa and fractional bits; 2^bits saturates to 2^bits - 1."""
    frac_bits = frac_bits_for(bits, scale, clamp=False)
    return clip_bits(np.asarray(scale * power_of_two(frac_bits), F), bits), frac_bits
