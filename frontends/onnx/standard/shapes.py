"""Ops that move values: most of them change how ONNX sees a value, and nothing in memory (`view.py`)."""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.call import Call, operator
from cnn2snn_ir.frontends.onnx.standard.constants import BATCHES, Constant, computed, shape_of
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import BATCH, View, channels_last
from cnn2snn_ir.ir import F32, F64

FLOAT_TYPES = {1: "float32", 11: "float64"}
"""`TensorProto.DataType` of what the module's reals may be called."""


@operator("Shape", integers=True)
def shape(call: Call) -> Constant:
    whole = shape_of(call.any_view(0))
    part = slice(call.attribute("start", 0), call.attribute("end"))
    return computed(whole.values[part], whole.at(1)[part])


@operator("Size", integers=True)
def size(call: Call) -> Constant:
    whole = shape_of(call.any_view(0))
    return computed(*(np.asarray(whole.at(i).prod(), np.int64) for i in range(len(BATCHES))))


@operator("Transpose", integers=True)
def transpose(call: Call) -> View:
    x = call.any_view(0)
    return x.transposed(call.ints("perm") if "perm" in call.node.attributes else tuple(reversed(range(x.rank))))


@operator("Squeeze", integers=True)
def squeeze(call: Call) -> View:
    x, axes = call.any_view(0), call.axes("axes", 1)
    units = {a for a, length in enumerate(x.shape) if length == 1}
    return x.squeezed(units if axes is None else {x.axis(a) for a in axes})


@operator("Unsqueeze", integers=True)
def unsqueeze(call: Call) -> View:
    x, axes = call.any_view(0), call.axes("axes", 1) or []
    rank = x.rank + len(axes)
    fits = all(-rank <= a < rank for a in axes) and len({a % rank for a in axes}) == len(axes)
    require(fits, "axes that the result does not have", found=axes, code="ONNX-SHAPE")
    return x.unsqueezed({a % rank for a in axes})


@operator("Flatten", integers=True)
def flatten(call: Call) -> View:
    x, axis = call.any_view(0), call.attribute("axis", 1)
    message = "it does not keep the batch apart"
    require(x.axis(axis) == 1 if x.rank > 1 else axis == 1, message, found=f"axis {axis}", allowed="1")
    return reshaped(call, x, (x.size,))


@operator("Reshape", integers=True)
def reshape(call: Call) -> View:
    x = call.any_view(0)
    wanted = call.constant(1) if call.has(1) else computed(np.array(call.ints("shape"), np.int64))
    keep_zeros = bool(call.attribute("allowzero", 0))
    require(wanted.values.dtype.kind in "iu", "a shape must hold integers", found=wanted.dtype, code="ONNX-TYPE")
    first, second = wanted.at(0).reshape(-1), wanted.at(1).reshape(-1)
    require(first.size > 0, "a reshape to a single number", found="[]", code="ONNX-BATCH")
    sizes = [None if a != b else int(a) for a, b in zip(first, second, strict=True)]
    require(not (keep_zeros and 0 in sizes), "a reshape to nothing", found=sizes, code="ONNX-SHAPE")
    return reshaped(call, x, sample_sizes(x, sizes, (int(first[0]), int(second[0]))))


def sample_sizes(x: View, sizes: list[int | None], batch: tuple[int, int]) -> tuple[int, ...]:
    """The sizes behind the batch, by ONNX's rules: 0 keeps a size, -1 is the rest; None follows the batch size."""
    rest = [x.shape[a] if s == 0 and a < x.rank else s for a, s in enumerate(sizes)][1:]
    known = math.prod(s for s in rest if s not in (None, -1))
    if rest.count(-1) == 1 and known and sizes[0] != -1 and x.size % known == 0:
        rest[rest.index(-1)] = x.size // known
    follows = batch == BATCHES or sizes[0] == 1 or (sizes[0] == 0 and x.dims[0] == BATCH) or sizes[0] == -1
    fits = follows and None not in rest and all(s is not None and s >= 0 for s in rest)
    if not fits or math.prod(s or 0 for s in rest) != x.size:
        raise UnsupportedNodeError(
            "a reshape that does not keep the batch as the first dimension",
            found=f"{x.described} to [{', '.join('batch' if s is None else str(s) for s in sizes)}]",
            allowed="[batch, …], written as 0, -1, 1 or the size that Shape gives",
            help="use Flatten, or export the model with a batch of 1",
            code="ONNX-BATCH",
        )
    return tuple(s for s in rest if s is not None)


