"""Conversion to Akida 1: every block becomes one hardware layer with the variables that the chip holds.

    %relu = qnn.block {kind = convolutional, layer = "conv"} {
      %1 = qnn.conv2d %0, #w<kernel>
      %2 = qnn.max_pool %1 {size = [2, 2], strides = [2, 2], padding = same}
      %3 = qnn.fire %2, #w<threshold>, #w<act_step> {to = ui4}
      builtin.return %3
    }
▶
    %relu = akida1.convolutional %0, #w<weights> {threshold = …, act_step = …, to = ui4, pool = max}

Kernels of convolutions are stored with both spatial axes reversed, those of an input convolution and pointwise ones are
not; the rows of a fully connected layer go by channel, row and column of the map (behaviour of cnn2snn 2.19.3,
restated).  The bias of the last layer is its threshold, negated.

Preconditions: `synthesize-thresholds`, `fuse-blocks`, `check-legality`.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.dialects import akida1, builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.lowering import (
    Generation,
    Parts,
    dequantizer_variables,
    lower_blocks,
    quantizer_variables,
    reverse,
)
from cnn2snn_ir.passes.sink_biases import may_saturate
from cnn2snn_ir.versions import AkidaVersion

Lowering = Callable[[Parts], Op]


def neurons(parts: Parts, main: qnn.Conv2D | qnn.Dense) -> dict[str, Any]:
    """Threshold, step and type of the output."""
    fire, bias = parts.after(main, qnn.Fire), parts.after(main, qnn.BiasAdd)
    if fire is not None:
        return {"threshold": fire.threshold, "act_step": fire.act_step, "to": fire.to}
    if bias is None:
        return {}
    threshold = -(bias.bias.int64 << bias.shift.int64)
    return {"threshold": Tensor.of(threshold, akida1.POTENTIAL, f"{parts.block.layer}/threshold")}


def convolution(parts: Parts, main: qnn.Conv2D | qnn.DepthwiseConv2D) -> dict[str, Any]:
    """What all convolutions have; `main` is the one with the window."""
    last = parts.first(qnn.Conv2D)  # of a separable convolution, the pointwise one
    max_pool, sum_pool = parts.after(last, qnn.MaxPool), parts.after(last, qnn.SumPool)
    pooling: dict[str, Any] = {"pool": Pool.AVERAGE} if sum_pool else {}
    padding = main.padding
    if max_pool is not None:
        pooling = {"pool": Pool.MAX, "pool_size": max_pool.size, "pool_stride": max_pool.strides}
    if main.weights.type.shape[:2] == (1, 1):  # needs no border, so it takes the rule of its pooling
        padding = max_pool.padding if max_pool else Padding.SAME
    window = {"x": main.x, "stride": main.strides[0], "padding": padding, "acc": sum_pool.acc if sum_pool else last.acc}
    return {**window, **pooling, **neurons(parts, last)}


def input_convolutional(parts: Parts) -> Op:
    main = parts.first(qnn.Conv2D)
    fill = 0 if main.pad_value is None else int(main.pad_value.int64.flat[0])
    return akida1.InputConvolutional(weights=main.weights, padding_value=fill, **convolution(parts, main))


def convolutional(parts: Parts) -> Op:
    main = parts.first(qnn.Conv2D)
    return akida1.Convolutional(weights=reverse(main.weights), **convolution(parts, main))


def separable_convolutional(parts: Parts) -> Op:
    main, pointwise = parts.first(qnn.DepthwiseConv2D), parts.first(qnn.Conv2D)
    return akida1.SeparableConvolutional(
        weights=reverse(main.weights), weights_pw=pointwise.weights, **convolution(parts, main)
    )


def fully_connected(parts: Parts) -> Op:
    main = parts.first(qnn.Dense)
    x, _ = parts.alignment(main.x)
    weights = by_channel(main.weights, x.type.per_sample)
    return akida1.FullyConnected(x=x, weights=weights, acc=main.acc, **neurons(parts, main))


def by_channel(weights: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A matrix whose rows follow a map of `shape` row-major, with its rows by channel, row and column: rank 4."""
    rows, columns, channels = (1,) * (3 - len(shape)) + shape
    units = weights.array.shape[1]
    ordered = weights.array.reshape(rows, columns, channels, units).transpose(2, 0, 1, 3)
    return Tensor.of(ordered.reshape(1, 1, -1, units), weights.type.element, weights.name)


LOWERINGS: dict[BlockKind, Lowering] = {
    BlockKind.INPUT_CONVOLUTIONAL: input_convolutional,
    BlockKind.CONVOLUTIONAL: convolutional,
    BlockKind.SEPARABLE_CONVOLUTIONAL: separable_convolutional,
    BlockKind.FULLY_CONNECTED: fully_connected,
    BlockKind.QUANTIZER: lambda parts: akida1.Quantizer(**quantizer_variables(parts)),
    BlockKind.DEQUANTIZER: lambda parts: akida1.Dequantizer(**dequantizer_variables(parts)),
}
"""One for each kind of block."""

GENERATION = Generation(
    "akida1", AkidaVersion.v1, akida1.InputData, (BlockKind.INPUT_CONVOLUTIONAL, BlockKind.QUANTIZER)
)


def saturating_sums(module: builtin.Module) -> Iterator[Diagnostic]:
    """Convolutions that may saturate before their map is summed up: the layer saturates the sum only."""
    ranges = value_ranges(module)
    for op in module.body.walk():
        if isinstance(op, qnn.SumPool) and op.acc != op.x.type.element and may_saturate(op.x, ranges):
            yield Diagnostic(
                "AK1-ACC-02",
                "a convolution in front of an average may saturate, and the layer saturates the sum only",
                where=place(op.x.owner),
                found=f"{ranges[op.x].least} to {ranges[op.x].greatest}",
                allowed=f"inside of {op.x.type.element}",
                help="use fewer input channels, or fewer bits",
            )


class ConvertToAkida1(Pass):
    """Turn blocks into Akida 1 layers."""

    name = "convert-to-akida1"
    requires = Level.QNN
    ensures = Level.AKIDA1

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        Diagnostics(saturating_sums(op)).raise_errors("cannot convert to Akida 1")
        converted = lower_blocks(op, GENERATION, lambda block: LOWERINGS[block.kind](Parts(block)))
        context.statistics[f"{self.name}: layers"] += converted
        return converted > 0
