"""Planted bugs: what a correct pass makes, and then something wrong with it."""

from dataclasses import dataclass

from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.pipeline import Pipeline


def layer(kind, index=0):
    return lambda module: [op for op in module.body if isinstance(op, kind)][index]


def edit(find, name, change):
    """A bug that changes one field of one op."""

    def bug(module):
        op = find(module)
        setattr(op, name, change(getattr(op, name)))

    return bug


def values(change):
    return lambda tensor: Tensor.of(change(tensor.array.copy()), tensor.type.element, tensor.name)


def swap(array):
    array[..., [0, 1]] = array[..., [1, 0]]
    return array


def first_plus(amount):
    def change(array):
        array.reshape(-1)[0] += amount
        return array

    return change


@dataclass(frozen=True)
class Planted(Pass):
    """What the correct pass does, and then the bug."""

    name = "planted"

    correct: Pass
    bug: object

    @property
    def contract(self):
        return self.correct.contract

    def run(self, op, context):
        self.correct.run(op, context)
        self.bug(op)
        return True


def planted(correct, bug):
    return Pipeline("builtin.module", (Planted(correct, bug),))
