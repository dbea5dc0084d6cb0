"""The window of a convolution over time: the frames of its FIFO and the newest one, next to each other in memory.

Frames of one position are neighbours, oldest first, as they are in the FIFO itself; so the window is a map with a row
for each position and a column for each frame, and what remains is a convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.analysis.layer_ranges import TEMPORAL
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.storage import Array, Layout


def over_time(layer: Layer) -> bool:
    """True if the layer's input is a window."""
    return isinstance(layer.op, TEMPORAL)


def window(layer: Layer, dtype: np.dtype[Any]) -> Layout:
    """The layout of the windows."""
    frames, channels = layer.weights.shape[1:3]
    return Layout((layer.positions[0], frames, channels), dtype)


def shift_in(fifo: Array, x: Array, y: Array) -> None:
    """To `y`, the newest frames of `fifo`, as many as there is room for, and then `x`.

    Frames are [batch, height, width, frames, channels], `x` is [batch, height, width, channels].
    """
    kept = y.shape[3] - 1
    y[:, :, :, :kept] = fifo[:, :, :, fifo.shape[3] - kept :]
    y[:, :, :, kept] = x
