"""Poolings: windows of a map, and the whole of it."""

from __future__ import annotations

import math

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.onnx.standard.borders import both, padded, window
from cnn2snn_ir.frontends.onnx.standard.call import Call, operator
from cnn2snn_ir.frontends.onnx.standard.faults import require
from cnn2snn_ir.frontends.onnx.standard.view import View, map_axes
from cnn2snn_ir.ir import Value


@operator("MaxPool", integers=True)
def max_pool(call: Call) -> View:
    x = call.view(0)
    call.ignore("storage_order")  # of the positions, which are not computed
    axes = map_axes(x)
    value = x.arranged(axes, call.emit)
    size = both(call.ints("kernel_shape", x.rank - 2, least=1), 1)
    slide = window(call, value, size, x.rank == 3)
    spread = [d for d, k in zip(slide.dilation, size, strict=True) if k > 1 and d > 1]
    require(not spread, "a pooling with gaps in its window", found=slide.dilation, allowed="dilations of 1")
    value, padding = padded(call, value, slide, never_wins(value))
    pooled = call.emit(nn.MaxPool(value, size, slide.strides, padding))
    return View(pooled, View.of(pooled, axes, x.rank).dims, x.grid)


def never_wins(x: Value) -> float:
    """What a border holds so that it is never the maximum: 0 where nothing is below it."""
    return 0.0 if isinstance(x.owner, nn.ReLU) else -math.inf


@operator("AveragePool")
def average_pool(call: Call) -> View:
    return averaged(call, call.view(0))


def averaged(call: Call, x: View) -> View:
    """The means over windows; a border either counts, as zeros, or does not."""
    axes = map_axes(x)
    value = x.arranged(axes, call.emit)
    size = both(call.ints("kernel_shape", x.rank - 2, least=1), 1)
    slide = window(call, value, size, x.rank == 3)
    spread = [d for d, k in zip(slide.dilation, size, strict=True) if k > 1 and d > 1]
    require(not spread, "a pooling with gaps in its window", found=slide.dilation, allowed="dilations of 1")
    if call.attribute("count_include_pad", 0) and slide.has_border:
        overhang = any(line.border[1] > line.end for line in slide.lines)
        message = "windows beyond the border, of which the border counts"
        require(not overhang, message, found="ceil_mode with count_include_pad", help="use one of them")
        rows, columns = (line.border for line in slide.lines)
        value, padding = call.emit(nn.Pad(value, rows, columns, 0.0)), Padding.VALID
    else:
        rule = slide.rule()
        borders = [line.border for line in slide.lines]
        message = "an average over a border that does not count, and that no border rule gives"
        require(rule is not None, message, found=borders, allowed="a border as even as possible")
        padding = rule or Padding.VALID
    if padding is Padding.VALID and size == value.type.per_sample[:2]:
        return View.of(call.emit(nn.GlobalAveragePool(value)), (0, 1), x.rank)
    return View.of(call.emit(nn.AveragePool(value, size, slide.strides, padding)), axes, x.rank)


@operator("GlobalAveragePool")
def global_average_pool(call: Call) -> View:
    x = call.view(0)
    return View.of(call.emit(nn.GlobalAveragePool(x.arranged(map_axes(x), call.emit))), (0, 1), x.rank)


@operator("GlobalMaxPool", integers=True)
def global_max_pool(call: Call) -> View:
    x = call.view(0)
    axes = map_axes(x)
    value = x.arranged(axes, call.emit)
    height, width, _ = value.type.per_sample
    pooled = call.emit(nn.MaxPool(value, (height, width), (height, width)))
    return View(pooled, View.of(pooled, axes, x.rank).dims, x.grid)


@operator("ReduceMean")
def reduce_mean(call: Call) -> View:
    """A mean over the whole map; over other dimensions it is refused."""
    x, keep = call.view(0), call.attribute("keepdims", 1)
    given = call.axes("axes", 1)
    if not given and call.attribute("noop_with_empty_axes", 0):
        return x
    reduced = {x.axis(a) for a in given} if given else set(range(x.rank))
    rest = [a for a in range(1, x.rank) if a not in reduced]
    fits = 0 not in reduced and len(rest) == 1 and len(reduced) in (1, 2)
    require(fits, "a mean over other dimensions than those of a map", found=sorted(reduced), allowed="height and width")
    over = sorted(reduced)
    axes = (0, *(over if len(over) == 2 else (None, over[0])), rest[0])
    mean = View.of(call.emit(nn.GlobalAveragePool(x.arranged(axes, call.emit))), (0, rest[0]), x.rank)
    return mean if keep else mean.squeezed(reduced)
