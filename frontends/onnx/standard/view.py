"""How the dimensions of an ONNX value lie in the value of the module.

The module computes channels last.  An ONNX value is a *view* of a module's value: for each of its own dimensions the
view lists the module's dimensions that it is made of, slowest first.

    [N, C, H, W] of a map [n, h, w, c]      (0) (3) (1) (2)
    … flattened to [N, C·H·W]               (0) (3 1 2)
    … averaged over the map, [N, C, 1, 1]   (0) (1) () ()     of [n, c]

So Transpose, Squeeze, Unsqueeze, Flatten and most Reshapes cost nothing: they change the view.  Only an op that needs
another order in memory makes a transposition or a reshape of the module (`arranged`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.ir import ElementType, Op, Value

Array = npt.NDArray[Any]
Dims = tuple[tuple[int, ...], ...]
Emit = Callable[[Op], Value]
BATCH = (0,)
"""The group of the batch dimension."""


@dataclass(frozen=True)
class Grid:
    """The integers that an ONNX value holds: `real = (integer - zero) · scale`; the module's value holds the reals.

    Scale and zero are scalars, or one for each of the last dimension of the module's value.
    """

    scale: Array
    zero: Array
    element: ElementType

    def equals(self, other: Grid) -> bool:
        """True if both give every real the same integer."""
        same = np.array_equal(self.scale, other.scale) and np.array_equal(self.zero, other.zero)
        return same and self.element == other.element


@dataclass(frozen=True)
class View:
    """An ONNX value as a view of a module's value; `grid` if ONNX has integers where the module has reals."""

    value: Value
    dims: Dims
    grid: Grid | None = None

    @classmethod
    def of(cls, value: Value, axes: tuple[int | None, ...], rank: int) -> View:
        """The view of a value whose dimensions are the ONNX axes `axes`; None is a dimension of 1 that ONNX lacks.

        ONNX axes that are not among them have size 1.
        """
        place = {axis: (d,) for d, axis in enumerate(axes) if axis is not None}
        return cls(value, tuple(place.get(axis, ()) for axis in range(rank))).normal()

    def normal(self) -> View:
        """Without dimensions of 1: they may stand anywhere."""
        sizes = self.value.type.shape
        return replace(self, dims=tuple(tuple(d for d in group if sizes[d] != 1) for group in self.dims))

    @property
    def rank(self) -> int:
        """Number of ONNX dimensions."""
        return len(self.dims)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes in ONNX's order; None is the batch."""
        sizes = self.value.type.shape
        return tuple(None if 0 in group else math.prod(sizes[d] or 0 for d in group) for group in self.dims)

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return math.prod(self.value.type.per_sample)

    @property
    def is_raw(self) -> bool:
        """True for integers as they come into the program, of which no scale is known yet."""
        return not self.value.type.element.is_float

    def on(self, value: Value) -> View:
        """The same view of another value of the same shape."""
        return replace(self, value=value)

    def axis(self, axis: int) -> int:
        """An axis that may count from the end; raises `UnsupportedNodeError` if there is none."""
        require(-self.rank <= axis < self.rank, "an axis that the operand does not have", found=axis, code="ONNX-SHAPE")
        return axis % self.rank

    # ---- changes of the view alone ------------------------------------------------------------------------------

    def transposed(self, order: tuple[int, ...]) -> View:
        """Dimensions in another order."""
        valid = sorted(order) == list(range(self.rank))
        require(valid, "no order of the operand's dimensions", found=list(order), code="ONNX-SHAPE")
        return replace(self, dims=tuple(self.dims[a] for a in order))

    def squeezed(self, axes: set[int]) -> View:
        """Without dimensions of 1."""
        wrong = [a for a in sorted(axes) if self.dims[a]]
        advice = "keep the batch as the first dimension" if wrong and 0 in self.dims[wrong[0]] else ""
        message = "it squeezes a dimension that is not 1"
        require(not wrong, message, found=f"axis {wrong[:1]} of {self.described}", help=advice, code="ONNX-SHAPE")
        return replace(self, dims=tuple(g for a, g in enumerate(self.dims) if a not in axes))

    def unsqueezed(self, axes: set[int]) -> View:
        """With further dimensions of 1, at these places of the result."""
        groups = iter(self.dims)
        return replace(self, dims=tuple(() if a in axes else next(groups) for a in range(self.rank + len(axes))))

    def regrouped(self, sizes: tuple[int, ...]) -> View | None:
        """The view as [batch, *sizes], or None where memory would have to be in another order for it."""
        lengths, rest = self.value.type.shape, [d for group in self.dims for d in group]
        if rest[:1] != [0]:
            return None
        groups: list[tuple[int, ...]] = [BATCH]
        rest = rest[1:]
        for size in sizes:
            group: list[int] = []
            while math.prod(lengths[d] or 0 for d in group) < size and rest:
                group.append(rest.pop(0))
            if math.prod(lengths[d] or 0 for d in group) != size:
                return None
            groups.append(tuple(group))
        return None if rest else replace(self, dims=tuple(groups))

    # ---- memory -------------------------------------------------------------------------------------------------

    def arranged(self, axes: tuple[int | None, ...], emit: Emit) -> Value:
        """The value with the ONNX axes `axes` as its dimensions, transposed and reshaped where it must be.

        None stands for a dimension of 1.  Raises `UnsupportedNodeError` if the batch would not come first.
        """
        require(bool(axes) and axes[0] is not None and self.dims[axes[0]] == BATCH, *MISPLACED_BATCH)
        wanted = [d for axis in axes if axis is not None for d in self.dims[axis]]
        value, shape = self.value, self.shape
        if wanted != sorted(wanted):
            require(self.uniform_grid, "integers with a scale for each channel change their order", code="ONNX-LAYOUT")
            value = emit(nn.Transpose(value, (*wanted, *(d for d in range(value.type.rank) if d not in wanted))))
        sizes = tuple(1 if axis is None else shape[axis] or 0 for axis in axes[1:])
        return value if value.type.per_sample == sizes else emit(nn.Reshape(value, sizes))

    def arrange(self, axes: tuple[int | None, ...], emit: Emit) -> View:
        """The view of the value that `arranged` gives."""
        return replace(View.of(self.arranged(axes, emit), axes, self.rank), grid=self.grid)

    def with_last(self, axis: int, emit: Emit) -> View:
        """A view of which ONNX axis `axis` is the last dimension of the value."""
        if self.dims[axis] == (self.value.type.rank - 1,) or (not self.dims[axis] and self.value.type.channels == 1):
            return self
        return self.arrange((*(a for a in range(self.rank) if a != axis), axis), emit)

    def channels_last(self, emit: Emit) -> View:
        """A view of a value with the ONNX channels, axis 1, last."""
        return self.arrange(channels_last(self.rank), emit)

    @property
    def axes(self) -> tuple[int | None, ...] | None:
        """The ONNX axis of each dimension of the value, None for one of 1; None if an axis has several dimensions."""
        owner = {group[0]: axis for axis, group in enumerate(self.dims) if len(group) == 1}
        if any(len(group) > 1 for group in self.dims):
            return None
        return tuple(owner.get(d) for d in range(self.value.type.rank))

    def like(self, other: View, emit: Emit) -> View:
        """A view of the same ONNX value whose value lies in memory as that of `other`, or as ONNX has it."""
        if self.dims == other.dims and self.value.type.shape == other.value.type.shape:
            return self
        axes = other.axes
        return self.arrange(tuple(range(self.rank)) if axes is None else axes, emit)

    @property
    def uniform_grid(self) -> bool:
        """True unless the integers have a scale for each channel."""
        return self.grid is None or (self.grid.scale.ndim == 0 and self.grid.zero.ndim == 0)

    @property
    def described(self) -> str:
        """The ONNX shape as messages show it."""
        return "[" + ", ".join("batch" if s is None else str(s) for s in self.shape) + "]"


