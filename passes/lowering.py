"""From blocks to hardware layers: what the conversions to both generations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.hardware import InputLayer
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import F32, Op, Tensor, Value
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.versions import AkidaVersion

T = TypeVar("T", bound=Op)


class Parts:
    """The ops of a block by their part in it."""

    def __init__(self, block: qnn.Block) -> None:
        self.block = block
        self.ops = [op for op in block.body if not isinstance(op, builtin.Return)]

    def first(self, kind: type[T]) -> T:
        """The op of a kind that the block must have."""
        return next(op for op in self.ops if isinstance(op, kind))

    def after(self, main: Op, kind: type[T]) -> T | None:
        """The op of a kind behind the main op, if there is one."""
        behind = self.ops[self.ops.index(main) + 1 :]
        return next((op for op in behind if isinstance(op, kind)), None)

    def alignment(self, value: Value) -> tuple[Value, Tensor | None]:
        """Where an operand of the main op comes from outside, and the left shift on its way."""
        shift: Tensor | None = None
        while value.owner in self.ops:
            op = value.owner
            if isinstance(op, qnn.Shift):
                shift = op.shift
            value = op.operands[-1]  # of a window of frames, the newest
        return value, None if shift is None or not shift.int64.any() else shift


def reverse(weights: Tensor) -> Tensor:
    """A kernel with both spatial axes reversed."""
    return Tensor.of(weights.array[::-1, ::-1], weights.type.element, weights.name)


def quantizer_variables(parts: Parts) -> dict[str, Any]:
    """The variables of an input quantizer."""
    main = parts.first(qnn.Quantize)
    scales = np.exp2(main.frac_bits.int64.astype(np.float64))
    named = Tensor.of(scales, F32, f"{parts.block.layer}/scales")
    return {"x": main.x, "scales": named, "to": main.to, "zero_points": main.zero_point}


def dequantizer_variables(parts: Parts) -> dict[str, Any]:
    """`x / 2^f · scale` is `x · (scale / 2^f)`: dividing by a power of two rounds nothing."""
    main = parts.first(qnn.Dequantize)
    x, _ = parts.alignment(main.x)
    scale = np.asarray(1.0) if main.scale is None else main.scale.array.astype(np.float64)
    scales = scale * np.exp2(-main.frac_bits.int64.astype(np.float64))
    return {"x": x, "scales": Tensor.of(scales, F32, f"{parts.block.layer}/scales")}


class Generation(NamedTuple):
    """What blocks become."""

    dialect: str
    version: AkidaVersion
    inputs: type[InputLayer]
    """The layer through which others read a model input."""
    direct: tuple[BlockKind, ...]
    """Those that read it themselves."""

    @property
    def name(self) -> str:
        """As people say it."""
        return f"Akida {str(self.version)[1:]}"


def lower_blocks(module: builtin.Module, generation: Generation, lower: Callable[[qnn.Block], Op]) -> int:
    """Put a hardware layer in the place of every block; returns how many there were.

    Raises `CompileError` with every op that no layer takes.
    """
    refuse_left_over(module, generation)
    blocks = [op for op in module.body if isinstance(op, qnn.Block)]
    for block in blocks:
        if block.kind not in generation.direct:
            feed_input(block, generation.inputs)
        replace_block(block, lower(block))
    if blocks:
        module.annotations["target"] = str(generation.version)
    return len(blocks)


def refuse_left_over(module: builtin.Module, generation: Generation) -> None:
    """Raise `CompileError` with every op that no layer of the target takes."""
    allowed = (generation.dialect, "builtin", "nn")
    left = [op for op in module.body if op.op_name.partition(".")[0] not in allowed and not isinstance(op, qnn.Block)]
    Diagnostics(
        Diagnostic(
            f"AK{str(generation.version)[1:]}-LEFT-01",
            f"no {generation.name} layer computes this where it stands",
            where=place(op),
            help="see the reasons with cnn2snn-opt --pass-statistics",
        )
        for op in left
    ).raise_errors(f"cannot convert to {generation.name}")


def replace_block(block: qnn.Block, layer: Op) -> None:
    """Put the hardware layer in the place of its block."""
    graph = block.graph
    assert graph is not None
    layer.loc = block.loc
    graph.insert_before(block, layer)
    value, old = layer.results[0], block.results[0]
    name, annotations = old.name, block.annotations
    if value.type.element.is_float and value.type.shape != old.type.shape:
        host = nn.Reshape(value, old.type.per_sample, loc=block.loc)
        graph.insert_before(block, host)
        old.replace_all_uses_with(host.result)
    for result, replacement in zip(block.results, layer.results, strict=True):
        result.replace_all_uses_with(replacement)
    block.erase()
    value.name = name
    layer.annotations.update({"layer": block.layer, **annotations})


def feed_input(block: qnn.Block, layer: type[InputLayer]) -> None:
    """Let a block read model inputs through a `layer`, which makes them maps."""
    for op in block.body:
        for index, value in enumerate(op.operands):
            if isinstance(value.owner, builtin.Input):
                op.set_operand(index, input_data(value, block, layer))


def input_data(value: Value, block: qnn.Block, layer: type[InputLayer]) -> Value:
    """A model input as a map; its layer is made in front of `block`, if this is its first reader."""
    for user in value.users:
        if isinstance(user, layer):
            return user.results[0]
    data = layer(value, loc=value.owner.loc, name=f"{value.name}_data")
    assert block.graph is not None
    block.graph.insert_before(block, data)
    return data.results[0]
