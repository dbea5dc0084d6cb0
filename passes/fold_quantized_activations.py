"""From reals to integers: layers sum integers, and a quantized activation becomes thresholds of these sums.

    %conv = nn.conv2d %x, #w<kernel, si4[3, 3, 32, 32]> {bias = #w<bias>, weight_scale = #w<scale>}
    %pool = nn.max_pool %conv {size = [2, 2], strides = [2, 2]}
    %re_lu = nn.quantized_relu %pool {bits = 4, step = 0.4} : tensor<?x7x7x32xf32>
▶
    %conv = qnn.conv2d %q, #w<kernel, si4[3, 3, 32, 32]> {acc = si32}
    %pool = qnn.max_pool %conv {size = [2, 2], strides = [2, 2]}
    %re_lu = qnn.threshold %pool, #w<thresholds, si33[32, 15]> {to = ui4} : tensor<?x7x7x32xui4>

Every real is a *potential* P, an integer, seen from a zero in units: `real = (P - zero) / scale`.  With inputs
`(q - z) / s` and weights `w / s_w` a layer sums up `P = sum q · w`, so that `scale = s · s_w` and
`zero = z · sum w - bias · scale`.  A mean over n positions is a sum with n times the zero and the scale.  The
activation reaches level k where `real > (k - 1/2) · step`: at the smallest integer above
`zero + scale · (k - 1/2) · step`.  These thresholds are computed from the stored numbers in exact rational arithmetic.
A level out of reach gets a threshold above the accumulator's range.

Where reals are needed, at the model's end, the nearest integer to the zero is subtracted, and `qnn.dequantize` does
the rest.

Preconditions: the program reads integers (`apply-input-scaling`), and weights are quantized; batch normalization is
folded.  What does not meet them stays in `nn`, for the host.  Contract: levels are exact, potentials the nearest
integers: max-lsb(0.5), relative(1e-06); but for ties that float64 decided otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Contract, Pass, PassContext
from cnn2snn_ir.passes.legality.akida2_predicates import float_before_integers
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.potentials import activations, layers, quantizers  # noqa: F401 -- their functions enter themselves into FOLDS
from cnn2snn_ir.passes.potentials.folder import Folder

ADVICE = "quantize what it reads with one scale and one zero point, and its weights symmetrically"


class FoldQuantizedActivations(Pass):
    """Turn layers of quantized weights and activations into integer sums and thresholds."""

    name = "fold-quantized-activations"
    contract = Contract(max_lsb=0.5, relative=1e-6, ties=True)
    requires = Level.NN
    ensures = Level.QNN

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        folder = Folder(self.name, context)
        for inner in list(op.body):
            folder.visit(inner)
        Diagnostics(self.held_up(op, context)).raise_errors(f"{op.sym_name}: cannot become integers")
        return folder.changed

    def held_up(self, module: Module, context: PassContext) -> Iterator[Diagnostic]:
        """The ops that stay in floats although integers are computed from them, with the reasons."""
        for op in module.body:
            reason = context.why_not.get(f"{self.name} on {place(op)}")
            if reason and op.op_name.startswith("nn.") and float_before_integers(op):
                message = "the layer cannot be computed with integers, and integers are computed from it"
                yield Diagnostic("QUANTIZED-01", message, named(op), found=reason, help=ADVICE)
