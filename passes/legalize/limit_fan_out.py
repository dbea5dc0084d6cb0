"""A map feeds at most two layers: more of them read it through a chain of identity layers.

    %x ─▶ a, b, c, d
▶
    %x ─▶ a, %x_identity          %x_identity ─▶ b, %x_identity_1          %x_identity_1 ─▶ c, d

Preconditions: none.  Contract: exact; see `identity.py`.
Source of the limit: QuantizeML 1.2.5 (Apache-2.0) does the same to maps of up to 2048 channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnn2snn_ir.dialects import builtin, ops_of
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.ir.rewrite import Rule
from cnn2snn_ir.passes.legalize.identity import identity, impassable
from cnn2snn_ir.passes.legalize.legalization import Legalization, Legalizer, legalization

MOST_CONSUMERS = 2


def consumers(x: Value) -> list[Op]:
    """Who reads `x` on the chip, each once; handing it out of the model does not count."""
    return [user for user in x.users if not isinstance(user, builtin.Return)]


@legalization((builtin.Input, *ops_of("qnn").values()), "x = identity(x)")
def identity_behind(op: Op, rewriter: Legalizer) -> bool:
    """Let all but the first consumer of `op` read a copy, all but the first of those a copy of the copy, and so on."""
    x = op.results[0]
    count = len(consumers(x))
    if count <= MOST_CONSUMERS or x.type.rank != 4:
        return False
    if reason := impassable(x):
        return rewriter.why_not(op, reason)
    rewriter.tell(op, f"put identity layers behind {{}}, which feeds {count} layers")
    while len(others := consumers(x)) > MOST_CONSUMERS:
        assert op.next is not None
        copy = identity(x, op.next, rewriter)
        for use in x.uses:
            if use.op in others[1:]:
                use.op.set_operand(use.position, copy)
        op, x = copy.owner, copy
    return True


class LimitFanOut(Legalization):
    """Let no map feed more than two layers."""

    name = "limit-fan-out"

    def rules(self) -> Sequence[Rule]:
        return (identity_behind,)
