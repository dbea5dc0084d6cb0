"""Commands for the compiled kernels: where operands and results lie, as addresses and sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from cnn2snn_ir.runtime.numba_kernels import COMMAND, Kernel, execute
from cnn2snn_ir.runtime.storage import Array, Buffer, Offsets

Fields: TypeAlias = dict[str, int | Array]
"""Fields of a command; an array stands for its address."""


class Commands:
    """Commands for the kernels, and the arrays whose addresses they hold."""

    def __init__(self, rows: Array, arrays: list[Array]) -> None:
        self.rows = rows
        self.arrays = arrays

    @classmethod
    def of(cls, kernel: Kernel, **fields: int | Array) -> Commands:
        """One command."""
        rows = np.zeros(1, COMMAND)
        rows["kernel"] = kernel
        arrays = []
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                assert value.flags.c_contiguous, name  # a kernel knows an address, no strides
                arrays.append(value)
                rows[name] = value.ctypes.data
            else:
                rows[name] = value
        return cls(rows, arrays)

    @classmethod
    def joined(cls, parts: Iterable[Commands]) -> Commands:
        """One after the other."""
        parts = list(parts)
        return cls(np.concatenate([part.rows for part in parts]), [a for part in parts for a in part.arrays])

    def __call__(self, count: int) -> None:
        """Run them."""
        execute(count, self.rows)


def is_wide(buffer: Buffer) -> int:
    """1 for int32."""
    return int(buffer.layout.dtype == np.int32)


def reading(x: Buffer) -> Fields:
    """The fields that say where operand `x` lies."""
    return {"x": x.flat, "x_size": x.layout.sample_size, "x_wide": is_wide(x)}


def writing(y: Buffer, places: Offsets | None = None, pixels: int = 1) -> Fields:
    """The fields that say where result `y` lies: runs of so many pixels at `places`, or every pixel."""
    places = y.layout.pixels() if places is None else places
    place: Fields = {"y": y.flat, "y_size": y.layout.sample_size, "y_wide": is_wide(y), "places": places}
    return {**place, "positions": len(places), "channels": y.layout.channels * pixels}


RUN = 128
"""Elements of a run at least, where a row has so many: then a run costs more than beginning it."""


def runs(shape: tuple[int, ...]) -> tuple[int, Offsets]:
    """How many neighbouring pixels of a row make one run, and the number of the first pixel of every run.

    Pixels of a row lie side by side in memory, whatever the border.  Where the row is no multiple of a run, the last
    run begins earlier and computes some pixels again.
    """
    columns = shape[-2] if len(shape) > 1 else 1
    pixels = min(columns, max(1, -(-RUN // max(1, shape[-1])))) if shape else 1
    first = np.minimum(np.arange(0, columns, pixels), columns - pixels)
    rows = np.arange(math.prod(shape[:-2])) * columns
    return pixels, (rows[:, None] + first).reshape(-1)
