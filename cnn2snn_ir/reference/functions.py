"""Elementwise functions and roundings, each by its name, written so that no end overflows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.reference.arithmetic import Array


def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return result


def softplus(x: Array) -> Array:
    """`ln(1 + exp(x))`."""
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def gelu(x: Array) -> Array:
    """`x/2 · (1 + erf(x/√2))`."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    result: Array = 0.5 * x * (1 + erf(np.asarray(x, np.float64) / math.sqrt(2)))
    return result


def gelu_tanh(x: Array) -> Array:
    """The common approximation of `gelu`."""
    result: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return result


def ramp(x: Array, slope: float) -> Array:
    """`min(max(slope · x + 1/2, 0), 1)`."""
    return np.clip(x * slope + 0.5, 0, 1)


FUNCTIONS: dict[Function, Callable[[Array, float], Array]] = {
    Function.LINEAR: lambda x, alpha: x,
    Function.SIGMOID: lambda x, alpha: sigmoid(x),
    Function.TANH: lambda x, alpha: np.tanh(x),
    Function.GELU: lambda x, alpha: gelu(x),
    Function.GELU_TANH: lambda x, alpha: gelu_tanh(x),
    Function.SWISH: lambda x, alpha: x * sigmoid(x),
    Function.HARD_SWISH: lambda x, alpha: x * ramp(x, 1 / 6),
    Function.HARD_SIGMOID: lambda x, alpha: ramp(x, alpha),
    Function.LEAKY_RELU: lambda x, alpha: np.where(x > 0, x, alpha * x),
    Function.ELU: lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    Function.SOFTPLUS: lambda x, alpha: softplus(x),
    Function.SOFTSIGN: lambda x, alpha: x / (1 + np.abs(x)),
    Function.MISH: lambda x, alpha: x * np.tanh(softplus(x)),
}
"""Values and alpha ▶ values."""
