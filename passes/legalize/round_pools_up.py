"""Max pooling that leaves out the last row and column pools them too, where a dense layer can ignore the result.

    %1 = qnn.conv2d %0, #w<…, si8[3, 3, 8, 8], …> : tensor<?x5x5x8xsi28>
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2]} : tensor<?x2x2x8xsi28>
    %3 = qnn.requantize %2, … {to = si8} : tensor<?x2x2x8xsi8>
    %4 = qnn.reshape %3 {shape = [32]} : tensor<?x32xsi8>
    %5 = qnn.dense %4, #w<dense/kernel, si8[32, 10], …> : tensor<?x10xsi28>
▶
    %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2], padding = same} : tensor<?x3x3x8xsi28>
    %3 = qnn.requantize %2, … {to = si8} : tensor<?x3x3x8xsi8>
    %4 = qnn.reshape %3 {shape = [72]} : tensor<?x72xsi8>
    %5 = qnn.dense %4, #w<dense/kernel, si8[72, 10], …> : tensor<?x10xsi28>      zeros for the third row and column

Cheaper than `separate-pools`, and all of it pads with `same`, as the chip wants.

Preconditions: `fold-scales`, `match-pool-padding`; `same` adds nothing in front, so the old windows stay where they
are; the map goes to one dense layer only.  Contract: exact: products with zeros add nothing to a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.layers import main_of
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, again, legalization
from cnn2snn_ir.passes.legalize.windows import Convolution, axes, kernel

POINTWISE = (qnn.ReLU, qnn.Requantize, qnn.Shift)
"""What may stand between the pooling and the dense layer: it computes every position on its own."""


@legalization(
    qnn.MaxPool, "dense(max over whole windows) = dense'(max over all windows), dense' with zeros for the rest"
)
def round_up(op: qnn.MaxPool, rewriter: Legalizer) -> bool:
    conv = main_of(op)
    if op.padding is not Padding.VALID or not isinstance(conv, Convolution):
        return False
    if conv.padding is Padding.VALID and kernel(conv) != (1, 1):
        return False  # they agree, and would no longer
    if any(replace(axis, padding=Padding.SAME).before for axis in axes(op)):
        return False
    *path, dense = to_dense(op)
    if not isinstance(dense, qnn.Dense) or not any(isinstance(step, qnn.Reshape) for step in path):
        return False
    rewriter.tell(op, "let the pooling {} include the last row and column, which the dense layer behind it ignores")
    value = rewriter.insert_before(op, qnn.MaxPool(op.x, op.size, op.strides, Padding.SAME, loc=op.loc)).results[0]
    old, new = op.result.type.per_sample, value.type.per_sample
    for step in path:
        if isinstance(step, qnn.Reshape):
            value = rewriter.insert_before(dense, qnn.Reshape(value, (prod(new),), loc=step.loc)).results[0]
        else:
            value = again(step, value, dense, rewriter)
        value.name = None if step.results[0].name is None else f"{step.results[0].name}_rounded_up"
    weights = with_zeros(dense.weights, old, new)
    rewriter.replace(dense, qnn.Dense(value, weights, dense.acc))
    for step in (*path[::-1], op):
        rewriter.erase(step)
    return True


def to_dense(op: Op) -> list[Op]:
    """What follows a pooling alone, up to a dense layer or to the first op that must see its size."""
    path: list[Op] = [op]
    flat = False
    while path[-1].results[0].has_one_use:
        (user,) = path[-1].results[0].users
        flat |= isinstance(user, qnn.Reshape) and len(user.shape) == 1
        by_channel = isinstance(user, POINTWISE) and any(
            isinstance(t, Tensor) and t.type.shape for t in user.attributes.values()
        )
        path.append(user)
        if not isinstance(user, (*POINTWISE, qnn.Reshape)) or (flat and by_channel):
            break
    return path[1:] or [op]


def with_zeros(weights: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """The rows of a dense layer for a larger map: zeros for the positions that are new."""
    units = weights.array.shape[1]
    larger = np.zeros((*new, units), weights.array.dtype)
    larger[: old[0], : old[1]] = weights.array.reshape(*old, units)
    return Tensor.of(larger.reshape(-1, units), weights.type.element, weights.name)


class RoundPoolsUp(Legalization):
    """Pool the rest of a map for a dense layer that ignores it."""

    name = "round-pools-up"

    def rules(self) -> Sequence[Rule]:
        return (round_up,)
