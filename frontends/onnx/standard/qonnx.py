"""QONNX, which Brevitas, QKeras and HAWQ write: one operator rounds reals to a grid and gives reals.

    y = scale · (round(clamp(x / scale + zero, low, high)) - zero)

Source: the QONNX specification of `Quant` and `BipolarQuant` (fastmachinelearning/qonnx, docs/qonnx-custom-ops).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.rounding import Rounding
from cnn2snn_ir.frontends.onnx.file import UNVERSIONED
from cnn2snn_ir.frontends.onnx.standard.call import Call, Result, operator
from cnn2snn_ir.frontends.onnx.standard.constants import Constant, Quantized
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import spread
from cnn2snn_ir.ir import F32, ElementType, si, ui
from cnn2snn_ir.reference.rounding import ROUNDINGS

Array = npt.NDArray[Any]

DOMAINS = UNVERSIONED

MODES = {
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "HALF_UP": Rounding.HALF_UP,
    "HALF_DOWN": Rounding.HALF_DOWN,
    "FLOOR": Rounding.FLOOR,
    "CEIL": Rounding.CEIL,
    "UP": Rounding.UP,
    "DOWN": Rounding.DOWN,
    "ROUND_TO_ZERO": Rounding.DOWN,
}
"""QONNX's names of roundings."""

SAME_EVERYWHERE = (Rounding.FLOOR, Rounding.CEIL)
"""Roundings that a zero point moves along."""

LARGEST_BITS = 31


@operator("Quant", "IntQuant", domains=DOMAINS)
def quant(call: Call) -> Result:
    scale, zero = positive(call, 1), integers(call, 2)
    signed, narrow = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 0))
    rounding = MODES[call.expect("rounding_mode", *MODES)]
    bits = width(call, 3)
    if bits == 1 and signed:
        return bipolar(call, scale)
    even = bool((zero % 2 == 0).all()) and rounding is Rounding.HALF_EVEN
    moves = rounding in SAME_EVERYWHERE or even or not zero.any()
    require(moves, "a zero point that changes how ties are rounded", found=f"{rounding}, {zero.max()}", allowed="0")
    element = si(bits) if signed else ui(bits)
    x = call.operand(0)
    if isinstance(x, Constant):
        return constant(x, scale, zero, element, narrow, rounding)
    view, scale = spread(scale, call.view(0), call.emit)
    view, zero = spread(zero, view, call.emit)
    zeros = call.tensor(zero, si(32), "zero_point") if zero.any() else None
    op = nn.FakeQuantize(view.value, call.tensor(scale, F32, "scale"), element, zeros, narrow, rounding)
    return view.on(call.emit(op))


@operator("BipolarQuant", domains=DOMAINS)
def bipolar_quant(call: Call) -> Result:
    return bipolar(call, positive(call, 1))


def bipolar(call: Call, scale: Array) -> Constant:
    """Weights of two levels, 1 and -1; as an activation they have no level for 0, which no layer of a chip can pad."""
    x = call.operand(0)
    if not isinstance(x, Constant):
        message = "an activation of two levels, 1 and -1"
        raise UnsupportedNodeError(message, help="use Quant with 1 unsigned bit or 2 signed ones")
    signs = np.where(x.floats >= 0, 1, -1)
    return Constant((signs * scale).astype(np.float32), "float32", quantized=Quantized(signs, scale, si(2)))


def constant(
    x: Constant, scale: Array, zero: Array, element: ElementType, narrow: bool, rounding: Rounding
) -> Constant:
    """A constant on its grid; it remembers its integers, without the zero point."""
    values = x.floats
    grown = np.broadcast_shapes(values.shape, scale.shape, zero.shape) != values.shape
    require(not grown, "scales that do not fit", found=f"{list(scale.shape)}", code="ONNX-QUANT")
    low, high = element.lo + (narrow and element.lo < 0), element.hi - (narrow and element.lo == 0)
    levels = np.clip(ROUNDINGS[rounding](values / scale) + zero, low, high).astype(np.int64) - zero
    spread_scale = scale.reshape((1,) * (values.ndim - scale.ndim) + scale.shape) if scale.ndim else scale
    kept = element if element.contains(levels) else si(element.bits + 1)
    reals = (levels * scale.astype(np.float64)).astype(np.float32)
    return Constant(reals, "float32", quantized=Quantized(levels, spread_scale, kept))


def positive(call: Call, index: int) -> Array:
    """Scales, above 0."""
    values = call.floats(index)
    require(bool((values > 0).all()), "scales must be above 0", found=values.min(initial=0.0), code="ONNX-QUANT")
    return values


def integers(call: Call, index: int) -> Array:
    """Zero points, which are stored as floats."""
    values = call.constant(index).fixed.astype(np.float64)
    whole = bool((values == np.rint(values)).all()) and bool((np.abs(values) < 1 << LARGEST_BITS).all())
    require(whole, "a zero point that is no integer", found=values.reshape(-1)[:4], code="ONNX-QUANT")
    return values.astype(np.int64)


def width(call: Call, index: int) -> int:
    """The number of bits, which is stored as a float."""
    bits = call.number(index)
    whole = bits == int(bits) and 1 <= bits <= LARGEST_BITS
    require(whole, "a number of bits that is not supported", found=bits, allowed=f"1 to {LARGEST_BITS}")
    return int(bits)
