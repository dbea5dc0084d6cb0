"""Concatenations of many become concatenations of two.

    %c = qnn.concat %x, %y, %z {axis = 3}
▶
    %0 = qnn.concat %x, %y {axis = 3}
    %c = qnn.concat %0, %z {axis = 3}

Preconditions: none.  Contract: exact: joining is associative, and so is the narrowest type that holds all parts.
Source: QuantizeML 1.2.5 (Apache-2.0) does the same before it quantizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, inserted, legalization


@legalization(qnn.Concat, "concat(a, …, y, z) = concat(concat(a, …, y), z)")
def split_concat(op: qnn.Concat, rewriter: Legalizer) -> bool:
    if len(op.parts) <= 2:
        return False
    rewriter.tell(op, f"joined the {len(op.parts)} inputs of {{}} in pairs")
    *firsts, last = op.parts
    joined = firsts[0]
    for count, part in enumerate(firsts[1:], start=2):
        pair = rewriter.insert_before(op, qnn.Concat((joined, part), op.axis, loc=inserted(op, f"first_{count}")))
        joined = pair.results[0]
    rewriter.replace(op, qnn.Concat((joined, last), op.axis))
    return True


class SplitConcats(Legalization):
    """Join in pairs."""

    name = "split-concats"

    def rules(self) -> Sequence[Rule]:
        return (split_concat,)
