"""What the layers have in common behind their sums: bias, pooling, activation, and the way to 8 bits.

QuantizeML computes without saturation.  Types here are wide enough that nothing saturates, which is proven for the
weights at hand, and so every integer equals its integer arithmetic; `infer-bitwidths` narrows them later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends.onnx.quantizeml.call import Call, Ints
from cnn2snn_ir.frontends.onnx.quantizeml.importer import Importer
from cnn2snn_ir.frontends.onnx.standard.borders import Line
from cnn2snn_ir.frontends.onnx.tensors import Array
from cnn2snn_ir.ir import ElementType, Tensor, Value, si, ui

ACCUMULATOR = si(32)
"""What QuantizeML's outputs of 32 bits hold; sums that could exceed it are refused."""

BUFFER = si(50)
"""Of products and of sums over maps."""

OUTPUT, INDEX = si(8), si(11)
"""What a layer gives, and what a table is looked up with."""

TABLE_ENTRIES = 2048

RULES = (Padding.SAME, Padding.SAME_UPPER, Padding.VALID)
"""In the order of preference: where none adds a border, `same` is what the chip has."""


def bounded(imp: Importer, call: Call, value: Value, bound: int, element: ElementType = ACCUMULATOR) -> Value:
    """Remember the largest magnitude of a value; raises `CompileError` if its type does not hold it."""
    if bound > element.hi:
        found = f"sums of up to {bound} (2^{bound.bit_length() - 1})"
        raise call.fault("sums may not fit", found, f"{element}, up to {element.hi}", code="QML-RANGE")
    imp.bounds[value] = bound
    return value


def magnitude(imp: Importer, value: Value) -> int:
    """The largest magnitude of a value."""
    element = value.type.element
    return imp.bounds.get(value, max(element.hi, -element.lo))


def sums(imp: Importer, call: Call, weights: Ints, x: Value, fill: Ints | None = None) -> int:
    """The largest magnitude of the sums of `x` times weights whose last axis is that of the filters."""
    largest = max(magnitude(imp, x), 0 if fill is None else int(np.abs(fill).max()))
    return largest * int(np.abs(weights).reshape(-1, weights.shape[-1]).sum(axis=0).max())


# ---- bias and bounds ----------------------------------------------------------------------------------------------


def mantissas(values: Ints, element: ElementType) -> tuple[Ints, Ints] | None:
    """Integers as mantissas of a type, shifted to the left; None if some have too many bits between their ends."""
    trailing = np.bitwise_and(values, -values)
    zeros = np.where(values == 0, 0, np.log2(np.maximum(trailing, 1))).astype(np.int64)
    needed = np.zeros_like(values)
    while not element.contains(values >> needed):
        outside = (values >> needed > element.hi) | (values >> needed < element.lo)
        needed = needed + outside
    return (values >> needed, needed) if (needed <= zeros).all() else None


def shifted_mantissas(
    imp: Importer, values: Ints, narrow: ElementType, wide: ElementType, name: str
) -> tuple[Any, Any]:
    """A constant as mantissa and shift; where 8 bits do not hold it, as it is, which no chip's layer has."""
    found = mantissas(values, narrow)
    if found is None:
        return imp.constant(values, wide, name), imp.constant(np.zeros(1, np.int64), ui(8), f"{name}_shift")
    return imp.constant(found[0], narrow, name), imp.constant(found[1], ui(8), f"{name}_shift")


def bias_vector(call: Call, x: Value) -> Array:
    """The bias as the operator inside the function takes it: an argument of a convolution, or something added."""
    channels, rank = x.type.channels, x.type.rank
    if call.name.base in ("QuantizedDense1D", "QuantizedDepthwiseBufferTempConv"):
        return call.by_channel("bias", channels, rank)
    return call.vector("bias", channels, every=True)


def add_bias(imp: Importer, call: Call, x: Value) -> Value:
    """Add the bias, if there is one."""
    if not call.name.bias:
        return x
    values = bias_vector(call, x).astype(np.int64)
    bias, shift = shifted_mantissas(imp, values, si(8), si(32), "bias")
    bound = magnitude(imp, x) + int(np.abs(values).max())
    return bounded(imp, call, imp.emit(qnn.BiasAdd(x, bias, shift)), bound)


# ---- windows ------------------------------------------------------------------------------------------------------


def map_size(call: Call, x: Value) -> tuple[int, int]:
    """Height and width of a map; raises `CompileError` for a vector."""
    if x.type.rank != 4:
        raise call.fault("the operator needs a map", str(x.type), "4 dimensions", code="QML-SHAPE")
    height, width, _ = x.type.per_sample
    return height, width


