"""What one hardware layer computes of a float network, and which of its values must share a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.ir import Op, Value

Weighted = nn.Conv2D | nn.DepthwiseConv2D | nn.Conv2DTranspose | nn.DepthwiseConv2DTranspose | nn.Dense

KEEPS_GRID = (nn.MaxPool, nn.ReLU, nn.Reshape, nn.Transpose, nn.Concat)
"""Ops whose results are some of their operands' values, or 0."""

JOINS = (nn.Add, nn.Concat)


class LayerEnd(NamedTuple):
    """Where a layer ends."""

    value: Value
    table: nn.Activation | None = None
    """The function of its table, if it has one."""
    rectified: bool = False


def layer_end(main: Op, neurons: bool = False) -> LayerEnd:
    """The last value that the layer of `main` computes.

    A layer pools, rectifies, and averages over the map; Akida 1 (`neurons`) averages first, and a depthwise
    convolution goes on to the pointwise one behind it.
    """
    tail, seen = main.results[0], set[type[Op]]()
    while tail.has_one_use and type(user := tail.users[0]) not in seen:
        averaged, rectified = nn.GlobalAveragePool in seen, nn.ReLU in seen
        if isinstance(user, nn.Activation):
            return LayerEnd(tail, None, rectified) if rectified or averaged else LayerEnd(user.result, user)
        if isinstance(user, nn.MaxPool):
            fits = not averaged
        elif isinstance(user, nn.GlobalAveragePool):
            fits = nn.MaxPool not in seen and not (neurons and rectified)
        else:
            fits = isinstance(user, nn.ReLU) and (neurons or not averaged)
        if not fits:
            break
        seen.add(type(user))
        tail = user.results[0]
    return LayerEnd(tail, None, nn.ReLU in seen)


def is_half_separable(op: Op) -> bool:
    """True for a depthwise convolution that a pointwise one completes: one neuron of Akida 1."""
    if not isinstance(op, nn.DepthwiseConv2D) or not op.result.has_one_use or op.bias is not None:
        return False
    reader = op.result.users[0]
    return isinstance(reader, nn.Conv2D) and reader.weights.type.shape[:2] == (1, 1)


def feeds_layer(value: Value) -> bool:
    """True if a hardware layer reads the value, directly or through what a layer computes on the way."""
    for user in value.users:
        if isinstance(user, Weighted | nn.Add | nn.Concat | nn.GlobalAveragePool):
            return True
        if isinstance(user, (*KEEPS_GRID, nn.Activation, nn.FakeQuantize)) and feeds_layer(user.results[0]):
            return True
    return False


def origins(value: Value) -> Iterator[Value]:
    """The quantized values that the integers of a value come from, through ops that keep their grid."""
    op = value.owner
    if isinstance(op, KEEPS_GRID):
        for operand in op.operands:
            yield from origins(operand)
    elif isinstance(op, nn.FakeQuantize):
        yield value


def never_negative(value: Value) -> bool:
    """True if a value is at least 0, because it is rectified, or made of such values."""
    op = value.owner
    if isinstance(op, nn.ReLU):
        return True
    kept = (*KEEPS_GRID, nn.Add, nn.FakeQuantize, nn.AveragePool, nn.GlobalAveragePool, nn.Upsample)
    return isinstance(op, kept) and all(map(never_negative, op.operands))


def joins(module: builtin.Module) -> Iterator[Op]:
    """Additions and concatenations that layers compute."""
    return (op for op in module.body if isinstance(op, JOINS))