def reshaped(call: Call, x: View, sizes: tuple[int, ...]) -> View:
    """The view as [batch, *sizes]; where memory has another order, the values move."""
    found = x.regrouped(sizes)
    if found is not None:
        return found
    straight = x.arrange(tuple(range(x.rank)), call.emit)
    require(x.uniform_grid, "integers with a scale for each channel change their shape", code="ONNX-LAYOUT")
    axes = tuple(range(len(sizes) + 1))
    value = straight.value
    if value.type.per_sample != sizes:
        value = call.emit(nn.Reshape(value, sizes))
    return View(value, View.of(value, axes, len(axes)).dims, x.grid)


@operator("Concat", integers=True)
def concat(call: Call) -> View:
    return joined(call, [call.any_view(i) for i in range(call.count)])


def joined(call: Call, parts: list[View]) -> View:
    """Views joined along the node's axis."""
    ranks = {p.rank for p in parts}
    require(len(ranks) == 1, "operands of different ranks are joined", found=sorted(ranks), code="ONNX-SHAPE")
    axis = parts[0].axis(call.attribute("axis", 1))
    require(axis != 0, "samples are joined, not what belongs to one", found="axis 0", code="ONNX-BATCH")
    grids = {id(p.grid): p.grid for p in parts}.values()
    first = next(iter(grids))
    same = all(g is first or (g is not None and first is not None and g.equals(first)) for g in grids)
    require(same and not any(p.is_raw for p in parts), "integers of different scales are joined", code="ONNX-QUANT")
    axes = parts[0].axes
    if axes is None or axis not in axes:
        axes = channels_last(parts[0].rank) if parts[0].rank in (3, 4) else tuple(range(parts[0].rank))
    uniform = all(p.uniform_grid for p in parts)
    require(uniform, "integers with a scale for each channel are joined", code="ONNX-QUANT")
    values = tuple(p.arranged(axes, call.emit) for p in parts)
    whole = call.emit(nn.Concat(values, axes.index(axis)))
    return View(whole, View.of(whole, axes, parts[0].rank).dims, first)


@operator("Pad", integers=True)
def pad(call: Call) -> View:
    """A border around a map."""
    x = call.any_view(0)
    call.expect("mode", "constant", help="use zero padding")
    pads, over = call.axes("pads", 1), call.whole(3) if call.has(3) else list(range(x.rank))
    pads = list(call.ints("paddings")) if pads is None else pads
    fits = len(pads) == 2 * len(over) and not x.is_raw
    require(fits, "pads must have a begin and an end for each axis", found=pads, code="ONNX-ATTRIBUTE")
    value = call.number(2) if call.has(2) else float(call.attribute("value", 0.0))
    if x.grid is not None:
        require(x.uniform_grid, "integers with a scale for each channel get a border", code="ONNX-QUANT")
        value = (value - float(x.grid.zero)) * float(x.grid.scale)
    borders = {x.axis(a): (pads[i], pads[i + len(over)]) for i, a in enumerate(over)}
    borders = {a: b for a, b in borders.items() if any(b)}
    if not borders:
        return x
    axes = x.axes if x.rank == 4 else None
    if axes is None or len(axes) != 4 or not set(borders) <= set(axes[1:3]):
        axes = (0, None, 2, 1) if x.rank == 3 else channels_last(x.rank)
    fits = len(axes) == 4 and set(borders) <= set(axes[1:3]) and all(min(b) >= 0 for b in borders.values())
    require(fits, "a border elsewhere than around a map", found=pads, allowed="0 or more rows and columns")
    rows, columns = (borders.get(a, (0, 0)) if a is not None else (0, 0) for a in axes[1:3])
    padded = call.emit(nn.Pad(x.arranged(axes, call.emit), rows, columns, value))
    return View(padded, View.of(padded, axes, x.rank).dims, x.grid)


@operator("Cast", integers=True)
def cast(call: Call) -> View:
    """Integers of the input become reals; reals stay what they are."""
    x, to = call.any_view(0), call.attribute("to", 1)
    call.ignore("saturate", "round_mode")
    to = {"FLOAT": 1, "DOUBLE": 11}.get(to, to)
    require(to in FLOAT_TYPES, "a cast to other numbers", found=to, allowed=", ".join(FLOAT_TYPES.values()))
    if x.is_raw:
        return x.on(call.emit(nn.InputScaling(x.value)))
    if x.grid is None:
        return x
    scale = call.tensor(1.0 / x.grid.scale.astype(np.float64), F64, "scale")
    reals = call.emit(nn.Affine(x.value, scale, call.tensor(x.grid.zero, F32, "offset")))
    return View(reals, x.dims)
