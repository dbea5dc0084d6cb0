"""The interface of everything that the engine runs, and the steps that every backend shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnn2snn_ir.dialects import akida2, nn, qnn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.reference.interpreter import evaluate
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.storage import Buffer
from cnn2snn_ir.runtime.window import shift_in

Call = Callable[[int], None]
"""Computes the first so many samples of the step's result from those of its operands, in bound buffers."""


class Step(Protocol):
    """One op, compiled: constants are prepared, buffers are not yet known."""

    def bind(self, buffers: Buffers) -> Call:
        """Fix the buffers, and take what the step needs for itself."""
        ...


@dataclass(frozen=True, eq=False)
class ReferenceStep:
    """The reference semantics: slow, and always right."""

    op: Op

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        op, operands = self.op, [buffers[v].inside for v in self.op.operands]
        results = [buffers[v].inside for v in self.op.results]
        types = [np.float32 if v.type.element.is_float else np.int64 for v in self.op.operands]

        def call(count: int) -> None:
            arrays = (x[:count].astype(t) for x, t in zip(operands, types, strict=True))
            for result, array in zip(results, evaluate(op, *arrays), strict=True):
                result[:count] = array

        return call


def border_call(buffer: Buffer) -> Call:
    """Writes the border of a map."""
    layout, around = buffer.layout, buffer.layout.around()
    pixels = buffer.padded.reshape(buffer.padded.shape[0], -1, layout.channels)

    def call(count: int) -> None:
        pixels[:count, around // layout.channels] = layout.fill

    return call


@dataclass(frozen=True, eq=False)
class ConcatenateStep:
    """Copies of the parts side by side."""

    op: akida2.Concatenate

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        ends = np.cumsum([part.type.channels for part in self.op.parts])[:-1]
        targets = np.split(buffers[self.op.result].inside, ends, axis=-1)
        pairs = [(target, buffers[part].inside) for target, part in zip(targets, self.op.parts, strict=True)]

        def call(count: int) -> None:
            for target, part in pairs:
                target[:count] = part[:count]

        return call


@dataclass(frozen=True, eq=False)
class DequantizeStep:
    """Integers to float32: one rounding, whatever integer type carries them."""

    op: akida2.Dequantizer

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y, scales = buffers[self.op.x].inside, buffers[self.op.result].inside, self.op.scales.array

        def call(count: int) -> None:
            np.multiply(x[:count].astype(np.float32), scales, out=y[:count])

        return call


@dataclass(frozen=True, eq=False)
class CopyStep:
    """The same numbers in another shape."""

    op: akida2.InputData | nn.Reshape

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y = buffers[self.op.x].inside, buffers[self.op.result].inside

        def call(count: int) -> None:
            y[:count] = x[:count].reshape(y[:count].shape)

        return call


@dataclass(frozen=True, eq=False)
class PushStep:
    """The FIFO of the next call."""

    op: akida2.FifoPush

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        fifo, x, y = (buffers[v].inside for v in (self.op.fifo, self.op.x, self.op.result))

        def call(count: int) -> None:
            shift_in(fifo[:count], x[:count], y[:count])

        return call


@dataclass(frozen=True, eq=False)
class ThresholdStep:
    """Counts of boundaries reached, one level after the other."""

    op: qnn.Threshold

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, y = buffers[self.op.x].inside, buffers[self.op.result].inside
        boundaries = self.op.thresholds.int64.T
        base = self.op.base

        def call(count: int) -> None:
            y[:count] = base
            for boundary in boundaries:
                y[:count] += x[:count] >= boundary

        return call


def shared_step(op: Op) -> Step:
    """The step of an op for which a backend has nothing better."""
    match op:
        case akida2.Concatenate():
            return ConcatenateStep(op)
        case akida2.Dequantizer():
            return DequantizeStep(op)
        case akida2.InputData() | nn.Reshape():
            return CopyStep(op)
        case akida2.FifoPush():
            return PushStep(op)
        case qnn.Threshold() if op.to.contains(op.base + np.arange(op.thresholds.array.shape[1] + 1)):
            return ThresholdStep(op)
        case _:
            return ReferenceStep(op)
