"""Exact integer primitives shared by the reference semantics.  Arrays are int64, NHWC.

Source of the arithmetic: QuantizeML 1.2.5 (Apache-2.0), restated as formulas; see `docs/numerics.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects.geometry import Padding, borders, extent
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import ElementType

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


def saturate(x: Ints, element: ElementType) -> Ints:
    """Clamp to the range of `element`."""
    return np.clip(x, element.lo, element.hi)


def values(tensor: Tensor | None, default: int = 0) -> Ints:
    """A constant as int64, or a scalar `default` if there is none."""
    return np.array(default, np.int64) if tensor is None else tensor.int64


def shift_round(x: Ints, shift: Ints) -> Ints:
    """`floor(x · 2^shift + 1/2)`: exact to the left, rounded half up (towards +infinity) to the right.

    A right shift beyond 62 is one of 62: every value has fewer bits, so both give 0.
    """
    left = np.maximum(shift, 0)
    right = np.minimum(np.maximum(-shift, 0), 62)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return ((x << left) + half) >> right


FARTHEST = 34
"""A step above 2^34 puts every level but the first out of reach of any potential; further left it would overflow."""


def level_boundaries(threshold: Ints, act_step: Array, bits: int) -> Ints:
    """The smallest potential that reaches each level of a `b`-bit neuron of Akida 1: [channels, 2^b - 1].

    Level k is reached by P > threshold + (k - 1) · act_step · 2^(4 - b), for integers from the floor of that plus 1 on.
    A float32 is an integer of 24 bits times a power of two, so the floor is exact.
    """
    fraction, exponent = np.frexp(act_step.astype(np.float64).reshape(-1, 1))
    shift = exponent.astype(np.int64) - 24 + 4 - bits
    multiples = np.arange(2**bits - 1) * np.ldexp(fraction, 24).astype(np.int64)
    steps = multiples << np.clip(shift, 0, FARTHEST) >> np.clip(-shift, 0, 62)
    found: Ints = threshold.reshape(-1, 1) + steps + 1
    return found


def fire(potentials: Ints, threshold: Ints, act_step: Array, bits: int) -> Ints:
    """The levels of neurons, channels last."""
    reached = potentials[..., None] >= level_boundaries(threshold, act_step, bits)
    levels: Ints = reached.sum(axis=-1, dtype=np.int64)
    return levels


EXACT_FLOAT = 1 << 53
"""Integers of float64 are exact up to here (IEEE 754)."""


def dot(x: Ints, weights: Ints) -> Ints:
    """`x @ weights`, by way of float64 where no sum of products, in any order, can leave its exact integers."""
    largest = int(np.abs(x).max(initial=0)) * int(np.abs(weights).max(initial=0)) * x.shape[-1]
    if largest >= EXACT_FLOAT:
        product: Ints = x @ weights
        return product
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)  # one product of matrices, not one for each row of a map
    return (rows @ weights.astype(np.float64)).astype(np.int64).reshape(*x.shape[:-1], weights.shape[1])


def windows(
    x: Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
    fill: npt.ArrayLike = 0,
) -> Array:
    """All windows of a map: [N, rows, columns, channels, kernel height, kernel width].

    Borders that `padding` adds hold `fill`, one value for all channels or one for each.
    """
    sizes = zip(x.shape[1:3], kernel, strides, dilation, strict=True)
    (top, bottom), (left, right) = (borders(n, k, s, padding, d) for n, k, s, d in sizes)
    if top or bottom or left or right:
        shape = (x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3])
        padded = np.broadcast_to(np.asarray(fill, x.dtype), shape).copy()
        padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
        x = padded
    spans = (extent(kernel[0], dilation[0]), extent(kernel[1], dilation[1]))
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(1, 2))
    result: Array = view[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return result


def convolve(
    x: Ints,
    weights: Ints,
    strides: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
    fill: Ints | int = 0,
) -> Ints:
    """Cross-correlation with a kernel [height, width, in, out]."""
    patches = windows(x, (weights.shape[0], weights.shape[1]), strides, padding, dilation, fill)
    height, width, channels, filters = weights.shape
    flat = patches.transpose(0, 1, 2, 4, 5, 3).reshape(*patches.shape[:3], height * width * channels)
    return dot(flat, weights.reshape(-1, filters))


def convolve_depthwise(
    x: Ints, weights: Ints, strides: tuple[int, int], padding: Padding, dilation: tuple[int, int] = (1, 1)
) -> Ints:
    """Cross-correlation of each channel with its own kernel [height, width, channels]."""
    patches = windows(x, (weights.shape[0], weights.shape[1]), strides, padding, dilation)
    result: Ints = np.einsum("nhwcij,ijc->nhwc", patches, weights)
    return result


def convolve_transposed(x: Ints, weights: Ints, strides: tuple[int, int], padding: Padding) -> Ints:
    """Transposed convolution with a kernel [height, width, in, out]: scatter, then crop or fill up."""
    return scatter(x, weights.shape[:2], weights.shape[3], strides, padding, lambda i, j: dot(x, weights[i, j]))


def convolve_transposed_depthwise(x: Ints, weights: Ints, strides: tuple[int, int], padding: Padding) -> Ints:
    """Transposed convolution of each channel with its own kernel [height, width, channels]."""
    return scatter(x, weights.shape[:2], weights.shape[2], strides, padding, lambda i, j: x * weights[i, j])


def scatter(
    x: Array,
    kernel: tuple[int, ...],
    filters: int,
    strides: tuple[int, int],
    padding: Padding,
    product: Callable[[int, int], Array],
) -> Array:
    """Add `product(i, j)` at every input position times the strides, moved by (i, j).

    `same` crops `max(kernel - stride, 0)` positions, the smaller half of them first; `same_upper` the larger half.
    """
    samples, height, width = x.shape[:3]
    full = np.zeros(
        (samples, *(n * s + max(k - s, 0) for n, s, k in zip((height, width), strides, kernel, strict=True)), filters),
        x.dtype,
    )
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + (height - 1) * strides[0] + 1, strides[0])
            columns = slice(j, j + (width - 1) * strides[1] + 1, strides[1])
            full[:, rows, columns] += product(i, j)
    if padding is Padding.VALID:
        return full
    upper = padding is Padding.SAME_UPPER
    top, left = ((max(k - s, 0) + upper) // 2 for k, s in zip(kernel, strides, strict=True))
    return full[:, top : top + height * strides[0], left : left + width * strides[1]]


def max_pool(x: Ints, size: tuple[int, int], strides: tuple[int, int], padding: Padding) -> Ints:
    """Maximum over windows; added borders hold the smallest integer, so they never win."""
    result: Ints = windows(x, size, strides, padding, fill=np.iinfo(np.int64).min).max(axis=(4, 5))
    return result


def recur(
    u: Ints,
    state: tuple[Ints, Ints],
    a: tuple[Ints, Ints],
    shift: int,
    acc: ElementType,
    to: ElementType,
    carried: Callable[[Ints], Ints] = lambda x: x,
    rescale: Callable[[Ints, Ints], Ints] = shift_round,
) -> tuple[Ints, Ints, Ints]:
    """`s[t] = A · s[t-1] + u[t]` in complex integers, every product and sum saturated to `acc`, the state to `to`.

    `u` is [batch, time, channels], states [batch, channels], A one a channel.  Returns all states, real and imaginary
    part on a new last dimension, and both parts of the last one.  `carried` and `rescale` are for inexact carriers.
    """
    (real, imaginary), (a_real, a_imaginary), move = state, a, np.asarray(shift, np.int64)

    def kept(x: Ints) -> Ints:
        return carried(saturate(x, acc))

    steps: list[Ints] = []
    for new in np.moveaxis(u, 1, 0):
        turned = kept(kept(real * a_real) - kept(imaginary * a_imaginary))
        crossed = kept(kept(real * a_imaginary) + kept(imaginary * a_real))
        real = saturate(rescale(kept(turned + new), move), to)
        imaginary = saturate(rescale(crossed, move), to)
        steps.append(np.stack([real, imaginary], axis=-1))
    return np.stack(steps, axis=1), real, imaginary


def deviates(x: Ints, target: Ints, axis: int, acc: ElementType, threshold: int) -> Ints:
    """1 where the floor of the mean of `|x - target|` along an axis reaches the threshold; the axis keeps size 1."""
    apart = saturate(np.abs(saturate(x - target, acc)), acc)
    reached: Ints = (apart.sum(axis=axis, keepdims=True) // x.shape[axis] >= threshold).astype(np.int64)
    return reached


def round_half_even(x: Array, frac_bits: Ints) -> Ints:
    """`round(x · 2^frac_bits)` of float32 values, ties to even; the scaling is exact in float64.

    Values beyond int64, infinities included, are clamped; a NaN becomes 0.
    """
    scaled = np.rint(np.ldexp(np.asarray(x, np.float32).astype(np.float64), frac_bits.astype(np.int32)))
    bounded = np.clip(np.nan_to_num(scaled, nan=0.0), -(2.0**62), 2.0**62)
    integers: Ints = bounded.astype(np.int64)
    return integers


def quantize_linear(x: Array, scale: Array, zero_point: Ints, element: ElementType) -> Ints:
    """`round_half_even(float32(x / scale)) + zero_point`, saturated once; a NaN becomes the zero point.

    Source: ONNX's QuantizeLinear, which leaves the NaN open.
    """
    with np.errstate(over="ignore"):
        quotient = np.rint(np.asarray(x, np.float32) / scale.astype(np.float32))
    bounded = np.clip(np.nan_to_num(quotient.astype(np.float64), nan=0.0), -(2.0**61), 2.0**61)
    return saturate(bounded.astype(np.int64) + zero_point, element)
