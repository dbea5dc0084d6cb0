"""Which value of a float model is the same as a value of the quantized one.

QuantizeML keeps the names of layers, but not the layers: batch normalizations and rescalings go into the weights of
convolutions, a ReLU changes places with a pooling, activations become layers of their own.  So a name does not
settle which values belong together.  What a value *computes* does: the layers between the input and it, of those that
both models have, with what was folded into them.

    float       conv ▶ relu ▶ pool      conv + bn       conv ▶ pool ▶ bn
    quantized   conv ▶ pool ▶ relu      conv            conv ▶ pool
    equal       float pool = relu       bn = conv       bn = pool; of conv there is no counterpart
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op
from cnn2snn_ir.runtime.floats.model import FloatValue

ONNX_SUFFIX = ".onnx"

WEIGHTED = ("Conv", "Dense", "Gemm", "MatMul")
"""Parts of the kinds of layers that others can be folded into."""

FOLDED = ("BatchNormalization", "Rescaling")
"""Kinds of layers that become part of the weights of another."""

NEVER_FOLDED = ("Softmax", "softmax", "Sigmoid", "sigmoid")
"""Kinds that a quantized model may end before.  Any other layer that it lacks, its neighbours do the work of."""

Work = frozenset[str]
"""The layers between the input and a value, itself included."""


class Node(NamedTuple):
    """A value of either model."""

    key: str
    inputs: tuple[str, ...]
    own: Work
    """What it adds to the work of its inputs."""
    real: bool = True
    """True if it can be compared as real numbers."""


def match(module: Module, floats: Sequence[FloatValue]) -> dict[str, FloatValue]:
    """Name of a quantized value ▶ the float value that is the same.

    An ONNX file that was quantized keeps the names of tensors, and these stand for what they did.
    """
    by_key = {value.key: value for value in floats}
    if str(module.annotations.get("source", "")).endswith(ONNX_SUFFIX):
        names = (value.name or "" for op in module.body for value in op.results)
        if kept := {name: by_key[name] for name in names if name in by_key}:
            return kept
    shared = {v.layer for v in floats} & {v.name for op in module.body for v in op.results}
    hosts = {layer: found for layer, hosts in folded(floats).items() if (found := hosts & shared)}
    ours, theirs = last_of(quantized_nodes(module, shared, hosts)), last_of(float_nodes(floats, shared, hosts))
    return {key: by_key[theirs[work]] for work, key in ours.items() if work and work in theirs}


def last_of(nodes: Iterable[Node]) -> dict[Work, str]:
    """For each work the value that completes it; none where two branches do the same."""
    work: dict[str, Work] = {}
    behind: dict[str, set[str]] = {}
    groups: dict[Work, list[str]] = {}
    for node in nodes:
        known = [key for key in node.inputs if key in work]
        work[node.key] = node.own.union(*(work[key] for key in known))
        behind[node.key] = set(known).union(*(behind[key] for key in known))
        if node.real:
            groups.setdefault(work[node.key], []).append(node.key)
    return {work: keys[-1] for work, keys in groups.items() if behind[keys[-1]].issuperset(keys[:-1])}


def quantized_nodes(module: Module, shared: set[str], hosts: Mapping[str, set[str]]) -> Iterator[Node]:
    """The values of the model as imported."""
    keys = {v: v.name or f"%{number}" for number, v in enumerate(v for op in module.body for v in op.results)}
    for op in module.body:
        for value in op.results:
            name = value.name or ""
            own = frozenset({name} & shared | {layer for layer, found in hosts.items() if name in found})
            yield Node(keys[value], tuple(keys[v] for v in op.operands), own, is_real(op))


def is_real(op: Op) -> bool:
    """True if the result of an op is known as real numbers, and is more than the operand in another form."""
    if op.results[0].name is None or isinstance(op, qnn.Dequantize):
        return False
    return "frac_bits" in op.annotations or op.op_name.startswith("nn.")


def float_nodes(floats: Sequence[FloatValue], shared: set[str], hosts: Mapping[str, set[str]]) -> Iterator[Node]:
    """The values of the float model."""
    for value in floats:
        counts = value.layer in shared or value.layer in hosts or value.kind in NEVER_FOLDED
        yield Node(value.key, value.inputs, frozenset({value.layer} if counts else ()))


def folded(floats: Sequence[FloatValue]) -> dict[str, set[str]]:
    """Layer ▶ the layers that it is folded into: the one with weights before it, or if there is none, those behind."""
    by_key = {value.key: value for value in floats}
    found = {}
    for value in floats:
        if value.kind in FOLDED:
            before = weighted_before(value, by_key)
            found[value.layer] = {before} if before else set(weighted_behind(value, floats))
    return found


def weighted_before(value: FloatValue, by_key: Mapping[str, FloatValue]) -> str:
    """The nearest layer with weights on the way to the input, if there is one way."""
    while len(value.inputs) == 1 and value.inputs[0] in by_key:
        value = by_key[value.inputs[0]]
        if is_weighted(value):
            return value.layer
    return ""


def weighted_behind(value: FloatValue, floats: Sequence[FloatValue]) -> Iterator[str]:
    """The nearest layers with weights on every way to the outputs."""
    reached = {value.key}
    for reader in floats:
        if reached.intersection(reader.inputs):
            if is_weighted(reader):
                yield reader.layer
            else:
                reached.add(reader.key)


def is_weighted(value: FloatValue) -> bool:
    """True for convolutions and dense layers."""
    return any(part in value.kind for part in WEIGHTED)
