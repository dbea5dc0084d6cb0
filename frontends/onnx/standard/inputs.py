"""Inputs of the module: their shapes, which dimension is the batch, and whether channels come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.frontends.onnx.graph import Declared, Node, OnnxGraph
from cnn2snn_ir.frontends.onnx.standard.view import View, channels_last
from cnn2snn_ir.ir import F32, si, ui

if TYPE_CHECKING:
    from cnn2snn_ir.frontends.onnx.standard.importer import Importer

InputShape = Sequence[int] | Mapping[str, Sequence[int]] | None
"""The shape of a sample in ONNX's order, of the only input, or of each by its name."""

ELEMENTS = {"float32": F32, "uint8": ui(8), "int8": si(8), "uint16": ui(16), "int16": si(16)}
"""What an input may hold, by ONNX's names."""

LARGEST = 1 << 28
"""No sample of a value has more elements."""

ELEMENTWISE = frozenset({
    "Add", "Sub", "Mul", "Div", "Cast", "Clip", "Relu", "Identity", "QuantizeLinear", "DequantizeLinear",
    "Quant", "IntQuant", "BatchNormalization", "Pad", "Dropout",
})  # fmt: skip
"""Operators that keep the order of dimensions, and are seen through to tell the order of an input."""

TO_CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2)}
"""The transposition that follows an input with channels last, as tf2onnx writes it."""

SEQUENCE_READERS = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization", "QLinearConv"})
"""Operators for which the second of three dimensions is the channels."""


def add_inputs(importer: Importer, input_shape: InputShape) -> None:
    """Make an input of the module for each of the graph's; faults go to the importer."""
    graph = importer.graph
    given = shapes_given(importer, input_shape)
    for name in graph.inputs:
        declared = graph.values.get(name, Declared("", None))
        shape, faults = sample_shape(name, declared, given.get(name), graph)
        importer.found.extend(faults)
        element = ELEMENTS.get(declared.dtype)
        if element is None:
            importer.found.add(
                Diagnostic(
                    "ONNX-TYPE",
                    "the input holds numbers of a type that is not supported",
                    where=f"input {name}",
                    found=declared.dtype,
                    allowed=", ".join(ELEMENTS),
                    help="convert the model to float32",
                )
            )
        if shape is None:
            importer.broken.add(name)
            continue
        axes = input_axes(name, len(shape) + 1, graph)
        op = builtin.Input(tuple(shape[axis - 1] for axis in axes[1:]), element or F32, name=name)
        importer.values[name] = View.of(importer.emit(op), axes, len(shape) + 1)
        importer.input_axes[name] = axes


def shapes_given(importer: Importer, input_shape: InputShape) -> Mapping[str, Sequence[int]]:
    """The caller's shapes by the names of inputs."""
    inputs = importer.graph.inputs
    if input_shape is None:
        return {}
    if not isinstance(input_shape, Mapping):
        input_shape = dict.fromkeys(inputs[:1], input_shape)
        named = len(inputs) == 1
    else:
        named = set(input_shape) <= set(inputs)
    if not named:
        message = "input_shape must name the inputs that it is for"
        importer.found.add(Diagnostic("ONNX-INPUT", message, allowed=", ".join(inputs), found=", ".join(input_shape)))
    return input_shape


def sample_shape(
    name: str, declared: Declared, given: Sequence[int] | None, graph: OnnxGraph
) -> tuple[tuple[int, ...] | None, list[Diagnostic]]:
    """The shape of one sample in ONNX's order, or None; and faults."""
    where = f"input {name}"
    if declared.shape is None and given is None:
        message = "the file does not say which shape the input has"
        return None, [Diagnostic("ONNX-INPUT", message, where=where, help="give input_shape=(C, H, W)")]
    stated = declared.shape or (None, *(given or ()))
    found = "[" + ", ".join(str(s) if s is not None else "?" for s in stated) + "]"
    if len(stated) < 2:
        message = "the input has no dimension besides the batch"
        return None, [Diagnostic("ONNX-INPUT", message, where=where, found=found, allowed="[batch, …]")]
    faults = []
    if isinstance(stated[0], int) and stated[0] > 1:
        faults.append(
            Diagnostic(
                "ONNX-BATCH",
                "the model is made for batches of one size",
                where=where,
                found=found,
                allowed="a first dimension that is 1 or has no fixed size",
                help="export it with a dynamic batch (dynamic_axes or dynamic_shapes), or with a batch of 1",
            )
        )
    shape, clash = filled(stated[1:], given)
    if clash:
        message = "input_shape differs from what the file says"
        faults.append(Diagnostic("ONNX-INPUT", message, where=where, found=str(tuple(given or ())), allowed=found))
    if any(s is None for s in shape):
        names = {2: "(length,)", 3: "(C, L)", 4: "(C, H, W)"}.get(len(stated), "a number for each")
        message = "the shape of the input is not fixed"
        advice = f"give input_shape={names} for {name}, or export the model with fixed sizes"
        faults.append(Diagnostic("ONNX-INPUT", message, where=where, found=found, help=advice))
        return None, faults
    sizes = tuple(s for s in shape if s is not None)
    if any(s < 1 for s in sizes) or math.prod(sizes) > LARGEST:
        message = "the input has a shape that no input can have"
        return None, [*faults, Diagnostic("ONNX-INPUT", message, where=where, found=str(list(sizes)))]
    return sizes, faults


def filled(stated: Sequence[int | str | None], given: Sequence[int] | None) -> tuple[tuple[int | None, ...], bool]:
    """Sizes as stated, those left open as given; and whether both disagree."""
    fixed = tuple(s if isinstance(s, int) and s > 0 else None for s in stated)
    if given is None:
        return fixed, False
    clash = len(given) != len(fixed) or any(s not in (None, g) for s, g in zip(fixed, given, strict=False))
    return (fixed if clash else tuple(int(g) for g in given)), clash


def input_axes(name: str, rank: int, graph: OnnxGraph) -> tuple[int, ...]:
    """The ONNX axes of an input in the order in which the module takes them."""
    straight, readers = tuple(range(rank)), real_readers(name, graph)
    if any(n.op == "Transpose" and n.attributes.get("perm") == TO_CHANNELS_FIRST.get(rank) for n in readers):
        return straight
    if rank == 4 or (rank == 3 and any(n.op in SEQUENCE_READERS for n in readers)):
        return channels_last(rank)
    return straight


def real_readers(name: str, graph: OnnxGraph) -> list[Node]:
    """The nodes that read a value, or what elementwise nodes made of it."""
    found: list[Node] = []
    queue, seen = [name], {name}
    while queue:
        for node in graph.readers(queue.pop()):
            if node.op not in ELEMENTWISE:
                found.append(node)
                continue
            fresh = [o for o in node.outputs if o not in seen]
            seen.update(fresh)
            queue.extend(fresh)
    return found


def stand_in(importer: Importer, name: str) -> View | None:
    """An input in the place of a value that could not be computed, if its shape can be told."""
    declared = importer.shapes.get(name)
    if declared is None or declared.shape is None or len(declared.shape) < 2:
        return None
    sizes = [s for s in declared.shape[1:] if isinstance(s, int) and s > 0]
    rank = len(declared.shape)
    if len(sizes) != rank - 1 or math.prod(sizes) > LARGEST or not declared.dtype.startswith("float"):
        return None
    axes = channels_last(rank) if rank in (3, 4) else tuple(range(rank))
    op = builtin.Input(tuple(sizes[axis - 1] for axis in axes[1:]), F32)
    return View.of(importer.emit(op), axes, rank)
