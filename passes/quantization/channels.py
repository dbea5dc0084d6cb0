"""Which channels of a float network can only be rescaled together, and which not at all.

A channel of one value is a channel of another if an op hands it on: a rectifier, a pooling, a sum, a concatenation.
All that are one share an id.  The channels of the model's ends, and of ops that are not as large as what they read,
are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.passes.affines import LAYERS

Ids = npt.NDArray[np.int64]

DEPTHWISE = (nn.DepthwiseConv2D, nn.DepthwiseConv2DTranspose)
PASSING = (nn.MaxPool, nn.AveragePool, nn.GlobalAveragePool, nn.Upsample, nn.Dropout)
"""Ops whose every channel is as large as that of their operand."""


@dataclass(frozen=True)
class Layer:
    """A layer with float weights, and the ids of the channels that it reads and writes."""

    op: Any
    read: Ids
    written: Ids

    @property
    def is_depthwise(self) -> bool:
        """True if the weights have one axis for both."""
        return isinstance(self.op, DEPTHWISE)

    def columns(self, factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Factors of the channels read, in the shape in which they multiply weights."""
        return factors if self.is_depthwise else factors[:, np.newaxis]


@dataclass
class Channels:
    """The channels of a module."""

    ids: dict[Value, Ids] = field(default_factory=dict)
    """One id for each channel of each value."""
    layers: list[Layer] = field(default_factory=list)
    fixed: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    """By id: true for channels that stay as they are."""
    family: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    """By id: a number that channels which meet in one value share."""

    @property
    def count(self) -> int:
        """How many ids there are."""
        return len(self.fixed)


def channels_of(module: builtin.Module) -> Channels:
    """The channels of all real values of a module."""
    finder = Finder()
    for op in module.body:
        finder.visit(op)
    roots = finder.same.roots()
    names, numbers = np.unique(roots, return_inverse=True)
    ids = {value: numbers[nodes] for value, nodes in finder.nodes.items()}
    fixed = np.zeros(len(names), bool)
    fixed[numbers[np.array(sorted(finder.fixed), np.int64)]] = True
    layers = [Layer(op, ids[op.x], ids[op.result]) for op in finder.layers]
    together = Sets(len(names))
    for members in ids.values():
        together.join(members, np.broadcast_to(members[:1], members.shape))
    return Channels(ids, layers, fixed, together.roots())


class Sets:
    """Disjoint sets of numbers (union-find)."""

    def __init__(self, count: int = 0) -> None:
        self.parent = list(range(count))

    def add(self, count: int) -> Ids:
        """New numbers, each a set of its own."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def find(self, number: int) -> int:
        """The number that stands for a set."""
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def join(self, these: Ids, those: Ids) -> None:
        """Make one set of the sets of each pair."""
        for a, b in zip(these.tolist(), those.tolist(), strict=True):
            self.parent[self.find(a)] = self.find(b)

    def roots(self) -> Ids:
        """What stands for the set of each number."""
        return np.array([self.find(n) for n in range(len(self.parent))], np.int64)


@dataclass
class Finder:
    """The walk over a module, and a node for each channel that an op makes anew."""

    same: Sets = field(default_factory=Sets)
    nodes: dict[Value, Ids] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)
    layers: list[Any] = field(default_factory=list)

    def visit(self, op: Op) -> None:
        """Find the channels of an op's result."""
        operands = [self.nodes[value] for value in op.operands]
        handed_on = self.handed_on(op, operands)
        for result in op.results:
            self.nodes[result] = self.same.add(result.type.channels) if handed_on is None else handed_on
        if isinstance(op, LAYERS) and op.weight_scale is None:
            self.layers.append(op)
        elif handed_on is None:
            around = [*operands, *(self.nodes[result] for result in op.results)]
            self.fixed.update(node for nodes in around for node in nodes.tolist())

    def handed_on(self, op: Op, operands: list[Ids]) -> Ids | None:
        """The channels that an op hands on from its operands; None if it makes new ones."""
        if isinstance(op, PASSING) or is_homogeneous(op):
            return operands[0]
        if isinstance(op, nn.Add) or (isinstance(op, nn.Concat) and op.axis < op.result.type.rank - 1):
            for other in operands[1:]:
                self.same.join(operands[0], other)
            return operands[0]
        if isinstance(op, nn.Concat):
            return np.concatenate(operands)
        if isinstance(op, nn.Reshape):
            rows: Ids = np.broadcast_to(operands[0], op.x.type.per_sample).reshape(-1, op.shape[-1])
            for row in rows[1:]:
                if (row != rows[0]).any():
                    self.same.join(rows[0], row)
            first: Ids = rows[0]
            return first
        return None


def is_homogeneous(op: Op) -> bool:
    """True for a function that is twice as large for numbers twice as large, and for a border of zeros."""
    match op:
        case nn.ReLU():
            return op.max_value is None
        case nn.Activation():
            return op.function in (Function.LEAKY_RELU, Function.LINEAR)
        case nn.Pad():
            return op.value == 0
        case _:
            return False
