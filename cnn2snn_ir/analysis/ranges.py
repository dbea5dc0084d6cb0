"""Bitwidth propagation: a proven range for every integer value of a module, from its real weights.

One transfer function an op, keyed by class: the image of the operands' ranges under the reference semantics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis import interval
from cnn2snn_ir.analysis.interval import Range, constant_integers, integers
from cnn2snn_ir.analysis.layer_ranges import LayerRanges, layer_ranges
from cnn2snn_ir.analysis.potentials import levels, potentials
from cnn2snn_ir.dialects import akida1, akida2, builtin, qnn
from cnn2snn_ir.dialects.geometry import adds_border
from cnn2snn_ir.dialects.hardware import QuantizerLayer
from cnn2snn_ir.ir import ElementType, Graph, Op, Tensor, Value

Transfer = Callable[..., Range]
TRANSFER: dict[type[Op], Transfer] = {}

_F = TypeVar("_F", bound=Transfer)


@dataclass(frozen=True)
class Proven:
    """What is proven of a module."""

    values: dict[Value, Range]
    """The range of every integer value, those of nested blocks included.

    Float values have none; an integer result of an op without a transfer function has its type's range.
    So has a memory, whatever the module stores there: a caller may give back any contents of that type.
    """
    layers: dict[akida2.NeuralLayer, LayerRanges]
    """The stages of every Akida 2 layer with weights."""


def proven_ranges(module: builtin.Module) -> Proven:
    """Propagate ranges from the inputs on."""
    proven = Proven({}, {})
    _propagate(module.body, proven)
    return proven


def value_ranges(module: builtin.Module) -> dict[Value, Range]:
    """The range of every integer value; see `Proven.values`."""
    return proven_ranges(module).values


def _propagate(graph: Graph, proven: Proven) -> None:
    ranges = proven.values
    for op in graph:
        if isinstance(op, akida2.NeuralLayer):
            proven.layers[op] = layer_ranges(op, ranges[op.operands[0]])
            ranges |= {memory: Range.full(memory.type.element) for memory in op.results[1:]}
            ranges[op.results[0]] = proven.layers[op].output
            continue
        if isinstance(op, qnn.Block):
            _propagate(op.body, proven)
            if isinstance(op.body.last, builtin.Return):
                returned = zip(op.results, op.body.last.operands, strict=True)
                ranges |= {result: ranges[value] for result, value in returned if value in ranges}
            continue
        for result in op.results:
            if not result.type.element.is_float:
                ranges[result] = result_range(op, result, ranges)


class RangesOnDemand:
    """Ranges of the values that are asked for, and of what they depend on, in a flat graph that is being rewritten.

    Each is worked out once: right as long as nobody edits an op in place whose result has been asked for.
    """

    def __init__(self) -> None:
        self._known: dict[Value, Range] = {}

    def __getitem__(self, value: Value) -> Range:
        """The range of an integer value."""
        waiting = [value]
        while waiting:
            top = waiting[-1]
            unknown = [v for v in top.owner.operands if v not in self._known and not v.type.element.is_float]
            if unknown:
                waiting += unknown
            else:
                self._known[waiting.pop()] = result_range(top.owner, top, self._known)
        return self._known[value]


def result_range(op: Op, result: Value, ranges: Mapping[Value, Range]) -> Range:
    """The range of one integer result, given those of the operands."""
    transfer = TRANSFER.get(type(op))
    if transfer is None or result.index > 0:  # of several results, the others are memory
        return Range.full(result.type.element)
    return transfer(op, *(ranges[v] for v in op.operands if not v.type.element.is_float))


def transfer_of(*classes: type[Op]) -> Callable[[_F], _F]:
    """Register `f(op, *operand ranges) -> range of the result`; float operands have no range and are left out."""

    def register(function: _F) -> _F:
        TRANSFER.update(dict.fromkeys(classes, function))
        return function

    return register


# ---- qnn ----------------------------------------------------------------------------------------------------


@transfer_of(qnn.Quantize)
def quantize(op: qnn.Quantize) -> Range:
    return Range.full(op.to).offset(constant_integers(op.zero_point)).saturate(op.to)


@transfer_of(qnn.QuantizeLinear, akida2.LinearQuantizer)
def quantize_linear(op: qnn.QuantizeLinear | akida2.LinearQuantizer) -> Range:
    return Range.full(op.to)


@transfer_of(qnn.Shift)
def shift(op: qnn.Shift, x: Range) -> Range:
    return x.shift_round(constant_integers(op.shift)).saturate(op.to)


@transfer_of(qnn.Scale)
def scale(op: qnn.Scale, x: Range) -> Range:
    return x.times(constant_integers(op.mantissa)).saturate(op.to)


@transfer_of(qnn.Requantize)
def requantize(op: qnn.Requantize, x: Range) -> Range:
    product = x.times(constant_integers(op.mantissa)).saturate(op.buffer)
    return product.shift_round(constant_integers(op.shift)).saturate(op.to)


@transfer_of(qnn.Rescale)
def rescale(op: qnn.Rescale, x: Range) -> Range:
    from cnn2snn_ir.reference.rounding import rescale as rescaled  # in the float networks of some frontends only

    return Range.of(rescaled(op, x.lo), rescaled(op, x.hi))


@transfer_of(qnn.Threshold)
def threshold(op: qnn.Threshold, x: Range) -> Range:
    steps = op.thresholds.int64

    def level(bound: npt.NDArray[Any]) -> npt.NDArray[Any]:
        reached = np.broadcast_to(bound, (op.x.type.channels,))[:, None] >= steps
        return integers(op.base + reached.sum(axis=-1))

    return Range.of(level(x.lo), level(x.hi)).saturate(op.to)


@transfer_of(qnn.Fire)
def fires(op: qnn.Fire, x: Range) -> Range:
    return levels(x, op.threshold, op.act_step, op.to)


@transfer_of(qnn.Conv2D)
def conv2d(op: qnn.Conv2D, x: Range) -> Range:
    seen = _bordered(op, x, op.pad_value)
    return interval.dot(seen, op.weights.int64.reshape(-1, *op.weights.array.shape[2:])).saturate(op.acc)


@transfer_of(qnn.DepthwiseConv2D)
def depthwise_conv2d(op: qnn.DepthwiseConv2D, x: Range) -> Range:
    taps = op.weights.int64.reshape(-1, op.weights.array.shape[2])
    return interval.dot_depthwise(_bordered(op, x, None), taps).saturate(op.acc)


def _bordered(op: qnn.Conv2D | qnn.DepthwiseConv2D, x: Range, fill: Tensor | None) -> Range:
    """What the kernel sees: the input, and the border value if `same` adds any border."""
    added = adds_border(op.x.type, op.weights.type.shape, op.strides, op.padding, op.dilation)
    value = constant_integers(fill)
    return x.union(Range(value, value)) if added else x


@transfer_of(qnn.Conv2DTranspose)
def conv2d_transpose(op: qnn.Conv2DTranspose, x: Range) -> Range:
    weights = op.weights.int64.reshape(-1, *op.weights.array.shape[2:])
    return interval.dot(_with_zero(x), weights).saturate(op.acc)


@transfer_of(qnn.DepthwiseConv2DTranspose)
def depthwise_conv2d_transpose(op: qnn.DepthwiseConv2DTranspose, x: Range) -> Range:
    weights = op.weights.int64.reshape(-1, op.weights.array.shape[2])
    return interval.dot_depthwise(_with_zero(x), weights).saturate(op.acc)


def _with_zero(x: Range) -> Range:
    """Not every tap of a transposed kernel reaches every position of the result."""
    nothing = interval.integers(0)
    return x.union(Range(nothing, nothing))


@transfer_of(qnn.Lookup)
def lookup(op: qnn.Lookup, x: Range) -> Range:
    lowest = op.x.type.element.lo
    entries = op.table.int64[x.least - lowest : x.greatest - lowest + 1]
    return Range.of(entries.min(), entries.max())


@transfer_of(qnn.Transpose)
def transpose(op: qnn.Transpose, x: Range) -> Range:
    return x if op.order[-1] == len(op.order) - 1 else x.merged()


@transfer_of(qnn.Take)
def take(op: qnn.Take, x: Range) -> Range:
    return x if op.axis < op.x.type.rank - 1 else x.merged()


@transfer_of(qnn.Dense)
def dense(op: qnn.Dense, x: Range) -> Range:
    return interval.dot(x, op.weights.int64[None]).saturate(op.acc)


@transfer_of(qnn.BiasAdd)
def bias_add(op: qnn.BiasAdd, x: Range) -> Range:
    bias = constant_integers(op.bias) * 2 ** constant_integers(op.shift)
    return x.offset(bias).saturate(op.x.type.element)


@transfer_of(qnn.ReLU)
def relu(op: qnn.ReLU, x: Range) -> Range:
    positive = x.above(0)
    return positive if op.max is None else positive.below(constant_integers(op.max) * 2 ** constant_integers(op.shift))


@transfer_of(qnn.Deviation, akida2.PicoPostProcessing)
def deviation(op: qnn.Deviation | akida2.PicoPostProcessing, *operands: Range) -> Range:
    return Range.of(0, 1).saturate(op.to)


@transfer_of(qnn.SumPool)
def sum_pool(op: qnn.SumPool, x: Range) -> Range:
    _, rows, columns, _ = op.x.type.shape
    return x.times(integers((rows or 0) * (columns or 0))).saturate(op.acc)


@transfer_of(qnn.Add)
def add(op: qnn.Add, a: Range, b: Range) -> Range:
    return a.plus(b).saturate(op.acc)


@transfer_of(qnn.Concat)
def concat(op: qnn.Concat, *parts: Range) -> Range:
    if op.axis == op.result.type.rank - 1:
        return interval.joined([(r, v.type.channels) for r, v in zip(parts, op.parts, strict=True)])
    union = parts[0]
    for part in parts[1:]:
        union = union.union(part)
    return union


@transfer_of(qnn.Reshape)
def reshape(op: qnn.Reshape, x: Range) -> Range:
    return x.tiled(op.x.type.channels, op.result.type.channels)


# ---- akida1 -------------------------------------------------------------------------------------------------


@transfer_of(akida1.InputConvolutional, akida1.Convolutional, akida1.SeparableConvolutional, akida1.FullyConnected)
def neurons(op: akida1.NeuralLayer, x: Range) -> Range:
    potential = potentials(op, x)
    if op.to is None:
        return potential.offset(-constant_integers(op.threshold)).saturate(op.acc)
    return levels(potential, op.threshold, op.act_step, op.to)


# ---- akida2 -------------------------------------------------------------------------------------------------


@transfer_of(qnn.MaxPool, akida1.InputData, akida2.InputData)
def unchanged(op: Op, x: Range) -> Range:
    return x


@transfer_of(akida1.Quantizer, akida2.Quantizer)
def quantizer(op: QuantizerLayer) -> Range:
    return Range.full(op.to).offset(constant_integers(op.zero_points)).saturate(op.to)


@transfer_of(
    akida2.InputConv2D,
    akida2.Conv2D,
    akida2.DepthwiseConv2D,
    akida2.Conv2DTranspose,
    akida2.DepthwiseConv2DTranspose,
    akida2.BufferTempConv,
    akida2.DepthwiseBufferTempConv,
    akida2.StatefulRecurrent,
    akida2.Dense1D,
)
def layer(op: akida2.NeuralLayer, x: Range, *memory: Range) -> Range:
    return layer_ranges(op, x).output


@transfer_of(akida2.Add)
def akida2_add(op: akida2.Add, a: Range, b: Range) -> Range:
    total = _aligned(a, op.a_shift, op.acc).plus(_aligned(b, op.b_shift, op.acc)).saturate(op.acc)
    return total if op.to is None else total.shift_round(constant_integers(op.output_shift)).saturate(op.to)


def _aligned(x: Range, shift: Tensor | None, acc: ElementType) -> Range:
    return x if shift is None else x.shift_left(constant_integers(shift)).saturate(acc)


@transfer_of(akida2.Concatenate)
def concatenate(op: akida2.Concatenate, *parts: Range) -> Range:
    return interval.joined([(r, v.type.channels) for r, v in zip(parts, op.parts, strict=True)])
