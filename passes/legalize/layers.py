"""Which ops one hardware layer will compute together, asked before fusion does it."""

from __future__ import annotations

from typing import Any

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.fuse_blocks import AKIDA2_PATTERNS, grow, kind_of

PATTERNS = {pattern.main: pattern for pattern in AKIDA2_PATTERNS}
STAGES = tuple({kind for pattern in AKIDA2_PATTERNS for stage in pattern.after for kind in stage})
"""Everything that may follow the main op of a layer."""


def layer_of(main: Op) -> list[Op]:
    """The ops of the layer whose main op is given, in order."""
    return grow(main, PATTERNS[type(main)], Rewriter())


def kind(main: Op) -> BlockKind:
    """The hardware layer that it will be."""
    return kind_of(main, PATTERNS[type(main)], layer_of(main))


def main_of(op: Op) -> Op | None:
    """The main op of the layer that `op` continues; None if it continues no layer."""
    above: Op = op
    while isinstance(above, STAGES):
        above = above.operands[0].owner
    return above if type(above) in PATTERNS and op in layer_of(above) else None


def following(main: Op, kind: type[Op] | tuple[type[Op], ...]) -> Any:
    """The op of a kind behind the main op of its layer, or None."""
    ops = layer_of(main)
    return next((op for op in ops[ops.index(main) + 1 :] if isinstance(op, kind)), None)


def output_of(main: Op) -> qnn.Requantize | qnn.Shift | None:
    """The op that ends a layer with an output for other layers to read, if one does."""
    last = layer_of(main)[-1]
    return last if isinstance(last, (qnn.Requantize, qnn.Shift)) and last.to.bits <= 8 else None
