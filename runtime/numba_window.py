"""Windows and FIFOs of convolutions over time on the numba backend: copies, before the convolution or alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.ir import Value
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.commands import Commands, reading, writing
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.numba_kernels import Kernel
from cnn2snn_ir.runtime.numba_layer import LayerStep, stages
from cnn2snn_ir.runtime.step import Call
from cnn2snn_ir.runtime.storage import Buffer, Layout
from cnn2snn_ir.runtime.window import over_time, window


def shift_in(fifo: Buffer, x: Buffer, y: Buffer) -> Commands:
    """To `y`, the newest frames of `fifo`, as many as there is room for, and then `x`.

    The frames of one position that stay are one run in both.
    """
    held, kept, channels = fifo.layout.shape[-2], y.layout.shape[-2] - 1, x.layout.channels
    oldest = y.layout.pixels().reshape(-1, kept + 1)[:, 0]
    newest = writing(y, oldest + kept * channels) | {"channels": channels}
    commands = [Commands.of(Kernel.COPY, **reading(x), **newest, starts=x.layout.pixels())]
    if kept:
        starts = np.ascontiguousarray(fifo.layout.pixels().reshape(-1, held)[:, held - kept])
        run = writing(y, oldest.copy()) | {"channels": kept * channels}
        commands.append(Commands.of(Kernel.COPY, **reading(fifo), **run, starts=starts))
    return Commands.joined(commands)


def layer_step(layer: Layer, layouts: Mapping[Value, Layout], operands: Sequence[Range]) -> LayerStep:
    """The step of a layer that the kernels compute, of an op whose operands lie in these ranges."""
    if over_time(layer):
        gathered = window(layer, np.dtype(np.int16))
        return WindowStep(layer.op, tuple(stages(layer, gathered, layouts[layer.y], operands)), gathered)
    return LayerStep.of(layer, layouts[layer.x], layouts[layer.y], operands)


@dataclass(frozen=True, eq=False)
class WindowStep(LayerStep):
    """A layer on the window that it gathers first."""

    window: Layout

    def bind(self, buffers: Buffers) -> Commands:
        """See `Step`."""
        x, fifo = (buffers[v] for v in self.op.operands)
        gathered = buffers.scratch(self.window)
        return Commands.joined([shift_in(fifo, x, gathered), self.reading(gathered, buffers)])


@dataclass(frozen=True, eq=False)
class PushStep:
    """The FIFO of the next call."""

    op: akida2.FifoPush

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        return shift_in(*(buffers[v] for v in (self.op.fifo, self.op.x, self.op.result)))
