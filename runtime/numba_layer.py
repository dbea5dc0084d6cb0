"""Layers with weights on the numba backend: a convolution, and commands for what cannot be part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from cnn2snn_ir.analysis.interval import Range, integers
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.commands import Commands, Fields, reading, writing
from cnn2snn_ir.runtime.layer import Ints, Layer
from cnn2snn_ir.runtime.numba_kernels import Kernel
from cnn2snn_ir.runtime.packing import form_of, pack, pack_depthwise, whole_blocks
from cnn2snn_ir.runtime.requantize import INT16, INT32, UINT8, inside
from cnn2snn_ir.runtime.storage import Array, Buffer, Layout, Offsets
from cnn2snn_ir.runtime.vector_kernels import BLOCK, MULTIPLIES_BYTES


class Stage(NamedTuple):
    """One command of a layer, but for where its operand and its result lie."""

    kernel: Kernel
    places: Offsets
    fields: Fields
    result: Layout | None = None
    """Of what the next stage reads; the last one writes the layer's result."""


def fits(layer: Layer, operands: Iterable[Range]) -> bool:
    """True if the kernels compute this layer, of an op whose operands lie in these ranges, exactly.

    A sum of products may wrap on its way, as long as its end lies within 32 bits.  A maximum is taken after the first
    formula, which is right if that is monotone.
    """
    epilogue = layer.epilogue
    weights, fill = (Range.of(values.min(), values.max()) for values in (layer.weights, layer.fill))
    narrow = all(inside(values, INT16) for values in (*operands, weights, fill)) and inside(layer.ranges.output, INT32)
    in_order = layer.pool is not Pool.MAX or epilogue.first.rescale.monotone
    supported = epilogue.last is None or epilogue.sums
    return narrow and in_order and supported and all(f.fits_int32 and f.ends_in_range for f in epilogue.formulas)


@dataclass(frozen=True, eq=False)
class LayerStep:
    """One layer with weights, packed once for every chunk."""

    op: akida2.NeuralLayer
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, layer: Layer, x: Layout, y: Layout, operands: Iterable[Range]) -> LayerStep:
        """The step for operands and results of these layouts, and operands in these ranges."""
        return cls(layer.op, tuple(stages(layer, x, y, operands)))

    def bind(self, buffers: Buffers) -> Commands:
        """See `Step`."""
        return self.reading(buffers[self.op.operands[0]], buffers)

    def reading(self, x: Buffer, buffers: Buffers) -> Commands:
        """The commands that read the map `x`."""
        commands = []
        for stage in self.stages:
            y = buffers[self.op.result] if stage.result is None else buffers.scratch(stage.result)
            place: Fields = {**reading(x), **writing(y, stage.places)}
            commands.append(Commands.of(stage.kernel, **{**place, **stage.fields}))
            x = y
        return Commands.joined(commands)


def byte_factors(layer: Layer, operands: Iterable[Range]) -> Ints | None:
    """What elements of each channel are multiplied by, and weights divided, to make both bytes; None if they cannot be.

    Weights have more than 8 bits where the input of a channel is shifted; its elements often have a bit to spare.
    Even a pointwise layer of 8 filters is worth making bytes of its input.
    """
    if not MULTIPLIES_BYTES or layer.depthwise:
        return None
    weights = np.maximum(layer.weights, -1 - layer.weights).max(axis=(0, 1, 3))
    factors = np.array([1 << max(0, int(largest).bit_length() - 7) for largest in weights], np.int64)
    if (layer.weights % factors[:, None]).any():
        return None
    values = (*operands, Range.of(layer.fill, layer.fill))
    return factors if all(inside(v.times(integers(factors)), UINT8) for v in values) else None


@lru_cache(64)
def repeated(factors: tuple[int, ...], pixels: int) -> Array:
    """The factors of a row, which are those of many layers: mostly 1."""
    return np.tile(np.array(factors, np.int32), pixels)


