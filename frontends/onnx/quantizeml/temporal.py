"""Convolutions over time: the last frames of a stream are memory, read and stored at every call."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call
from cnn2snn_ir.frontends.onnx.quantizeml.importer import TABLE, Importer, registered
from cnn2snn_ir.frontends.onnx.quantizeml.steps import (
    ACCUMULATOR,
    add_bias,
    bounded,
    finish,
    kernel_tensor,
    map_size,
    sums,
)
from cnn2snn_ir.frontends.onnx.quantizeml.weighted import weights_of
from cnn2snn_ir.ir import Value

TIME_AXIS = 3
"""Frames lie between width and channels."""


def last_frames(imp: Importer, call: Call, x: Value) -> tuple[Value, int]:
    """The last frames, oldest first [height, width, time, channels], and how many; one alone is the map itself."""
    map_size(call, x)
    frames, name = call.number("fifo_size"), call.text("fifo_name")
    call.text("model_id")
    if (other := imp.fifos.setdefault(name, call.node)) is not call.node:
        raise call.fault("two operators share one memory", f"{name}, also of {other.where}", code="QML-ATTRIBUTE")
    if frames == 1:
        return x, frames
    height, width, channels = x.type.per_sample
    newest = imp.emit(qnn.Reshape(x, (height, width, 1, channels)))
    before = imp.emit(builtin.State(name, (height, width, frames - 1, channels), x.type.element))
    window = imp.emit(qnn.Concat((before, newest), TIME_AXIS))
    imp.add(builtin.Store(imp.emit(qnn.Slice(window, TIME_AXIS, start=1)), name))
    return window, frames


@registered(TABLE, "QuantizedBufferTempConv")
def buffer_temp_conv(imp: Importer, call: Call) -> tuple[Value, ...]:
    """All frames of a position as channels of a 1x1 convolution: time is slowest here, and fastest in the file."""
    x = call.value("X")
    window, frames = last_frames(imp, call, x)
    height, width, channels = x.type.per_sample
    weights = weights_of(call, None, channels * frames, 1, 1)
    by_time = weights.reshape(-1, channels, frames).transpose(2, 1, 0).reshape(1, 1, frames * channels, -1)
    flat = imp.emit(qnn.Reshape(window, (height, width, frames * channels))) if frames > 1 else window
    value = imp.emit(qnn.Conv2D(flat, kernel_tensor(imp, by_time), padding=Padding.VALID, acc=ACCUMULATOR))
    value = bounded(imp, call, value, sums(imp, call, by_time, x))
    return (finish(imp, call, add_bias(imp, call, value)),)


@registered(TABLE, "QuantizedDepthwiseBufferTempConv")
def depthwise_buffer_temp_conv(imp: Importer, call: Call) -> tuple[Value, ...]:
    """Each channel of a position over time: a depthwise convolution of [positions, time] with a kernel [1, time]."""
    x = call.value("X")
    window, frames = last_frames(imp, call, x)
    height, width, channels = x.type.per_sample
    weights = weights_of(call, channels, frames, 1, 1).reshape(channels, frames).T[np.newaxis]
    rows = imp.emit(qnn.Reshape(window, (height * width, frames, channels))) if frames > 1 else window
    value = imp.emit(qnn.DepthwiseConv2D(rows, kernel_tensor(imp, weights), padding=Padding.VALID, acc=ACCUMULATOR))
    if frames > 1:
        value = imp.emit(qnn.Reshape(value, (height, width, channels)))
    value = bounded(imp, call, value, sums(imp, call, weights, x))
    return (finish(imp, call, add_bias(imp, call, value)),)
