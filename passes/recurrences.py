"""What stands around a recurrence: the ops that one layer of Akida 2 computes together with it.

dense ▶ requantize ▶ recurrence ▶ take (▶ slice) ▶ dense
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op, Value

T = TypeVar("T", bound=Op)

STATES = 3
"""The dimension of a recurrence's first result that holds the real and the imaginary part."""


class Surroundings(NamedTuple):
    """The ops from one projection to the other, in order, as far as they are there; and what is not as it must be."""

    ops: tuple[Op, ...]
    missing: str


def surroundings(op: qnn.Recurrence) -> Surroundings:
    """The projections of a recurrence, and what connects them to it."""
    before, after = list(projection_in(op)), list(projection_out(op))
    missing = ""
    if not before or not isinstance(before[-1], qnn.Dense):
        missing = "an input that no projection makes"
    elif any(isinstance(o, qnn.BiasAdd) for o in before):
        missing = "a bias in the projection in front of it"
    elif not after or not isinstance(after[-1], qnn.Dense):
        missing = "a state of which no projection reads a part"
    return Surroundings((*reversed(before), op, *after), missing)


def projection_in(op: qnn.Recurrence) -> Iterator[Op]:
    """What makes the inputs of a recurrence, back to the projection."""
    value = op.x
    for kinds in ((qnn.Requantize, qnn.Shift), (qnn.Scale,), (qnn.BiasAdd,), (qnn.Dense,)):
        if isinstance(value.owner, kinds) and value.has_one_use:
            yield value.owner
            value = value.owner.operands[0]


def projection_out(op: qnn.Recurrence) -> Iterator[Op]:
    """What reads the states of a recurrence, up to the projection; of its steps, the last of every few."""
    take = only_reader(op.results[0], qnn.Take)
    if take is None or take.axis != STATES:
        return
    yield take
    steps = only_reader(take.result, qnn.Slice)
    if steps is not None and (steps.axis != 1 or steps.start != steps.step - 1):
        return
    if steps is not None:
        yield steps
    if (last := only_reader((steps or take).result, qnn.Dense)) is not None:
        yield last


def only_reader(value: Value, kind: type[T]) -> T | None:
    """The only user of a value, if it is of a kind."""
    user = value.users[0] if value.has_one_use else None
    return user if isinstance(user, kind) else None


def projects(op: Op) -> bool:
    """True for the projections of a recurrence."""
    around = op.graph or ()
    return any(op in surroundings(other).ops for other in around if isinstance(other, qnn.Recurrence))
