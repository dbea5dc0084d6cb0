"""Weights and biases as the module keeps them: integers and their scale where the file has both, reals otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import Severity
from cnn2snn_ir.frontends.onnx.standard.call import Call
from cnn2snn_ir.frontends.onnx.standard.constants import Constant, Quantized
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import varying_axes
from cnn2snn_ir.ir import F32, F64, ElementType, Tensor

Array = npt.NDArray[Any]

DEAD = 1e-6
"""A filter of which an integer is worth so little of that of the largest is one that training switched off."""


@dataclass(frozen=True)
class Kernel:
    """Weights in ONNX's order; `scale` is what an integer is worth, one for all filters or each, None for reals."""

    values: Array
    element: ElementType
    scale: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, at first in ONNX's order."""
        return tuple(self.values.shape)

    @property
    def filters(self) -> int:
        """The size of the first dimension."""
        return self.shape[0] if self.shape else 0

    @property
    def described(self) -> str:
        """The shape as messages show it."""
        return str(list(self.shape))

    def with_values(self, values: Array) -> Kernel:
        """Other weights of the same scale."""
        return replace(self, values=values)

    def reshaped(self, shape: tuple[int, ...]) -> Kernel:
        """The same weights, row-major, in another shape."""
        return self.with_values(self.values.reshape(shape))

    def transposed(self, order: tuple[int, ...]) -> Kernel:
        """The same weights with dimensions in another order."""
        return self.with_values(self.values.transpose(order))

    def scaled(self, factor: float) -> Kernel:
        """The weights times a number."""
        if factor == 1.0:
            return self
        if self.scale is not None and factor > 0:
            return replace(self, scale=self.scale.astype(np.float64) * factor)
        reals = self.values if self.scale is None else self.values * self.scale.astype(np.float64)
        return Kernel(reals * factor, F64)

    def tensor(self, call: Call) -> Tensor:
        """The weights as a constant of the module."""
        return call.tensor(self.values, self.element, "weights")

    def scale_tensor(self, call: Call) -> Tensor | None:
        """Integers a unit of the real weights, if there are integers."""
        return None if self.scale is None else call.tensor(1.0 / self.scale.astype(np.float64), F64, "weight_scale")


def kernel_of(call: Call, index: int, axis: int) -> Kernel:
    """The weights that are an operand of a node; `axis` is that of the filters."""
    return kernel_from(call, call.constant(index), axis)


def kernel_from(call: Call, constant: Constant, axis: int) -> Kernel:
    """Weights from a constant; `axis` is that of the filters."""
    quantized = constant.quantized
    if quantized is None:
        values = constant.floats
        return Kernel(values, F64 if values.dtype == np.float64 else F32)
    scale = filter_scale(call, quantized, axis)
    if scale is None:
        return Kernel(quantized.reals, F64)
    return Kernel(*without_dead_filters(call, quantized, axis % quantized.integers.ndim, scale))


def filter_scale(call: Call, quantized: Quantized, axis: int) -> Array | None:
    """What an integer is worth, one for all filters or each; None if that is not the filters' alone."""
    scale = quantized.scale
    axes = list(varying_axes(scale))
    if not axes:
        return scale.reshape(-1)[0]  # type: ignore[no-any-return]
    if axes == [axis % quantized.integers.ndim]:
        return scale.reshape(-1)
    message = "the weights' scales are not those of filters, so the weights are taken as reals"
    call.note("ONNX-SCALES", message, Severity.WARNING, found=f"scales of shape {list(scale.shape)}")
    return None


def without_dead_filters(call: Call, quantized: Quantized, axis: int, scale: Array) -> tuple[Array, ElementType, Array]:
    """Weights, their type and scales; filters of a vanishing scale become zeros, of the largest scale."""
    scale = np.asarray(scale)
    dead = scale < scale.max() * DEAD if scale.ndim else np.zeros((), bool)
    if not dead.any():
        return quantized.integers, quantized.element, scale
    message = "filters that training switched off, with scales near 0, become zeros"
    call.note("ONNX-DEAD", message, found=f"{int(dead.sum())} of {scale.size} filters")
    shape = [1] * quantized.integers.ndim
    shape[axis] = -1
    alive = np.where(dead.reshape(shape), 0, quantized.integers)
    return alive, quantized.element, np.where(dead, scale.max(), scale)


def bias_tensor(call: Call, index: int, filters: int, factor: float | None = None) -> Tensor:
    """A bias, one for each filter: reals, or what its integers are worth; one with a factor may be broadcast."""
    values = bias_values(call.constant(index))
    if factor is not None:
        values = np.full(filters, values.reshape(-1)[0]) if values.size == 1 else values
        values = (values[0] if values.ndim == 2 and values.shape[0] == 1 else values) * factor
    found = f"{list(values.shape)} for {filters} filters"
    require(values.shape == (filters,), "a bias that does not fit the weights", found=found, code="ONNX-SHAPE")
    return call.reals(values, "bias")


def bias_values(constant: Constant) -> Array:
    """The reals of a bias."""
    if constant.quantized is not None:
        return constant.quantized.reals
    if constant.values.dtype.kind != "f":
        raise UnsupportedNodeError("a bias of integers without a scale", found=constant.dtype, code="ONNX-TYPE")
    return constant.floats