def stages(layer: Layer, x: Layout, y: Layout, operands: Iterable[Range]) -> Iterator[Stage]:
    """The commands of a layer in order."""
    if (factors := byte_factors(layer, operands)) is not None:
        x = replace(x, dtype=np.dtype(np.uint8))
        layer = replace(layer, weights=layer.weights // factors[:, None])
        row = repeated(tuple(factors.tolist()), layer.row_pitch(x) // x.channels)
        yield Stage(Kernel.NARROW, np.empty(0, np.int64), {"factors": row, "width": len(row)}, x)
    *before, last = parts(layer, y)
    for make, result in before:
        yield make(layer, x, result, result.pixels())._replace(result=result)
        x = result
    make, _ = last
    yield make(layer, x, y, layer.places(y))


def parts(layer: Layer, y: Layout) -> Iterator[tuple[Make, Layout]]:
    """What a layer consists of, each part with the layout of its result; the last one's is another if that is `y`."""
    table, pool = layer.epilogue.table, layer.pool
    dtype: np.dtype[Any] = y.dtype
    if table is not None:
        dtype = np.dtype(np.int16)  # an index
    elif pool is Pool.AVERAGE:
        dtype = np.dtype(np.int32)
    shape: tuple[int, ...] = (*layer.positions, layer.filters)
    yield convolution, Layout(shape, dtype)
    if pool is Pool.MAX:
        shape = (*y.shape[:2], layer.filters)
        yield max_pool, Layout(shape, dtype)
    if table is not None:
        yield lookup, Layout(shape, np.dtype(np.int32))
    if pool is Pool.AVERAGE:
        yield average_pool, y


def convolution(layer: Layer, x: Layout, y: Layout, places: Offsets) -> Stage:
    """The sums of products and the first formula."""
    if layer.depthwise:
        return depthwise_convolution(layer, x, y, places)
    pitch, form = layer.row_pitch(x), form_of(layer, x)
    segments, groups, w = pack(layer, pitch, form)
    constants = whole_blocks(layer.epilogue.first.constants(layer.filters))
    fields: Fields = {
        "starts": layer.window_starts(x),
        "segments": segments,
        "pitch": pitch,
        "groups": groups,
        "form": form,
        "w": w,
        "constants": constants,
        "width": constants.shape[1],
    }
    return Stage(Kernel.CONVOLVE, places, fields)


def depthwise_convolution(layer: Layer, x: Layout, y: Layout, places: Offsets) -> Stage:
    """The same for a depthwise layer.

    Pixels that are neighbours in a row are neighbours in memory too, before and after: as many as fill a block are
    computed as one pixel with all their channels.
    """
    rows, columns = layer.positions
    neighbours = layer.stride == layer.step == 1
    group = max(1, min(columns, BLOCK // layer.filters)) if neighbours else 1
    first = np.minimum(np.arange(0, columns, group), columns - group)
    starts, places = (
        np.ascontiguousarray(offsets.reshape(rows, columns)[:, first]).reshape(-1)
        for offsets in (layer.window_starts(x), places)
    )
    taps, w = pack_depthwise(layer, x, group)
    constants = whole_blocks(np.tile(layer.epilogue.first.constants(layer.filters), group))
    fields: Fields = {
        "starts": starts,
        "channels": layer.filters * group,
        "taps": taps,
        "groups": len(taps) // 2,
        "w": w,
        "constants": constants,
        "width": constants.shape[1],
    }
    return Stage(Kernel.DEPTHWISE, places, fields)


def max_pool(layer: Layer, x: Layout, y: Layout, places: Offsets) -> Stage:
    """Max pooling of `x`, which has no border."""
    assert isinstance(layer.op, akida2.ConvLayer)
    ((top, _), (left, _)) = layer.pool_border
    (height, width), (down, right) = layer.op.pool_size, layer.op.pool_stride
    fields: Fields = {
        "rows": layer.positions[0],
        "columns": layer.positions[1],
        "pooled_columns": y.shape[1],
        "pool_height": height,
        "pool_width": width,
        "pool_down": down,
        "pool_right": right,
        "pool_top": top,
        "pool_left": left,
    }
    return Stage(Kernel.MAX_POOL, places, fields)


def average_pool(layer: Layer, x: Layout, y: Layout, places: Offsets) -> Stage:
    """The sum over all positions of `x`, which has no border, and the last formula."""
    assert layer.epilogue.last is not None
    rows, columns = layer.positions
    constants = layer.epilogue.last.constants(layer.filters)
    fields: Fields = {"rows": rows, "columns": columns, "constants": constants, "width": layer.filters}
    return Stage(Kernel.AVERAGE_POOL, places, fields)


def lookup(layer: Layer, x: Layout, y: Layout, places: Offsets) -> Stage:
    """The results for the indices in `x`."""
    table = layer.epilogue.table
    assert table is not None
    fields: Fields = {
        "starts": x.pixels(),
        "table": table.results.astype(y.dtype),  # an entry that does not fit is never reached
        "entries": table.results.size,
        "origins": table.origins(layer.filters),
    }
    return Stage(Kernel.LOOKUP, places, fields)


Make: TypeAlias = Callable[[Layer, Layout, Layout, Offsets], Stage]
"""Makes a stage that reads one layout, and writes another one at the given places."""
