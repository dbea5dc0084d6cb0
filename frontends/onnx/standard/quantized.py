"""QuantizeLinear and DequantizeLinear: of constants they are integers with a scale, of the rest a rounding of reals.

The integers between both are a `Grid`: the module's value holds the reals that they stand for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import Severity
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.call import MICROSOFT, Call, Result, operator
from cnn2snn_ir.frontends.onnx.standard.constants import Constant, Quantized
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import Grid, View
from cnn2snn_ir.ir import F32, ElementType, si, ui

Array = npt.NDArray[Any]

INTEGERS = {
    **{f"int{bits}": si(bits) for bits in (2, 4, 8, 16, 32)},
    **{f"uint{bits}": ui(bits) for bits in (2, 4, 8, 16, 32)},
}
"""Element types of ONNX that hold integers, by name."""

DATA_TYPES = {2: ui(8), 3: si(8), 4: ui(16), 5: si(16), 21: ui(4), 22: si(4), 25: ui(2), 26: si(2)}
"""`TensorProto.DataType` of what activations are quantized to."""


def element_of(constant: Constant) -> ElementType:
    """The integer type of a constant; raises `UnsupportedNodeError` for others, such as floats of 8 bits."""
    element = INTEGERS.get(constant.dtype)
    if element is None:
        message = "it holds numbers that are no integers"
        raise UnsupportedNodeError(message, found=constant.dtype, allowed=", ".join(INTEGERS), code="ONNX-TYPE")
    return element


def scales(call: Call, index: int) -> Array:
    """What integers are worth: above 0, a scalar or a vector."""
    values = call.floats(index)
    require(bool((values > 0).all()), "scales must be above 0", found=values.min(initial=0.0), code="ONNX-QUANT")
    require(values.ndim < 2, "blocks of a filter have scales of their own", found=list(values.shape), code="ONNX-QUANT")
    return values.reshape(()) if values.size == 1 else values


def zeros(call: Call, index: int, scale: Array) -> tuple[Array, ElementType | None]:
    """The integers of the real 0, and their type if they are given."""
    if not call.has(index):
        return np.zeros(scale.shape, np.int64), None
    constant = call.constant(index)
    zero = constant.fixed.astype(np.int64)
    fits = zero.size in (1, scale.size)
    require(fits, "scale and zero point differ in size", found=f"{scale.size}, {zero.size}", code="ONNX-QUANT")
    return np.broadcast_to(zero.reshape(() if zero.size == 1 else -1), scale.shape), element_of(constant)


def axis_of(call: Call, shape: tuple[int | None, ...], scale: Array, axis: int) -> int:
    """The axis that several scales belong to: the one that the node says, or the only one of their number."""
    require(-len(shape) <= axis < len(shape), "an axis that the operand does not have", found=axis, code="ONNX-SHAPE")
    axis %= len(shape)
    if not scale.ndim or shape[axis] == scale.size:
        return axis
    candidates = [a for a, size in enumerate(shape) if size == scale.size]
    found = f"{scale.size} scales for axis {axis} of {list(shape)}"
    require(len(candidates) == 1, "scales that do not fit their axis", found=found, code="ONNX-QUANT")
    message = "scales that do not fit the axis that the node says are taken as those of another"
    call.note("ONNX-SCALES", message, Severity.WARNING, found=found, allowed=f"axis {candidates[0]}")
    return candidates[0]


# ---- quantize -------------------------------------------------------------------------------------------------


@operator("QuantizeLinear", domains=["", MICROSOFT])
def quantize_linear(call: Call) -> Result:
    require(not call.attribute("block_size", 0), "blocks have scales of their own", code="ONNX-QUANT")
    call.ignore("saturate", "precision")  # of floats of 8 bits; of a division that here is exact enough
    scale = scales(call, 1)
    zero, element = zeros(call, 2, scale)
    stated = call.attribute("output_dtype", 0)
    element = element or (DATA_TYPES.get(stated) if stated else ui(8))
    if element is None or element.bits > 16:
        allowed = ", ".join(str(e) for e in DATA_TYPES.values())
        raise UnsupportedNodeError("activations of a type that is not supported", found=str(element), allowed=allowed)
    x, axis = call.operand(0), call.attribute("axis", 1)
    if isinstance(x, Constant):
        return quantized_constant(call, x, Grid(scale, zero, element), axis)
    return quantized(call, call.view(0), Grid(scale, zero, element), axis)


def quantized(call: Call, x: View, grid: Grid, axis: int = 1) -> View:
    """Reals on a grid; several scales belong to ONNX axis `axis`."""
    if grid.scale.ndim:
        x = x.with_last(axis_of(call, x.shape, grid.scale, axis), call.emit)
    zero = call.tensor(grid.zero, INTEGERS["int32"], "zero_point") if grid.zero.any() else None
    scale = call.tensor(grid.scale, F32, "scale")
    return View(call.emit(nn.FakeQuantize(x.value, scale, grid.element, zero)), x.dims, grid)


def quantized_constant(call: Call, x: Constant, grid: Grid, axis: int) -> Constant:
    """The integers of a constant."""
    values = x.floats
    if grid.scale.ndim:
        axis = axis_of(call, values.shape, grid.scale, axis)
    scale, zero = along(grid.scale, values.ndim, axis), along(grid.zero, values.ndim, axis)
    levels = np.clip(np.rint(values / scale) + zero, grid.element.lo, grid.element.hi)
    name = next(name for name, element in INTEGERS.items() if element == grid.element)
    return Constant(levels.astype(np.int64), name)


def along(values: Array, rank: int, axis: int) -> Array:
    """A vector shaped so that it is broadcast along one axis; scalars stay what they are."""
    return values.reshape([-1 if a == axis else 1 for a in range(rank)]) if values.ndim else values


# ---- dequantize -----------------------------------------------------------------------------------------------


@operator("DequantizeLinear", domains=["", MICROSOFT], integers=True)
def dequantize_linear(call: Call) -> Result:
    require(not call.attribute("block_size", 0), "blocks have scales of their own", code="ONNX-QUANT")
    call.expect("output_dtype", 0, 1)
    scale = scales(call, 1)
    zero, _ = zeros(call, 2, scale)
    x, axis = call.operand(0), call.attribute("axis", 1)
    if isinstance(x, Constant):
        return weights(call, x, scale, zero, axis)
    return reals_of(call, call.any_view(0), scale, zero, axis)


def weights(call: Call, x: Constant, scale: Array, zero: Array, axis: int) -> Constant:
    """A constant of integers as reals that remember their integers; zero points are subtracted."""
    values, element = x.fixed.astype(np.int64), element_of(x)
    if scale.ndim:
        axis = axis_of(call, values.shape, scale, axis)
    integers = values - along(zero, values.ndim, axis)
    factors = along(scale, values.ndim, axis)
    if zero.any():
        signed = si(element.bits)
        element = signed if signed.contains(integers) else si(element.bits + 1)
    exact = integers * factors.astype(np.float64)
    largest = np.abs(exact).max(initial=0.0)
    require(bool(largest <= np.finfo(np.float32).max), "weights beyond float32", found=largest, code="ONNX-QUANT")
    reals = exact.astype(np.float32)
    return Constant(reals, "float32", quantized=Quantized(integers, factors, element))


def reals_of(call: Call, x: View, scale: Array, zero: Array, axis: int = 1) -> View:
    """What integers stand for: those of the input get their scale here, others have it already."""
    if x.is_raw:
        require(scale.ndim == 0, "an input with a scale for each channel", found=scale.size, code="ONNX-QUANT")
        scaling = nn.InputScaling(x.value, float(1.0 / np.float64(scale)), float(zero))
        return View(call.emit(scaling), x.dims)
    if x.grid is None:
        raise UnsupportedNodeError("reals are dequantized", help="put a QuantizeLinear before it", code="ONNX-TYPE")
    if scale.ndim:
        x = x.with_last(axis_of(call, x.shape, scale, axis), call.emit)
    assert x.grid is not None
    require(
        x.grid.equals(Grid(scale, zero, x.grid.element)),
        "integers are dequantized with other parameters than they were quantized with",
        found=f"scale {brief(scale)}, zero point {brief(zero)}",
        allowed=f"scale {brief(x.grid.scale)}, zero point {brief(x.grid.zero)}",
        code="ONNX-QUANT",
    )
    return View(x.value, x.dims)


def brief(values: Array) -> str:
    """A few numbers as messages show them."""
    text = ", ".join(f"{v:g}" for v in values.reshape(-1)[:4])
    return text if values.size <= 4 else f"{text}, …"
