"""Windows and FIFOs of convolutions over time on the numba backend: copies, before the convolution or alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.runtime.commands import Commands, reading, writing
from cnn2snn_ir.runtime.layer import Layer
from cnn2snn_ir.runtime.numba_kernels import Kernel
from cnn2snn_ir.runtime.numba_layer import LayerStep
from cnn2snn_ir.runtime.step import Buffers, Call
from cnn2snn_ir.runtime.storage import Buffer
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


def layer_step(layer: Layer) -> LayerStep:
    """The step of a layer that the kernels compute."""
    return WindowStep(layer) if over_time(layer) else LayerStep(layer)


@dataclass(frozen=True, eq=False)
class WindowStep(LayerStep):
    """A layer on the window that it gathers first."""

    def bind(self, buffers: Buffers, samples: int) -> Commands:
        """See `Step`."""
        x, fifo = (buffers[v] for v in self.layer.op.operands)
        gathered = window(self.layer, samples, np.dtype(np.int16))
        convolution = super().bind({**buffers, self.layer.x: gathered}, samples)
        return Commands.joined([shift_in(fifo, x, gathered), convolution])


@dataclass(frozen=True, eq=False)
class PushStep:
    """The FIFO of the next call."""

    op: akida2.FifoPush

    def bind(self, buffers: Buffers, samples: int) -> Call:
        """See `Step`."""
        return shift_in(*(buffers[v] for v in (self.op.fifo, self.op.x, self.op.result)))