MISPLACED_BATCH = ("the batch is not the first dimension of the operand",)


def channels_last(rank: int) -> tuple[int, ...]:
    """ONNX axes in the module's order: the batch, the map, the channels."""
    return (0, *range(2, rank), 1) if rank > 1 else tuple(range(rank))


def map_axes(view: View) -> tuple[int | None, ...]:
    """ONNX axes of a map [batch, height, width, channels]; a sequence is a map of height 1."""
    if view.rank == 3:
        return (0, None, 2, 1)
    message = "it needs a map of two dimensions, or a sequence"
    advice = "maps of three dimensions (Conv3D) have no counterpart on the chip" if view.rank == 5 else ""
    require(view.rank == 4, message, found=view.described, allowed="rank 3 or 4", help=advice, code="ONNX-SHAPE")
    return (0, 2, 3, 1)


def varying_axes(array: Array) -> Iterator[int]:
    """The axes along which a constant has more than one position."""
    return (axis for axis, size in enumerate(array.shape) if size != 1)


def spread(array: Array, view: View, emit: Emit) -> tuple[View, Array]:
    """A constant that ONNX would broadcast to the view's shape: a scalar, or one for each of the last dimension.

    Gives the view of which that is true.  Raises `UnsupportedNodeError` for constants of other shapes.
    """
    while array.ndim > view.rank and array.shape[0] == 1:
        array = array[0]
    if array.size and (array == array.flat[0]).all() and fits(array, view):
        return view, array.flat[0].reshape(())
    array = array.reshape((1,) * (view.rank - array.ndim) + array.shape)
    if fits(array, view):
        array = without_repetition(array)
    axes = list(varying_axes(array))
    if len(axes) != 1 or not fits(array, view):
        raise UnsupportedNodeError(
            "a constant that is neither one for all channels nor one for each",
            found=f"shape {list(array.shape)} for {view.described}",
            allowed="a scalar, or one value a channel",
            code="ONNX-SHAPE",
        )
    return view.with_last(axes[0], emit), array.reshape(-1)


def fits(array: Array, view: View) -> bool:
    """True if broadcasting an array to a view does not change the view's shape."""
    if array.ndim > view.rank:
        return False
    shape = view.shape[view.rank - array.ndim :]
    return all(size in (1, length) for size, length in zip(array.shape, shape, strict=True))


def without_repetition(array: Array) -> Array:
    """The array with every axis along which nothing changes cut to 1."""
    for axis in varying_axes(array):
        first = array.take([0], axis)
        if (array == first).all():
            array = first
    return array
