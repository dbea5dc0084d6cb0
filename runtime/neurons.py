"""Akida 1 programs in terms of what the kernels know: sums of products, and counts of boundaries that they reach.

An Akida 1 layer is an Akida 2 layer without an output scale, whose accumulator is the potential, and a monotone step
function behind it.  A separable convolution is two layers.  The result of every op keeps its twin in the new module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import akida1, akida2, builtin, qnn
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.ir import Graph, Op, Tensor, Value, si
from cnn2snn_ir.reference.arithmetic import level_boundaries

BIAS_SHIFT = Tensor.of(np.zeros((), np.int64), si(8))


def as_sums(module: builtin.Module) -> tuple[builtin.Module, Mapping[Value, Value]]:
    """A module for the kernels, and the twin in it of every value of `module`; other modules stay what they are."""
    if not any(op.op_name.startswith("akida1.") for op in module.body):
        return module, {}
    graph, twins = Graph(), dict[Value, Value]()
    for op in module.body:
        lowering = LOWERINGS.get(type(op))
        if lowering is None:
            graph.append(op.clone(twins))
            continue
        value = twins[op.operands[0]]
        for part in lowering(op)(value):
            value = graph.append(part).results[0]
        twins[op.results[0]] = value
    return builtin.Module(module.sym_name, graph), twins


class Parts:
    """The ops that a layer is made of, each of which reads the one before."""

    def __init__(self, *makers: Callable[[Value], Op] | None) -> None:
        self.makers = [maker for maker in makers if maker is not None]

    def __call__(self, value: Value) -> list[Op]:
        """The ops, on a value."""
        ops: list[Op] = []
        for maker in self.makers:
            ops.append(maker(value))
            value = ops[-1].results[0]
        return ops


def same(layer: type[Op]) -> Callable[[Op], Parts]:
    """An op that both generations have."""
    return lambda op: Parts(lambda x: layer(x, **op.attributes))


def window(op: akida1.ConvLayer) -> dict[str, Any]:
    """The window of a convolution."""
    return {"stride": op.stride, "padding": op.padding, "acc": op.acc}


def pooling(op: akida1.ConvLayer) -> dict[str, Any]:
    """Its pooling."""
    pool = {"pool": op.pool, "post_op": op.acc}
    return {**pool, "pool_size": op.pool_size, "pool_stride": op.pool_stride} if op.pool is Pool.MAX else pool


def bias(op: akida1.NeuralLayer) -> dict[str, Any]:
    """The threshold of neurons without levels, as a bias of the sums."""
    if op.to is not None or op.threshold is None:
        return {}
    return {"bias": Tensor.of(-op.threshold.int64, si(33), op.threshold.name), "bias_shift": BIAS_SHIFT}


def levels(op: akida1.NeuralLayer) -> Callable[[Value], Op] | None:
    """The step function behind the potentials, if there is one."""
    to, step = op.to, op.act_step
    if to is None or step is None:
        return None
    at = np.zeros((), np.int64) if op.threshold is None else op.threshold.int64
    reach = np.clip(level_boundaries(at, step.array, to.bits), op.acc.lo, op.acc.hi + 1)
    boundaries = Tensor.of(reach, si(op.acc.bits + 1), step.name)
    return lambda x: qnn.Threshold(x, boundaries, to)


def averaged_bias(op: akida1.ConvLayer) -> dict[str, Any]:
    """A bias in front of an average would count once a position."""
    return {} if op.pool is Pool.AVERAGE else bias(op)


def input_convolutional(op: akida1.InputConvolutional) -> Parts:
    """The convolution of an image."""
    fill = Tensor.of(np.full((), op.padding_value), si(op.acc.bits))
    made = {"weights": op.weights, "padding_value": fill, **window(op), **pooling(op), **averaged_bias(op)}
    return Parts(lambda x: akida2.InputConv2D(x, **made), summed_bias(op), levels(op))


def convolutional(op: akida1.Convolutional) -> Parts:
    """A convolution."""
    made = {"weights": op.weights, **window(op), **pooling(op), **averaged_bias(op)}
    return Parts(lambda x: akida2.Conv2D(x, **made), summed_bias(op), levels(op))


def separable_convolutional(op: akida1.SeparableConvolutional) -> Parts:
    """Both of its convolutions; a pointwise kernel is its own reverse."""
    made = {"weights": op.weights_pw, "padding": op.padding, "acc": op.acc, **pooling(op), **averaged_bias(op)}
    return Parts(
        lambda x: akida2.DepthwiseConv2D(x, op.weights, **window(op)),
        lambda x: akida2.Conv2D(x, **made),
        summed_bias(op),
        levels(op),
    )


def summed_bias(op: akida1.ConvLayer) -> Callable[[Value], Op] | None:
    """The threshold behind an average without levels."""
    found = bias(op) if op.pool is Pool.AVERAGE else {}
    return (lambda x: qnn.BiasAdd(x, found["bias"], BIAS_SHIFT)) if found else None


def fully_connected(op: akida1.FullyConnected) -> Parts:
    """A dense layer, whose rows follow the map."""
    rows, columns, channels = op.x.type.per_sample
    units = op.weights.array.shape[3]
    matrix = op.weights.array.reshape(channels, rows, columns, units).transpose(1, 2, 0, 3)
    ordered = matrix.reshape(math.prod((rows, columns, channels)), units)
    weights = Tensor.of(ordered, op.weights.type.element, op.weights.name)
    return Parts(lambda x: akida2.Dense1D(x, weights, acc=op.acc, **bias(op)), levels(op))


LOWERINGS: dict[type[Op], Callable[[Any], Parts]] = {
    akida1.InputData: same(akida2.InputData),
    akida1.Quantizer: same(akida2.Quantizer),
    akida1.InputConvolutional: input_convolutional,
    akida1.Convolutional: convolutional,
    akida1.SeparableConvolutional: separable_convolutional,
    akida1.FullyConnected: fully_connected,
    akida1.Dequantizer: same(akida2.Dequantizer),
}
"""One for each layer."""
