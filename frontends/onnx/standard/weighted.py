"""Layers with weights: convolutions, transposed ones, products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.onnx.standard.borders import AUTOMATIC, both, kernel_size, padded, window
from cnn2snn_ir.frontends.onnx.standard.call import Call, operator
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.kernels import Kernel, bias_tensor, kernel_of
from cnn2snn_ir.frontends.onnx.standard.view import View, map_axes
from cnn2snn_ir.ir import Tensor, Value

Array = npt.NDArray[Any]


@operator("Conv")
def conv(call: Call) -> View:
    x = call.view(0)
    kernel = kernel_of(call, 1, axis=0)
    bias = bias_tensor(call, 2, kernel.filters) if call.has(2) else None
    return convolved(call, x, kernel, bias)


def convolved(call: Call, x: View, kernel: Kernel, bias: Tensor | None) -> View:
    """A convolution with weights [filters, channels of a group, …kernel]."""
    axes = map_axes(x)
    fits = len(kernel.shape) == x.rank
    require(fits, "weights that do not fit the map", found=kernel.described, allowed=x.described, code="ONNX-SHAPE")
    size = kernel_size(call, kernel.shape[2:])
    channels, group = x.shape[1] or 0, call.attribute("group", 1)
    fits = group >= 1 and group * kernel.shape[1] == channels and kernel.shape[0] % group == 0
    found = f"weights {kernel.described} in {group} groups for {x.described}"
    require(fits, "weights, groups and channels do not fit", found=found, code="ONNX-SHAPE")
    value = x.arranged(axes, call.emit)
    value, slide = with_border_before(call, value, size, x.rank == 3)
    value, padding = padded(call, value, slide, 0.0)
    kernel = kernel.reshaped((*kernel.shape[:2], *size))
    scale = kernel.scale_tensor(call)
    if group > 1 and group == channels == kernel.shape[0]:
        weights = kernel.reshaped((group, *size)).transposed((1, 2, 0)).tensor(call)
        op = nn.DepthwiseConv2D(value, weights, bias, scale, slide.strides, padding, slide.dilation)
        return View.of(call.emit(op), axes, x.rank)
    full = in_full(call, kernel, group).transposed((2, 3, 1, 0)).tensor(call)
    return View.of(call.emit(nn.Conv2D(value, full, bias, scale, slide.strides, padding, slide.dilation)), axes, x.rank)


def with_border_before(call: Call, x: Value, size: tuple[int, int], sequence: bool) -> tuple[Value, Any]:
    """The window of a convolution, and the map that it slides over: a border of zeros before it becomes its own."""
    slide = window(call, x, size, sequence)
    pad = x.owner
    if not isinstance(pad, nn.Pad) or pad.value != 0.0 or slide.has_border:
        return x, slide
    sizes = pad.x.type.per_sample[:2]
    lines = zip(slide.lines, sizes, (pad.rows, pad.columns), strict=True)
    rows, columns = (line._replace(size=n, begin=b, end=e) for line, n, (b, e) in lines)
    wider = slide._replace(lines=(rows, columns))
    return (pad.x, wider) if wider.rule() is not None else (x, slide)


def in_full(call: Call, kernel: Kernel, group: int) -> Kernel:
    """A grouped kernel [filters, channels of a group, height, width] as one for all channels, with zeros between."""
    if group == 1:
        return kernel
    filters, channels, *size = kernel.shape
    full = np.zeros((filters, group * channels, *size), kernel.values.dtype)
    each = filters // group
    for g in range(group):
        full[g * each : (g + 1) * each, g * channels : (g + 1) * channels] = kernel.values[g * each : (g + 1) * each]
    message = "a grouped convolution is written out with zeros for the other groups; the result is the same"
    call.note("ONNX-GROUPS", message, found=f"{group} groups")
    return kernel.with_values(full)


@operator("ConvTranspose")
def conv_transpose(call: Call) -> View:
    x, group = call.view(0), call.attribute("group", 1)
    axes = map_axes(x)
    kernel = kernel_of(call, 1, axis=1 if group == 1 else 0)
    fits = len(kernel.shape) == x.rank and group >= 1 and kernel.shape[0] == x.shape[1] and not kernel.shape[0] % group
    found = f"weights {kernel.described} in {group} groups for {x.described}"
    require(fits, "weights, groups and channels do not fit", found=found, code="ONNX-SHAPE")
    bias = bias_tensor(call, 2, kernel.shape[1] * group) if call.has(2) else None
    size = kernel_size(call, kernel.shape[2:])
    value = x.arranged(axes, call.emit)
    strides, padding = crop(call, value, size, x.rank - 2)
    kernel = kernel.reshaped((*kernel.shape[:2], *size))
    scale = kernel.scale_tensor(call)
    if group > 1 and kernel.shape[:2] == (group, 1):
        weights = kernel.reshaped((group, *size)).transposed((1, 2, 0)).tensor(call)
        depthwise = nn.DepthwiseConv2DTranspose(value, weights, bias, scale, strides, padding)
        return View.of(call.emit(depthwise), axes, x.rank)
    require(group == 1, "groups of a transposed convolution", found=group, allowed="1, or one for each channel")
    full = kernel.transposed((2, 3, 0, 1)).tensor(call)
    return View.of(call.emit(nn.Conv2DTranspose(value, full, bias, scale, strides, padding)), axes, x.rank)


def crop(call: Call, x: Value, size: tuple[int, int], axes: int) -> tuple[tuple[int, int], Padding]:
    """Strides and the border rule that crops a transposed convolution as the node says."""
    call.expect("dilations", (1,) * axes, ())
    strides = both(call.ints("strides", axes, default=1, least=1), 1)
    extra = both(call.ints("output_padding", axes, least=0), 0)
    pads, stated = call.ints("pads", 2 * axes), call.ints("output_shape")
    automatic = call.attribute("auto_pad", "NOTSET")
    sizes = x.type.per_sample[:2]
    whole = [(n - 1) * s + k + e for n, s, k, e in zip(sizes, strides, size, extra, strict=True)]
    begins, ends = both(pads[:axes], 0), both(pads[axes:], 0)
    results = tuple(w - b - e for w, b, e in zip(whole, begins, ends, strict=True))
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        results = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    if stated or automatic in ("SAME_UPPER", "SAME_LOWER"):
        results = both(stated[-axes:], 1) if stated else results
        totals = [max(w - r, 0) for w, r in zip(whole, results, strict=True)]
        upper = automatic == "SAME_UPPER"
        begins = (totals[0] // 2, totals[1] // 2) if upper else (-(-totals[0] // 2), -(-totals[1] // 2))
    require(automatic in (*AUTOMATIC, "NOTSET"), "auto_pad has a value that ONNX does not know", found=automatic)
    for rule in (Padding.VALID, Padding.SAME, Padding.SAME_UPPER):
        lines = zip(sizes, size, strides, begins, results, strict=True)
        if all(cropped(n, k, s, rule) == (b, r) for n, k, s, b, r in lines):
            return strides, rule
    raise UnsupportedNodeError(
        "a transposed convolution that crops its result in another way",
        found=f"kernel {size}, strides {strides}, pads {pads}, output_padding {extra}, result {results}",
        allowed="a result of input · stride positions, or of everything that is computed",
        help="pads of (kernel - stride) / 2 at both ends",
    )


def cropped(size: int, kernel: int, stride: int, rule: Padding) -> tuple[int, int]:
    """Positions cut off before an axis, and positions left."""
    excess = max(kernel - stride, 0)
    if rule is Padding.VALID:
        return 0, size * stride + excess
    return (excess + (rule is Padding.SAME_UPPER)) // 2, size * stride


# ---- products of matrices ---------------------------------------------------------------------------------------


@operator("Gemm")
def gemm(call: Call) -> View:
    x = call.view(0)
    call.expect("transA", 0, help="transpose the other operand")
    transposed = bool(call.attribute("transB", 0))
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    kernel = kernel_of(call, 1, axis=0 if transposed else 1)
    kernel = matrix(kernel, transposed)
    bias = bias_tensor(call, 2, kernel.shape[1], beta) if call.has(2) else None
    require(x.rank == 2, "a product with what is no matrix", found=x.described, allowed="rank 2", code="ONNX-SHAPE")
    return multiplied(call, x, kernel.scaled(alpha), bias)


@operator("MatMul")
def matmul(call: Call) -> View:
    message = "a product of two tensors that both depend on the input"
    require(call.is_constant(1) or call.is_constant(0), message, help="use a layer with constant weights")
    require(not call.is_constant(0), "a product with a constant on the left", help="put the weights on the right")
    kernel = kernel_of(call, 1, axis=-1)
    return multiplied(call, call.view(0), matrix(kernel), None)


def matrix(kernel: Kernel, transposed: bool = False) -> Kernel:
    """Weights of two dimensions."""
    require(len(kernel.shape) == 2, "a product with what is no matrix", found=kernel.described, code="ONNX-SHAPE")
    return kernel.transposed((1, 0)) if transposed else kernel


def multiplied(call: Call, x: View, kernel: Kernel, bias: Tensor | None) -> View:
    """`x @ weights + bias` over the last ONNX dimension; the rows of the weights follow the order in memory."""
    fits = x.rank >= 2 and x.shape[-1] == kernel.shape[0]
    found = f"{x.described} by {kernel.described}"
    require(fits, "operands of a product do not fit", found=found, code="ONNX-SHAPE")
    group = x.dims[-1]
    if len(group) > 1 and x.rank == 2 and x.uniform_grid:
        lengths = x.value.type.shape
        sizes = tuple(lengths[d] or 0 for d in group)
        order = np.argsort(group)
        rows = kernel.reshaped((*sizes, kernel.shape[1])).transposed((*map(int, order), len(group)))
        kernel = rows.reshaped(kernel.shape)
        x = View(x.value, ((0,), tuple(sorted(group))), x.grid)
    axes = tuple(range(x.rank))
    value = x.arranged(axes, call.emit)
    dense = nn.Dense(value, kernel.tensor(call), bias, kernel.scale_tensor(call))
    return View.of(call.emit(dense), axes, x.rank)
