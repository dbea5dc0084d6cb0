"""Maps made larger: nearest neighbours by whole factors, and channels that become positions."""

from __future__ import annotations

import math
from collections.abc import Callable

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.call import Call, operator
from cnn2snn_ir.frontends.onnx.standard.faults import require
from cnn2snn_ir.frontends.onnx.standard.view import View, map_axes

SOURCES: dict[str, Callable[[int, float, int], float]] = {
    "asymmetric": lambda i, scale, length: i / scale,
    "half_pixel": lambda i, scale, length: (i + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda i, scale, length: (i + 0.5) / scale - 0.5 if length * scale > 1 else 0.0,
    "half_pixel_symmetric": lambda i, scale, length: (i + 0.5) / scale - 0.5,
    "tf_half_pixel_for_nn": lambda i, scale, length: (i + 0.5) / scale,
    "align_corners": lambda i, scale, length: i * (length - 1) / max(length * scale - 1, 1),
}
"""Position in the result, scale, length ▶ position in the operand, for whole scales."""

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}


@operator("Resize", integers=True)
def resize(call: Call) -> View:
    x = call.any_view(0)
    call.expect("mode", "nearest", help="use nearest neighbours, or ConvTranspose")
    call.ignore("cubic_coeff_a", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy")
    call.expect("antialias", 0)
    old = call.opset < 11
    place = "asymmetric" if old else call.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else call.attribute("nearest_mode", "round_prefer_floor")
    if call.has(1) and not old:
        call.operand(1)  # the region of interest, which nearest neighbours of a whole map do not have
    found = [round_factor(f) for f in given_factors(call, x, old)]
    known = place in SOURCES and rounding in ROUNDINGS
    require(known, "a way to find neighbours that is not supported", found=f"{place}, {rounding}")
    return upsampled(call, x, found, place, rounding)


def given_factors(call: Call, x: View, old: bool) -> list[float]:
    """The factor of each ONNX axis."""
    factors = [1.0] * x.rank
    over = [x.axis(a) for a in call.ints("axes")] or list(range(x.rank))
    index = 1 if old else 2
    scales = [float(s) for s in call.floats(index).reshape(-1)] if call.has(index) else []
    if not scales:
        sizes = call.constant(3)
        wanted = [1 if a != b else int(a) for a, b in zip(sizes.at(0), sizes.at(1), strict=True)]
        scales = [w / (x.shape[a] or w) for a, w in zip(over, wanted, strict=False)]
    require(len(scales) == len(over), "factors that do not fit the map", found=scales, code="ONNX-SHAPE")
    for axis, scale in zip(over, scales, strict=True):
        factors[axis] = scale
    return factors


def round_factor(factor: float) -> int:
    """A factor that must be whole."""
    whole = factor >= 1 and factor == int(factor)
    require(whole, "a map is made larger by what is no whole number", found=factor, allowed="1, 2, 3, …")
    return int(factor)


@operator("Upsample", integers=True)
def upsample(call: Call) -> View:
    x = call.any_view(0)
    call.expect("mode", "nearest", help="use nearest neighbours, or ConvTranspose")
    given = call.floats(1).reshape(-1) if call.has(1) else call.attribute("scales", ())
    factors = [round_factor(float(f)) for f in given]
    require(len(factors) == x.rank, "factors that do not fit the map", found=factors, code="ONNX-SHAPE")
    return upsampled(call, x, factors, "asymmetric", "floor")


def upsampled(call: Call, x: View, factors: list[int], place: str, rounding: str) -> View:
    """A map of which every position is repeated."""
    axes = map_axes(x)
    if x.rank == 4 and factors[1] != 1 and factors[3] == 1:
        axes = (0, 1, 2, 3)  # channels last in ONNX too
    over = [a for a in axes[1:3] if a is not None]
    rest = [f for a, f in enumerate(factors) if a not in over]
    require(set(rest) <= {1}, "other dimensions than those of a map are made larger", found=factors)
    for axis in over:
        scale, length = factors[axis], x.shape[axis] or 0
        sources = (ROUNDINGS[rounding](SOURCES[place](i, scale, length)) for i in range(scale * length))
        repeats = all(min(max(s, 0), length - 1) == i // scale for i, s in enumerate(sources))
        require(repeats, "neighbours that are no repetition", found=f"{place}, {rounding}", help="asymmetric, floor")
    rows, columns = (1 if a is None else factors[a] for a in axes[1:3])
    if rows == columns == 1:
        return x
    larger = call.emit(nn.Upsample(x.arranged(axes, call.emit), (rows, columns)))
    return View(larger, View.of(larger, axes, x.rank).dims, x.grid)


@operator("DepthToSpace", integers=True)
def depth_to_space(call: Call) -> View:
    x, block = call.any_view(0), call.attribute("blocksize", 0)
    require(block > 0 and x.uniform_grid, "it does not say how large a block is", found=block, code="ONNX-ATTRIBUTE")
    channels_first = call.expect("mode", "DCR", "CRD") == "CRD"
    axes = map_axes(x)
    larger = call.emit(nn.DepthToSpace(x.arranged(axes, call.emit), block, channels_first))
    return View(larger, View.of(larger, axes, x.rank).dims, x.grid)
