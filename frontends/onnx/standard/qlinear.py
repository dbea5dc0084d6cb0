"""Operators on integers: a layer on the reals that they stand for, and the rounding of its result.

Each operand has its scale and zero point beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.onnx.standard.arithmetic import total
from cnn2snn_ir.frontends.onnx.standard.call import MICROSOFT, Call, operator
from cnn2snn_ir.frontends.onnx.standard.faults import require
from cnn2snn_ir.frontends.onnx.standard.kernels import Kernel, kernel_from
from cnn2snn_ir.frontends.onnx.standard.pointwise import applied
from cnn2snn_ir.frontends.onnx.standard.pooling import averaged
from cnn2snn_ir.frontends.onnx.standard.quantized import quantized, reals_of, scales, weights, zeros
from cnn2snn_ir.frontends.onnx.standard.shapes import joined
from cnn2snn_ir.frontends.onnx.standard.view import Grid, View, map_axes
from cnn2snn_ir.frontends.onnx.standard.weighted import convolved, matrix, multiplied
from cnn2snn_ir.ir import F64, Tensor, ui

Array = npt.NDArray[Any]


def real(call: Call, index: int) -> View:
    """An integer operand, with its scale and zero point behind it, as reals."""
    scale = scales(call, index + 1)
    zero, _ = zeros(call, index + 2, scale)
    return reals_of(call, call.any_view(index), scale, zero)


def rounded(call: Call, x: View, index: int) -> View:
    """A result on the grid of the scale and zero point that are operands `index` and `index + 1`."""
    scale = scales(call, index)
    zero, element = zeros(call, index + 1, scale)
    require(scale.ndim == 0, "a result with a scale for each channel", found=scale.size, code="ONNX-QUANT")
    return quantized(call, x, Grid(scale, zero, element or ui(8)))


def kernel(call: Call, index: int, axis: int) -> Kernel:
    """Weights of integers, with scale and zero point behind them; `axis` is that of the filters."""
    scale = scales(call, index + 1)
    zero, _ = zeros(call, index + 2, scale)
    return kernel_from(call, weights(call, call.constant(index), scale, zero, axis), axis)


def bias(call: Call, index: int, x: int, w: int, filters: int) -> Tensor | None:
    """A bias of integers that are worth the product of the scales of operands `x` and `w`."""
    if not call.has(index):
        return None
    values = call.constant(index).fixed
    fits = values.dtype.kind == "i" and values.size == filters
    found = f"{values.dtype} {list(values.shape)} for {filters} filters"
    require(fits, "a bias that does not fit the weights", found=found, code="ONNX-SHAPE")
    worth = scales(call, x + 1).astype(np.float64) * scales(call, w + 1).astype(np.float64)
    return call.tensor(values.reshape(-1) * worth, F64, "bias")


# ---- layers with weights --------------------------------------------------------------------------------------


@operator("QLinearConv", domains=["", MICROSOFT], integers=True)
def qlinear_conv(call: Call) -> View:
    call.expect("channels_last", 0)
    weight = kernel(call, 3, axis=0)
    result = convolved(call, real(call, 0), weight, bias(call, 8, 0, 3, weight.filters))
    return rounded(call, result, 6)


@operator("QLinearMatMul", integers=True)
def qlinear_matmul(call: Call) -> View:
    return rounded(call, multiplied(call, real(call, 0), matrix(kernel(call, 3, axis=1)), None), 6)


@operator("QGemm", domains=[MICROSOFT], integers=True)
def qgemm(call: Call) -> View:
    call.expect("transA", 0)
    transposed = bool(call.attribute("transB", 0))
    weight = kernel(call, 3, axis=0 if transposed else 1)
    weight = matrix(weight, transposed)
    alpha = call.attribute("alpha", 1.0)
    require(alpha == 1.0 or not call.has(6), "a factor in front of a product with a bias", found=alpha, allowed="1")
    result = multiplied(call, real(call, 0), weight.scaled(alpha), bias(call, 6, 0, 3, weight.shape[1]))
    return rounded(call, result, 7) if call.has(7) else result


@operator("ConvInteger", integers=True)
def conv_integer(call: Call) -> View:
    x, worth = counted(call)
    return convolved(call, x, integer_kernel(call, worth, axis=0), None)


@operator("MatMulInteger", integers=True)
def matmul_integer(call: Call) -> View:
    x, worth = counted(call)
    return multiplied(call, x, matrix(integer_kernel(call, worth, axis=1)), None)


def counted(call: Call) -> tuple[View, Array]:
    """Integers as reals, and what one of them is worth: the result is to count them."""
    x = call.any_view(0)
    zero, _ = zeros(call, 2, np.ones(()))
    scale = np.ones((), np.float32) if x.grid is None else x.grid.scale
    require(scale.ndim == 0, "integers with a scale for each channel", found=scale.size, code="ONNX-QUANT")
    return reals_of(call, x, scale, zero), scale


def integer_kernel(call: Call, worth: Array, axis: int) -> Kernel:
    """Weights that count: the sums of products with reals, in integers."""
    stored = call.constant(1)
    several = call.has(3) and call.constant(3).values.size > 1
    scale = np.ones(call.constant(3).values.size if several else (), np.float32)
    zero, _ = zeros(call, 3, scale)
    found = weights(call, stored, scale, zero, axis)
    return kernel_from(call, found, axis).scaled(1.0 / float(worth))


# ---- com.microsoft --------------------------------------------------------------------------------------------


@operator("QLinearAdd", domains=[MICROSOFT], integers=True)
def qlinear_add(call: Call) -> View:
    return rounded(call, total(call, real(call, 0), real(call, 3)), 6)


@operator("QLinearConcat", domains=[MICROSOFT], integers=True)
def qlinear_concat(call: Call) -> View:
    parts = [real(call, i) for i in range(2, call.count, 3)]
    return rounded(call, joined(call, parts), 0)


@operator("QLinearGlobalAveragePool", domains=[MICROSOFT], integers=True)
def qlinear_global_average_pool(call: Call) -> View:
    call.expect("channels_last", 0)
    x = real(call, 0)
    mean = View.of(call.emit(nn.GlobalAveragePool(x.arranged(map_axes(x), call.emit))), (0, 1), x.rank)
    return rounded(call, mean, 3)


@operator("QLinearAveragePool", domains=[MICROSOFT], integers=True)
def qlinear_average_pool(call: Call) -> View:
    call.expect("channels_last", 0)
    return rounded(call, averaged(call, real(call, 0)), 3)


@operator("QLinearSigmoid", domains=[MICROSOFT], integers=True)
def qlinear_sigmoid(call: Call) -> View:
    return rounded(call, applied(call, real(call, 0), Function.SIGMOID), 3)


@operator("QLinearLeakyRelu", domains=[MICROSOFT], integers=True)
def qlinear_leaky_relu(call: Call) -> View:
    return rounded(call, applied(call, real(call, 0), Function.LEAKY_RELU, call.attribute("alpha", 0.01)), 3)
