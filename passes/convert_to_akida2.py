"""Conversion to Akida 2: every block becomes one hardware layer with the variables that the chip holds.

    %relu = qnn.block {kind = conv2d, layer = "conv"} {
      %1 = qnn.shift %0, #w<shift> {to = si28}
      %2 = qnn.conv2d %1, #w<kernel>
      %3 = qnn.bias_add %2, #w<bias> {shift = #w<bias_shift>}
      %4 = qnn.relu %3
      %5 = qnn.requantize %4, #w<mantissa>, #w<shift> {to = si8}
      builtin.return %5
    }
▶
    %relu = akida2.conv2d %0, #w<weights> {input_shift = …, bias = …, bias_shift = …, activation = relu,
                                           output_scales = …, output_shift = …, to = si8}

Kernels of `conv2d` and `depthwise_conv2d` are stored with both spatial axes reversed, as the chip wants them;
those of `input_conv2d` and dense layers are not (behaviour of cnn2snn 2.19.3, restated).  Between layers every
value is a map of rank 4; after a dequantizer the host restores the shape that the model has.

Preconditions: `fuse-blocks`, `check-legality`.  Contract: exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnn2snn_ir.dialects import akida2, builtin, qnn
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.hardware import Pool
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.lowering import (
    Generation,
    Parts,
    dequantizer_variables,
    lower_blocks,
    quantizer_variables,
    reverse,
)
from cnn2snn_ir.versions import AkidaVersion

Lowering = Callable[["LayerParts"], Op]


class LayerParts(Parts):
    """The variables of an Akida 2 layer."""

    def post_processing(self, main: Op) -> dict[str, Any]:
        """Bias, activation and output variables of a layer with weights."""
        bias, relu = self.after(main, qnn.BiasAdd), self.after(main, qnn.ReLU)
        table = self.after(main, qnn.Lookup)
        return {
            "bias": bias.bias if bias else None,
            "bias_shift": bias.shift if bias else None,
            "activation": Activation.RELU if relu else Activation.LUT if table else Activation.NONE,
            "max_value": relu.max if relu else None,
            "max_value_shift": relu.shift if relu else None,
            **(self.table(main, table) if table else {}),
            **self.output(table or main),
        }

    def table(self, main: Op, table: qnn.Lookup) -> dict[str, Any]:
        """An activation by table.  The requantization to its index never decreases, so it and a pooling commute."""
        before = self.ops[self.ops.index(main) + 1 : self.ops.index(table)]
        index = next(op for op in before if isinstance(op, (qnn.Requantize, qnn.Shift)))
        mantissa = index.mantissa if isinstance(index, qnn.Requantize) else None
        return {"lut_values": table.table, "activation_scales": mantissa, "activation_shift": index.shift}

    def output(self, main: Op) -> dict[str, Any]:
        """Output scale, shift and type."""
        requantize = self.after(main, qnn.Requantize)
        if requantize is not None:
            return {
                "output_scales": requantize.mantissa,
                "output_shift": requantize.shift,
                "post_op": requantize.buffer,
                "to": requantize.to,
            }
        shift = self.after(main, qnn.Shift)
        total = self.after(main, qnn.SumPool)
        post_op = {"post_op": total.acc} if total else {}
        return post_op if shift is None else {"output_shift": shift.shift, "to": shift.to, **post_op}

    def pooling(self, main: Op) -> dict[str, Any]:
        """Pooling variables of a convolution."""
        pool = self.after(main, qnn.MaxPool)
        if pool is not None:
            return {"pool": Pool.MAX, "pool_size": pool.size, "pool_stride": pool.strides}
        return {"pool": Pool.AVERAGE} if self.after(main, qnn.SumPool) else {}

    def padding(self, main: qnn.Conv2D | qnn.DepthwiseConv2D) -> Padding:
        """The layer's border rule: a kernel of one position needs none, so it takes that of the pooling."""
        pool = self.after(main, qnn.MaxPool)
        if main.weights.type.shape[:2] == (1, 1):
            return pool.padding if pool else Padding.SAME
        return main.padding


def temporal(parts: LayerParts, main: qnn.Conv2D | qnn.DepthwiseConv2D) -> dict[str, Any]:
    """The newest frame, those before it, and the variables that both convolutions over time have."""
    x, shift = parts.alignment(main.x)
    fifo = parts.first(qnn.Concat).parts[0]
    return {"x": x, "fifo": fifo, "input_shift": shift, "acc": main.acc, **parts.post_processing(main)}


def buffer_temp_conv(parts: LayerParts) -> Op:
    main = parts.first(qnn.Conv2D)
    return akida2.BufferTempConv(weights=main.weights, **temporal(parts, main))


def depthwise_buffer_temp_conv(parts: LayerParts) -> Op:
    main = parts.first(qnn.DepthwiseConv2D)
    kernel = Tensor.of(main.weights.array[0], main.weights.type.element, main.weights.name)
    return akida2.DepthwiseBufferTempConv(weights=kernel, **temporal(parts, main))


def fifo_push(parts: LayerParts) -> Op:
    x, _ = parts.alignment(parts.first(qnn.Slice).x)
    return akida2.FifoPush(parts.first(qnn.Concat).parts[0], x)


def transposed(parts: LayerParts, main: qnn.Conv2DTranspose | qnn.DepthwiseConv2DTranspose) -> dict[str, Any]:
    """The input and the variables that both transposed convolutions have."""
    x, shift = parts.alignment(main.x)
    return {
        "x": x,
        "weights": main.weights,
        "input_shift": shift,
        "stride": main.strides[0],
        "padding": main.padding,
        "acc": main.acc,
        **parts.post_processing(main),
    }


