"""Float operators behind the Dequantizer: imported as `nn` ops, computed by the host.

The file's axes are those of NCHW, a map's values here NHWC.
"""

from __future__ import annotations

import math

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.onnx.graph import Node
from cnn2snn_ir.frontends.onnx.quantizeml.importer import TAIL, Importer, registered
from cnn2snn_ir.frontends.onnx.tensors import Array
from cnn2snn_ir.ir import F32, Value

FUNCTIONS = {
    "Sigmoid": Function.SIGMOID,
    "Tanh": Function.TANH,
    "HardSwish": Function.HARD_SWISH,
    "Softplus": Function.SOFTPLUS,
    "Softsign": Function.SOFTSIGN,
    "Mish": Function.MISH,
}
"""Elementwise operators without attributes."""

TO_NCHW = (0, 3, 1, 2)
CHANNELS_LAST = {0: 0, 1: 3, 2: 1, 3: 2}
"""The axes of NCHW, in NHWC."""


def unsupported(node: Node, message: str, found: str, allowed: str = "") -> CompileError:
    """The error for settings that the host does not compute."""
    return fail("QML-FLOAT", message, where=node.where, found=found, allowed=allowed, help="end the model before it")


def known_attributes(node: Node, *names: str) -> None:
    """Refuse attributes that would mean something that is not computed here."""
    for name in sorted(set(node.attributes) - set(names)):
        raise unsupported(node, "the operator has an attribute that is not known here", name, ", ".join(names))


@registered(TAIL, *FUNCTIONS)
def elementwise(imp: Importer, node: Node, x: Value) -> Value:
    known_attributes(node)
    return imp.emit(nn.Activation(x, FUNCTIONS[node.op]))


@registered(TAIL, "Identity", "Dropout")
def unchanged(imp: Importer, node: Node, x: Value) -> Value:
    return x


@registered(TAIL, "Relu")
def relu(imp: Importer, node: Node, x: Value) -> Value:
    known_attributes(node)
    return imp.emit(nn.ReLU(x))


@registered(TAIL, "Softmax")
def softmax(imp: Importer, node: Node, x: Value) -> Value:
    """Along one axis; before version 13 along all axes from the given one on."""
    known_attributes(node, "axis")
    rank = x.type.rank
    new = imp.source.opsets.get("", 0) >= 13
    axis = int(node.attributes.get("axis", -1 if new else 1)) % rank
    if not axis or (not new and axis != rank - 1):
        raise unsupported(node, "the axis of the softmax is not computed here", str(axis))
    return imp.emit(nn.Softmax(x, CHANNELS_LAST[axis] if rank == 4 else axis))


@registered(TAIL, "Flatten")
def flatten(imp: Importer, node: Node, x: Value) -> Value:
    """A map becomes a vector with its channels slowest."""
    known_attributes(node, "axis")
    if node.attributes.get("axis", 1) % max(x.type.rank, 1) != 1:
        raise unsupported(node, "only samples are flattened", f"axis {node.attributes['axis']}", "axis 1")
    return imp.emit(nn.Reshape(in_file_order(imp, x), (math.prod(x.type.per_sample),)))


@registered(TAIL, "Reshape")
def reshape(imp: Importer, node: Node, x: Value) -> Value:
    """To vectors; what stays in the place of the batch may be 0, -1, 1 or anything that leaves one sample a row."""
    known_attributes(node, "allowzero")
    shape = constant(imp, node, 1).reshape(-1).tolist()
    size = math.prod(x.type.per_sample)
    if len(shape) != 2 or shape[1] not in (-1, size) or shape.count(-1) == 2:
        raise unsupported(node, "only samples are flattened", str(shape), f"[0, -1] or [-1, {size}]")
    return imp.emit(nn.Reshape(in_file_order(imp, x), (size,)))


def in_file_order(imp: Importer, x: Value) -> Value:
    """A map with its channels in front, where it has more than one position."""
    moved = x.type.rank == 4 and x.type.per_sample[:2] != (1, 1)
    return imp.emit(nn.Transpose(x, TO_NCHW)) if moved else x


@registered(TAIL, "Gemm")
def gemm(imp: Importer, node: Node, x: Value) -> Value:
    """A dense layer on vectors."""
    known_attributes(node, "alpha", "beta", "transA", "transB")
    settings = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    odd = {k: node.attributes[k] for k, legal in settings.items() if node.attributes.get(k, legal) != legal}
    if odd or x.type.rank != 2 or node.inputs[0] not in imp.values:
        raise unsupported(node, "only a plain dense layer is computed", f"{odd or x.type}", "x · W + b of vectors")
    weights = constant(imp, node, 1)
    weights = weights.T if node.attributes.get("transB", 0) else weights
    bias = constant(imp, node, 2) if len(node.inputs) > 2 and node.inputs[2] else None
    if weights.ndim != 2 or (bias is not None and bias.size not in (1, weights.shape[1])):
        raise unsupported(
            node, "its constants do not fit", str([list(a.shape) for a in (weights, bias) if a is not None])
        )
    row = None if bias is None else imp.constant(np.broadcast_to(bias.reshape(-1), weights.shape[1:]), F32, "bias")
    return imp.emit(nn.Dense(x, imp.constant(np.ascontiguousarray(weights), F32, "kernel"), row))


def constant(imp: Importer, node: Node, place: int) -> Array:
    """An argument that must be a constant."""
    name = node.inputs[place] if place < len(node.inputs) else ""
    if name not in imp.source.constants:
        raise unsupported(node, "an argument must be a constant", name or "nothing")
    return imp.source.constant(name, node)
