"""QuantizeML's layers of time: convolutions over the last frames, linear recurrences, and what judges their results.

Memory is explicit: `builtin.state` reads what the last call stored, `builtin.store` stores for the next.  Source of
the rules: QuantizeML 1.2.5 (Apache-2.0), restated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.keras_h5.archive import LayerRecord
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, UnsupportedLayerError, registered
from cnn2snn_ir.frontends.keras_h5.quantizers import (
    F,
    Ints,
    clip_bits,
    frac_bits_for,
    power_of_two,
    quantize_scale,
    quantize_weights,
)
from cnn2snn_ir.frontends.keras_h5.steps import (
    WEIGHTED_BUFFER_BITS,
    buffer_value_bits,
    condition,
    finish,
    quant_config,
    scale_output,
    weight,
    weight_config,
)
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import ElementType, Value, si, ui

RECURRENT_SCALE_BITS = 8
"""A scaled input of a recurrence becomes fixed-point through a mantissa of so many bits."""


PREDICTION_BITS, DECISION_SCALE_BITS, DECISION_BUFFER_BITS = 15, 16, 44
"""Value bits of a prediction, bits of its scale, and at least so many bits of the buffer of their product."""


# ---- temporal convolutions ----------------------------------------------------------------------------------------


def last_frames(imp: Importer, record: LayerRecord, x: Tracked) -> Tracked:
    """The last `kernel_size` frames, oldest first: [height, width, time, channels], zeros before the first call.

    One frame alone is the map itself, without an axis of time: what reads it is a 1x1 convolution.
    """
    if x.value.type.rank != 4:
        raise UnsupportedLayerError("it must read feature maps", found=str(x.value.type))
    frames = int(record.config["kernel_size"])
    if frames == 1:
        return x
    height, width, channels = x.value.type.per_sample
    newest = imp.emit(qnn.Reshape(x.value, (height, width, 1, channels)))
    name = f"{record.name}/fifo"
    before = imp.emit(builtin.State(name, (height, width, frames - 1, channels), x.value.type.element))
    window = imp.emit(qnn.Concat((before, newest), 3))
    remember(imp, name, imp.emit(qnn.Slice(window, 3, start=1)))
    return x.on(window)


def remember(imp: Importer, name: str, value: Value) -> None:
    """Store a value for the next call."""
    imp.add(builtin.Store(value, name))


@registered(TABLE, "QuantizedBufferTempConv")
def buffer_temp_conv(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """All frames of a position as channels, time slowest, through a 1x1 convolution."""
    x = condition(imp, last_frames(imp, record, inputs[0]), buffer_value_bits(record))
    height, width, *frames, channels = x.value.type.per_sample
    flat = imp.emit(qnn.Reshape(x.value, (height, width, frames[0] * channels))) if frames else x.value
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    kernel = imp.constant(integers, si(bits), "kernel")
    value = imp.emit(qnn.Conv2D(flat, kernel, padding=Padding.VALID, acc=integer_type(x.value_bits)))
    return finish(imp, record, value, x, weight_scale)


@registered(TABLE, "QuantizedDepthwiseBufferTempConv")
def depthwise_buffer_temp_conv(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """Each channel of a position over time: a depthwise convolution of [positions, time] with a kernel [1, time]."""
    x = condition(imp, last_frames(imp, record, inputs[0]), buffer_value_bits(record))
    height, width, *frames, channels = x.value.type.per_sample
    rows = imp.emit(qnn.Reshape(x.value, (height * width, *frames, channels))) if frames else x.value
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    kernel = imp.constant(integers.reshape(1, -1, channels), si(bits), "kernel")
    value = imp.emit(qnn.DepthwiseConv2D(rows, kernel, padding=Padding.VALID, acc=integer_type(x.value_bits)))
    if frames:
        value = imp.emit(qnn.Reshape(value, (height, width, channels)))
    return finish(imp, record, value, x, weight_scale)


# ---- recurrence ---------------------------------------------------------------------------------------------------


@registered(TABLE, "QuantizedStatefulProjection")
def stateful_projection(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """A dense layer on every `subsample`-th time step."""
    x = condition(imp, inputs[0], buffer_value_bits(record, WEIGHTED_BUFFER_BITS))
    every = int(record.config.get("subsample", 1))
    value = x.value if every == 1 else imp.emit(qnn.Slice(x.value, 1, every - 1, every))
    bits, axis = weight_config(record, -1)
    integers, weight_scale = quantize_weights(weight(record, "kernel"), bits, axis)
    op = qnn.Dense(value, imp.constant(integers, si(bits), "kernel"), acc=integer_type(x.value_bits))
    return finish(imp, record, imp.emit(op), x, weight_scale)


@registered(TABLE, "QuantizedStatefulRecurrent")
def stateful_recurrent(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    value_bits = buffer_value_bits(record)
    x = as_fixed_point(imp, condition(imp, inputs[0], value_bits))
    a_bits = int(quant_config(record)["a_quantizer"]["bitwidth"]) - 1
    (a_real, real_bits), (a_imaginary, imaginary_bits) = (
        fixed_point_weights(weight(record, name), a_bits) for name in ("A_real", "A_imag")
    )
    if real_bits != imaginary_bits:
        raise UnsupportedLayerError(
            "the parts of A have different fractional bits", found=f"{real_bits}, {imaginary_bits}"
        )
    state_bits = int(quant_config(record)["output_quantizer"]["bitwidth"]) - 1
    state_frac_bits = frac_bits_for(state_bits, np.asarray(state_range(record), F))
    x = imp.shift(x, np.asarray(state_frac_bits + F(real_bits)), value_bits, integer_type(value_bits))
    element = integer_type(state_bits)
    names = [f"{record.name}/{part}" for part in ("real", "imaginary")]
    real, imaginary = (imp.emit(builtin.State(name, (x.value.type.channels,), element)) for name in names)
    op = qnn.Recurrence(
        x.value,
        real,
        imaginary,
        imp.constant(a_real.reshape(-1), si(a_bits + 1), "A_real"),
        imp.constant(a_imaginary.reshape(-1), si(a_bits + 1), "A_imag"),
        shift=-real_bits,
        to=element,
        acc=integer_type(value_bits),
    )
    imp.add(op)
    for name, value in zip(names, op.results[1:], strict=True):
        remember(imp, name, value)
    return Tracked(op.results[0], state_bits, np.stack([state_frac_bits, state_frac_bits]).reshape(2))


def state_range(record: LayerRecord) -> Any:
    """The range of the state; its variable has no prefix in some files."""
    return record.weights.get("output_quantizer/range_max", record.weights.get("range_max", np.zeros(0)))


def as_fixed_point(imp: Importer, x: Tracked) -> Tracked:
    """A scaled tensor times the mantissa of its scale."""
    if x.scale is None:
        return x
    mantissa, frac_bits = quantize_scale(x.scale, RECURRENT_SCALE_BITS)
    scaled = qnn.Scale(x.value, imp.constant(mantissa, ui(RECURRENT_SCALE_BITS), "scale"), integer_type(x.value_bits))
    return Tracked(imp.emit(scaled), x.value_bits, np.asarray(x.frac_bits + frac_bits, F), None, x.positive)


def fixed_point_weights(values: Any, value_bits: int) -> tuple[Ints, int]:
    """Weights without a scale: integers and their fractional bits, one number for all."""
    frac_bits = frac_bits_for(value_bits, np.max(np.abs(values)).astype(F))
    return clip_bits(np.asarray(values, F) * power_of_two(frac_bits), value_bits), math.floor(float(frac_bits))


# ---- decision -----------------------------------------------------------------------------------------------------


@registered(TABLE, "QuantizedPicoPostProcessing")
def pico_post_processing(imp: Importer, record: LayerRecord, inputs: list[Tracked]) -> Tracked:
    """The prediction on the grid of its target, the integers of an input; both are compared in 16 bits."""
    if len(inputs) != 2:
        raise UnsupportedLayerError("it must read a prediction and a target", found=f"{len(inputs)} inputs")
    x, target = inputs
    element = integer_type(PREDICTION_BITS)
    if not isinstance(target.value.owner, builtin.Input) or not within(target.value.type.element, element):
        raise UnsupportedLayerError(
            "its target must be a model input", found=str(target.value.type), allowed=f"integers of {element}"
        )
    if x.scale is not None:
        buffer = max(DECISION_BUFFER_BITS, int(quant_config(record).get("buffer_bitwidth", 0)))
        config = {"buffer_bitwidth": buffer, "scale_bits": DECISION_SCALE_BITS}
        x = scale_output(imp, x, np.asarray(weight(record, "rescaling_rate"), F), config)
    x = imp.shift(x, np.zeros((), F), PREDICTION_BITS, element)
    op = qnn.Deviation(x.value, target.value, math.ceil(record.config["threshold"]), acc=element)
    return Tracked(imp.emit(op), 1, np.zeros((), F), None, True)


def within(narrow: ElementType, wide: ElementType) -> bool:
    """True if one type holds all values of the other."""
    return wide.lo <= narrow.lo and narrow.hi <= wide.hi
