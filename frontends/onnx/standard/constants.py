"""What does not depend on the input: weights, shapes, and what nodes make of them, computed while importing.

A shape holds the batch size, which nobody knows yet.  So what follows from a shape is computed for two batch sizes at
once: where both results agree it is a constant, and in the shape of a Reshape the entry that follows the batch size
is the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.frontends.onnx.graph import Node, Reference, Subgraph
from cnn2snn_ir.frontends.onnx.standard.faults import UnsupportedNodeError, require
from cnn2snn_ir.frontends.onnx.standard.view import View
from cnn2snn_ir.frontends.onnx.tensors import StoredTensor
from cnn2snn_ir.ir import ElementType

Array = npt.NDArray[Any]

BATCHES = (2, 3)
"""The batch sizes for which shapes are computed."""

MAX_ELEMENTS = 1 << 26
"""No constant that a node computes is larger."""

SHORT = 1 << 10
"""Constants of so few elements may be shapes, on which the shape of a result depends."""

FOLDED = frozenset({
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal",
    "Exp", "Expand", "Flatten", "Floor", "Gather", "Gemm", "Greater", "Identity", "Less", "Log", "MatMul",
    "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "Shape", "Sign", "Size", "Slice",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""Standard operators that are computed if all they read is constant."""


@dataclass(frozen=True)
class Quantized:
    """Integers and what one of them is worth, of a shape that is broadcast to theirs: `real = integers · scale`."""

    integers: Array
    scale: Array
    element: ElementType

    @property
    def reals(self) -> Array:
        """The real values, as float64."""
        return self.integers * self.scale.astype(np.float64)


@dataclass(frozen=True)
class Constant:
    """Values known while importing: `dtype` is ONNX's name of their type.

    `other` are those for the second batch size, if they follow the batch size; `quantized` are the integers behind
    real values.
    """

    values: Array
    dtype: str
    other: Array | None = None
    quantized: Quantized | None = None

    @property
    def fixed(self) -> Array:
        """The values, which must not follow the batch size."""
        require(self.other is None, "a constant that depends on the batch size is used as a number", code="ONNX-BATCH")
        return self.values

    @property
    def floats(self) -> Array:
        """The real values of what must hold floats."""
        values = self.fixed
        message = "a constant has integers where reals are needed"
        require(values.dtype.kind == "f", message, found=self.dtype, allowed="float32", code="ONNX-TYPE")
        return values

    def at(self, batch: int) -> Array:
        """The values for one of the two batch sizes."""
        return self.values if batch == 0 or self.other is None else self.other


def stored(tensor: StoredTensor | Array, where: str) -> Constant:
    """A constant of the file; raises `CompileError` if it cannot be read or is not finite."""
    if isinstance(tensor, StoredTensor):
        return Constant(tensor.finite(where), tensor.dtype)
    return computed(tensor)


def computed(values: Array, other: Array | None = None) -> Constant:
    """A constant that was computed."""
    if other is not None and np.array_equal(values, other):
        other = None
    return Constant(values, str(values.dtype), other)


def shape_of(x: View) -> Constant:
    """The shape of a value, for both batch sizes."""
    first, second = (np.array([b if s is None else s for s in x.shape], np.int64) for b in BATCHES)
    return computed(first, second)


def fold(node: Node, inputs: Sequence[Constant | None], opset: int) -> tuple[Constant, ...]:
    """The results of a node that reads constants only; raises `UnsupportedNodeError` if it cannot be computed."""
    moved = moved_integers(node, inputs)
    results = evaluate(node, [None if c is None else c.values for c in inputs], opset)
    if any(c is not None and c.other is not None for c in inputs):
        others = evaluate(node, [None if c is None else c.at(1) for c in inputs], opset)
        return tuple(computed(a, b) for a, b in zip(results, others, strict=True))
    return tuple(replace(computed(values), quantized=moved) for values in results)


def moved_integers(node: Node, inputs: Sequence[Constant | None]) -> Quantized | None:
    """The integers behind the result of a node that keeps values and, at most, transposes them."""
    quantized = inputs[0].quantized if inputs and inputs[0] is not None else None
    if quantized is None or node.op not in ("Identity", "Transpose"):
        return None
    order = node.attributes.get("perm") if node.op == "Transpose" else range(quantized.integers.ndim)
    scale = quantized.scale if quantized.scale.ndim == 0 else quantized.scale.transpose(order)
    return replace(quantized, integers=quantized.integers.transpose(order), scale=scale)


def evaluate(node: Node, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """Run one node with ONNX's own reference, after a look at how large its results are."""
    from onnx.reference import ReferenceEvaluator

    import onnx

    names = [f"x{i}" if array is not None else "" for i, array in enumerate(inputs)]
    given = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
    outputs = [f"y{i}" if name else "" for i, name in enumerate(node.outputs)]
    try:
        body = onnx.helper.make_node(node.op, names, outputs, **plain_attributes(node))
        check_size(body, given, opset)
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(one_node(body, given, opset, short=0)).run(None, given)
    except UnsupportedNodeError:
        raise
    except Exception as error:  # the reference raises whatever numpy does
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnsupportedNodeError("a constant cannot be computed", found=reason, code="ONNX-FOLD") from None
    return tuple(np.asarray(r) for r in results)


def plain_attributes(node: Node) -> dict[str, Any]:
    """Attributes as `make_node` takes them."""
    for value in node.attributes.values():
        if isinstance(value, Subgraph | Reference) or value in (None, ()):
            raise UnsupportedNodeError("an attribute that is no number or text", code="ONNX-ATTRIBUTE")
    return {k: v.proto if isinstance(v, StoredTensor) else v for k, v in node.attributes.items()}


def check_size(body: Any, given: dict[str, Array], opset: int) -> None:
    """Refuse a node of which the results are large, or of unknown size."""
    import onnx

    model = onnx.shape_inference.infer_shapes(one_node(body, given, opset, short=SHORT), data_prop=True)
    for output in model.graph.output:
        shape = output.type.tensor_type.shape
        known = output.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in shape.dim)
        size = math.prod(d.dim_value for d in shape.dim) if known else None
        if size is None or size > MAX_ELEMENTS:
            raise UnsupportedNodeError(
                "a constant that a node computes is too large, or of a size that cannot be told",
                found="unknown" if size is None else f"{size} elements",
                allowed=f"at most {MAX_ELEMENTS}",
                code="ONNX-FOLD",
            )


def one_node(body: Any, given: dict[str, Array], opset: int, short: int) -> Any:
    """A model of one node; its operands of up to `short` elements are initializers, so that shapes follow from them."""
    import onnx

    inputs, initializers = [], []
    for name, array in given.items():
        if 0 < array.size <= short:
            initializers.append(onnx.numpy_helper.from_array(array, name))
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
    outputs = [onnx.ValueInfoProto(name=name) for name in body.output if name]
    graph = onnx.helper.make_graph([body], "node", inputs, outputs, initializers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