def conv2d_transpose(parts: LayerParts) -> Op:
    return akida2.Conv2DTranspose(**transposed(parts, parts.first(qnn.Conv2DTranspose)))


def depthwise_conv2d_transpose(parts: LayerParts) -> Op:
    return akida2.DepthwiseConv2DTranspose(**transposed(parts, parts.first(qnn.DepthwiseConv2DTranspose)))


def convolution(parts: LayerParts, main: qnn.Conv2D | qnn.DepthwiseConv2D) -> dict[str, Any]:
    """The input and the variables that all convolutions have."""
    x, shift = parts.alignment(main.x)
    return {
        "x": x,
        "input_shift": shift,
        "stride": main.strides[0],
        "padding": parts.padding(main),
        "acc": main.acc,
        **parts.pooling(main),
        **parts.post_processing(main),
    }


def input_conv2d(parts: LayerParts) -> Op:
    main = parts.first(qnn.Conv2D)
    return akida2.InputConv2D(weights=main.weights, padding_value=main.pad_value, **convolution(parts, main))


def conv2d(parts: LayerParts) -> Op:
    main = parts.first(qnn.Conv2D)
    return akida2.Conv2D(weights=reverse(main.weights), **convolution(parts, main))


def depthwise_conv2d(parts: LayerParts) -> Op:
    main = parts.first(qnn.DepthwiseConv2D)
    return akida2.DepthwiseConv2D(weights=reverse(main.weights), **convolution(parts, main))


def dense1d(parts: LayerParts) -> Op:
    main = parts.first(qnn.Dense)
    x, shift = parts.alignment(main.x)
    return akida2.Dense1D(x, main.weights, input_shift=shift, acc=main.acc, **parts.post_processing(main))


def stateful_recurrent(parts: LayerParts) -> Op:
    main, take = parts.first(qnn.Recurrence), parts.first(qnn.Take)
    first, last = (op for op in parts.ops if isinstance(op, qnn.Dense))
    new_state, steps = main.x.owner, parts.after(main, qnn.Slice)
    assert isinstance(new_state, (qnn.Requantize, qnn.Shift))
    x, shift = parts.alignment(first.x)
    return akida2.StatefulRecurrent(
        x,
        main.real,
        main.imaginary,
        first.weights,
        last.weights,
        main.a_real,
        main.a_imaginary,
        input_shift=shift,
        new_state_scales=new_state.mantissa if isinstance(new_state, qnn.Requantize) else None,
        new_state_shift=new_state.shift,
        state_shift=main.shift,
        part=take.index,
        subsample=steps.step if steps else 1,
        state=main.to,
        state_acc=main.acc,
        acc=first.acc,
        **parts.post_processing(last),
    )


def pico_post_processing(parts: LayerParts) -> Op:
    main = parts.first(qnn.Deviation)
    layer: dict[str, Any] = {"target": main.target, "threshold": main.threshold, "acc": main.acc, "to": main.to}
    quantizer = main.x.owner
    if quantizer not in parts.ops:
        return akida2.PicoPostProcessing(main.x, **layer)
    assert isinstance(quantizer, qnn.Requantize)
    layer |= {"input_scales": quantizer.mantissa, "input_shift": quantizer.shift, "buffer": quantizer.buffer}
    return akida2.PicoPostProcessing(quantizer.x, **layer)


def quantizer(parts: LayerParts) -> Op:
    main = parts.ops[0]
    if isinstance(main, qnn.QuantizeLinear):
        return akida2.LinearQuantizer(main.x, main.scale, main.to, main.zero_point)
    return akida2.Quantizer(**quantizer_variables(parts))


def add(parts: LayerParts) -> Op:
    main = parts.first(qnn.Add)
    (a, a_shift), (b, b_shift) = parts.alignment(main.a), parts.alignment(main.b)
    return akida2.Add(a, b, a_shift=a_shift, b_shift=b_shift, acc=main.acc, **parts.output(main))


def concatenate(parts: LayerParts) -> Op:
    return akida2.Concatenate(parts.first(qnn.Concat).parts)


LOWERINGS: dict[BlockKind, Lowering] = {
    BlockKind.INPUT_CONV2D: input_conv2d,
    BlockKind.CONV2D: conv2d,
    BlockKind.DEPTHWISE_CONV2D: depthwise_conv2d,
    BlockKind.CONV2D_TRANSPOSE: conv2d_transpose,
    BlockKind.DEPTHWISE_CONV2D_TRANSPOSE: depthwise_conv2d_transpose,
    BlockKind.BUFFER_TEMP_CONV: buffer_temp_conv,
    BlockKind.DEPTHWISE_BUFFER_TEMP_CONV: depthwise_buffer_temp_conv,
    BlockKind.FIFO_PUSH: fifo_push,
    BlockKind.DENSE1D: dense1d,
    BlockKind.STATEFUL_RECURRENT: stateful_recurrent,
    BlockKind.PICO_POST_PROCESSING: pico_post_processing,
    BlockKind.ADD: add,
    BlockKind.CONCATENATE: concatenate,
    BlockKind.QUANTIZER: quantizer,
    BlockKind.DEQUANTIZER: lambda parts: akida2.Dequantizer(**dequantizer_variables(parts)),
}
"""One for each kind of block."""

GENERATION = Generation("akida2", AkidaVersion.v2, akida2.InputData, (BlockKind.INPUT_CONV2D, BlockKind.QUANTIZER))


class ConvertToAkida2(Pass):
    """Turn blocks into Akida 2 layers."""

    name = "convert-to-akida2"
    requires = Level.QNN
    ensures = Level.AKIDA2

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        converted = lower_blocks(op, GENERATION, lambda block: LOWERINGS[block.kind](LayerParts(block)))
        context.statistics[f"{self.name}: layers"] += converted
        return converted > 0
