"""The float tail: what the host computes behind the last integer.

A head (softmax, sigmoid, a rectifier, a reshape) has no weights and is no reason to stop.  Any other float layer
means that a part of the network was not quantized; that needs the user's consent.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level, is_at
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.legality.rule import named

FORBIDDEN, HOST = "TAIL-FLOAT", "TAIL-HOST"
"""The codes of a float layer without consent, and of the remark about what the host computes."""

HEADS = (
    nn.Softmax,
    nn.Activation,
    nn.ReLU,
    nn.Reshape,
    nn.Transpose,
    nn.FakeQuantize,
    nn.DepthToSpace,
    nn.Upsample,
    nn.Affine,
)
"""Float ops without weights."""


def host_layers(module: Module) -> dict[str, list[Op]]:
    """The float layers by `name (class)`, each with its ops, in order."""
    found: dict[str, list[Op]] = {}
    reals = is_at(module, Level.NN)
    for op in module.body:
        if op.op_name.startswith("nn.") and (not reals or stays_float(op)):
            found.setdefault(named(op), []).append(op)
    return found


def stays_float(op: Op) -> bool:
    """True for an op of a legacy model that integers do not replace: nothing quantized stands behind it."""
    from cnn2snn_ir.passes.legality.legacy_predicates import (  # few models need it
        WEIGHTED,
        layer_behind,
        quantized_bits,
    )

    if reaches(op, nn.FakeQuantize) or isinstance(op, nn.FakeQuantize):
        return False
    weighted = isinstance(op, WEIGHTED) and quantized_bits(op) == 0
    return (weighted or isinstance(op, (nn.Softmax, nn.Activation, nn.ReLU))) and layer_behind(op) is None


def reaches(op: Op, kind: type[Op]) -> bool:
    """True if an op of a kind stands behind another one."""
    behind = [user for result in op.results for user in result.users]
    return any(isinstance(user, kind) or reaches(user, kind) for user in behind)


def tail_diagnostics(module: Module, allow_float_tail: bool) -> Iterator[Diagnostic]:
    """An error for each float layer that nobody consented to, and one remark that names all that the host computes."""
    layers = host_layers(module)
    if not allow_float_tail:
        for name, ops in layers.items():
            if others := [op for op in ops if not isinstance(op, HEADS)]:
                yield Diagnostic(
                    FORBIDDEN,
                    "a float layer with weights stands behind the last integer; the host would compute it",
                    where=name,
                    found=", ".join(op.op_name for op in others),
                    allowed="heads without weights: softmax, sigmoid, tanh, ReLU, reshape",
                    help="quantize the layer, or consent with --allow-float-tail (allow_float_tail=True)",
                )
    if layers:
        message = f"the host computes {', '.join(layers)} in float"
        yield Diagnostic(HOST, message, where=module.sym_name, severity=Severity.REMARK)