def padding(
    call: Call, sizes: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...]
) -> Padding:
    """The border rule of pads (top, left, bottom, right); raises `CompileError` if there is none."""
    lines = [Line(sizes[i], kernel[i], strides[i], 1, pads[i], pads[i + 2]) for i in (0, 1)]
    rule = next((rule for rule in RULES if all(line.obeys(rule) for line in lines)), None)
    if rule is None:
        raise call.fault(
            "no border rule pads like this",
            f"pads {list(pads)}, kernel {list(kernel)}, strides {list(strides)}, map {list(sizes)}",
            "valid (none), same (the odd row at the end), same_upper (the odd row at the beginning)",
            code="QML-PAD",
        )
    return rule


def max_pool(imp: Importer, call: Call, x: Value) -> Value:
    """Pool the accumulator, if the layer does."""
    if call.name.pool != "MaxPool":
        return x
    size, strides = call.integers("pool_size", 2), call.integers("pool_strides", 2)
    pads = call.integers("pool_pads", 4, least=0)
    rule = padding(call, map_size(call, x), pair(size), pair(strides), pads)
    return bounded(imp, call, imp.emit(qnn.MaxPool(x, pair(size), pair(strides), rule)), magnitude(imp, x))


def pair(values: tuple[int, ...]) -> tuple[int, int]:
    """Two numbers, as a pair."""
    first, second = values
    return first, second


# ---- activation ---------------------------------------------------------------------------------------------------


def activate(imp: Importer, call: Call, x: Value) -> Value:
    """Table, rectifier or bounded rectifier."""
    if call.name.activation == "LUT":
        return look_up(imp, call, x)
    if not call.name.activation:
        return x
    if call.name.activation == "ReLU":
        return bounded(imp, call, imp.emit(qnn.ReLU(x)), magnitude(imp, x))
    values = call.by_channel("max_value", x.type.channels, x.type.rank).astype(np.int64)
    if values.min() < 0:
        raise call.fault("max_value must not be negative", str(values.min()))
    bound, shift = shifted_mantissas(imp, values, ui(8), ui(31), "max_value")
    return bounded(imp, call, imp.emit(qnn.ReLU(x, bound, shift)), min(magnitude(imp, x), int(values.max())))


def look_up(imp: Importer, call: Call, x: Value) -> Value:
    """Rescale to the index of a table, and look it up; the file has the negative half of the table last."""
    index = rescale(imp, call, x, ("ActScale", "ActShift"), INDEX, "index")
    table = call.constant("LUT_values").astype(np.int64)
    if table.shape != (TABLE_ENTRIES,):
        raise call.fault("LUT_values has another shape", str(list(table.shape)), f"[{TABLE_ENTRIES}]")
    element = next(si(bits) for bits in (14, 32) if si(bits).contains(table))
    values = imp.constant(np.roll(table, TABLE_ENTRIES // 2), element, "lut_values")
    return bounded(imp, call, imp.emit(qnn.Lookup(index, values)), int(np.abs(table).max()))


def global_sum(imp: Importer, call: Call, x: Value) -> Value:
    """Sum over the map, if the layer averages: 1/(H·W) is part of its scale."""
    if call.name.pool != "GlobalAvgPool":
        return x
    height, width = map_size(call, x)
    value = imp.emit(qnn.SumPool(x, keepdims=True, acc=BUFFER))
    return bounded(imp, call, value, magnitude(imp, x) * height * width, BUFFER)


# ---- output -------------------------------------------------------------------------------------------------------


def rescale(imp: Importer, call: Call, x: Value, names: tuple[str, str], to: ElementType, prefix: str) -> Value:
    """`saturate(floor(x · scale / shift + 1/2))`.

    Left shifts stop at the width of the result: an integer other than 0 saturates there and beyond.
    """
    channels, rank = x.type.channels, x.type.rank
    mantissa = call.by_channel(names[0], channels, rank).astype(np.int64)
    moves = np.minimum(-call.shifts(names[1], channels, rank), to.bits)
    product = magnitude(imp, x) * int(mantissa.max())
    if product > BUFFER.hi:
        raise call.fault("scaled sums may not fit", f"up to {product}", f"{BUFFER}", code="QML-RANGE")
    scale, shift = imp.constant(mantissa, ui(8), f"{prefix}_scale"), imp.constant(moves, si(8), f"{prefix}_shift")
    return imp.emit(qnn.Requantize(x, scale, shift, to, BUFFER))


def finish(imp: Importer, call: Call, x: Value) -> Value:
    """Everything that a layer with weights does behind its bias."""
    x = global_sum(imp, call, activate(imp, call, max_pool(imp, call, x)))
    return rescale(imp, call, x, ("Scale", "Shift"), OUTPUT, "output") if call.name.scale else x


def kernel_tensor(imp: Importer, weights: Ints) -> Tensor:
    """Weights as a constant."""
    return imp.constant(np.ascontiguousarray(weights), si(8), "kernel")
