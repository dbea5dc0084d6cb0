"""Operators that are refused, and why: what to do instead, where there is something."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.frontends.onnx.graph import Node, OnnxGraph

RECURRENT = "recurrent layers are not imported from ONNX"
NORMALIZED = "statistics of the input at hand are not computed on the chip"
CONTROL = "control flow is not supported"
SELECTED = "parts of a tensor that depends on the input are selected or repeated"

REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (RECURRENT, "use convolutions over time")),
    **dict.fromkeys(
        ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "LpNormalization",
         "MeanVarianceNormalization"),
        (NORMALIZED, "train with BatchNormalization"),
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), (CONTROL, "export the model without branches and loops")),
    **dict.fromkeys(
        ("Slice", "Split", "Gather", "GatherND", "GatherElements", "Expand", "Tile"),
        (SELECTED, "end the model before it, or let a convolution with constant weights select"),
    ),
    "DynamicQuantizeLinear": (
        "the scale of the activations is only known at run time",
        "quantize statically, with samples (onnxruntime.quantization.quantize_static)",
    ),
    "FloatQuant": ("numbers of a float format of few bits", "quantize to integers"),
    "Trunc": ("a truncation of integers to fewer bits", "quantize the average pooling's result with Quant instead"),
    "Attention": ("attention is not supported", "use a network of convolutions"),
    "MaxUnpool": ("the positions of maxima are not kept", "use Resize or ConvTranspose"),
    "NonMaxSuppression": ("boxes are not selected on the chip", "end the model before it"),
}  # fmt: skip
"""Operator ▶ why it is refused, and what to do."""


def refusal(node: Node, graph: OnnxGraph) -> Diagnostic:
    """Why a node's operator cannot be imported."""
    reason, advice = REASONS.get(node.op, ("the operator is not supported", "end the model before it, or replace it"))
    version = graph.opsets.get(node.domain)
    place = f"{node.domain or 'ai.onnx'} {version if version is not None else '?'}"
    return Diagnostic(
        "ONNX-OP", reason, where=node.where, found=f"{node.op} of {place}, node {node.index}", help=advice
    )
