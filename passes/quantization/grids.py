"""Steps of quantized values: the distance of two integers for each, where some must share a step or a power of two.

A concatenation joins integers of one step.  An addition shifts its operands and its result, so their steps must be
powers of two apart.  Values are bound together by such joins; each group is solved at once, so that no range is wasted
that need not be: the step of one of its values is taken exactly, and the others' are the next powers of two above.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.ir import Value
from cnn2snn_ir.passes.quantization.groups import joins, origins


class Groups:
    """Disjoint sets of values."""

    def __init__(self, values: Iterable[Value]) -> None:
        self._parent = {value: value for value in values}

    def find(self, value: Value) -> Value:
        """The representative of the set that a value is in."""
        while self._parent[value] is not value:
            self._parent[value] = self._parent[self._parent[value]]
            value = self._parent[value]
        return value

    def join(self, values: Iterable[Value]) -> None:
        """Put values into one set; those that are in none are left out."""
        known = [self.find(v) for v in values if v in self._parent]
        for value in known[1:]:
            self._parent[value] = known[0]

    def sets(self) -> list[list[Value]]:
        """All sets, members in the order in which they were given."""
        found: dict[Value, list[Value]] = {}
        for value in self._parent:
            found.setdefault(self.find(value), []).append(value)
        return list(found.values())


def joint_steps(module: builtin.Module, ideal: Mapping[Value, float], power_of_two: bool = False) -> dict[Value, float]:
    """Steps no smaller than the ideal ones that all joins of the module can work with, by quantized value."""
    equal, related = Groups(ideal), Groups(ideal)
    for op in joins(module):
        sources = [source for operand in op.operands for source in origins(operand)]
        if isinstance(op, nn.Concat):
            sources += quantized_readers(op.result)
            equal.join(sources)
            related.join(sources)
        else:
            related.join([*sources, *quantized_readers(op.result)])
    wanted = {value: max(ideal[v] for v in group) for group in equal.sets() for value in group}
    steps: dict[Value, float] = {}
    for group in related.sets():
        apart = len({equal.find(v) for v in group}) > 1
        steps |= (
            powers_apart({v: wanted[v] for v in group}, power_of_two)
            if apart or power_of_two
            else {v: wanted[v] for v in group}
        )
    return steps


def quantized_readers(value: Value) -> list[Value]:
    """What quantizes a value, a rectifier in between or not."""
    found = []
    for user in value.users:
        if isinstance(user, nn.FakeQuantize):
            found.append(user.result)
        elif isinstance(user, nn.ReLU):
            found += quantized_readers(user.result)
    return found


def powers_apart(wanted: Mapping[Value, float], power_of_two: bool) -> dict[Value, float]:
    """For each value the smallest step not below the wanted one that is a power of two times a common one."""
    bases = [1.0] if power_of_two else list(dict.fromkeys(wanted.values()))
    choices = [{v: base * 2.0 ** math.ceil(math.log2(s / base) - 1e-9) for v, s in wanted.items()} for base in bases]
    return min(choices, key=lambda steps: sum(math.log2(steps[v] / s) for v, s in wanted.items()))
