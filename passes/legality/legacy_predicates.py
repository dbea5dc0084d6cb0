"""What is wrong with an op of a legacy model under each rule, as a short phrase; empty if nothing is.

The rules hold once the input is scaled, pooling and batch normalization are in their places and the latter folded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.geometry import adds_border
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.apply_input_scaling import IMAGE_CHANNELS
from cnn2snn_ir.passes.legality.rule import named, unless

WEIGHTED = (nn.Conv2D, nn.DepthwiseConv2D, nn.Dense)
POOLINGS = (nn.MaxPool, nn.GlobalAveragePool)
FLOAT_ACTIVATIONS = (nn.ReLU, nn.Activation, nn.Softmax)


# ---- the line of layers ---------------------------------------------------------------------------------------------


def before(op: Op, *kinds: type[Op]) -> Op | None:
    """The nearest op of these kinds in front of an op of one operand."""
    while op.operands:
        op = op.operands[0].owner
        if isinstance(op, kinds):
            return op
    return None


def behind(op: Op, *kinds: type[Op]) -> Op | None:
    """The nearest op of these kinds behind an op."""
    while op.results and op.results[0].users:
        op = op.results[0].users[0]
        if isinstance(op, kinds):
            return op
    return None


def layer_behind(op: Op) -> Op | None:
    """The nearest layer with quantized weights behind an op."""
    found = behind(op, *WEIGHTED)
    while found is not None and quantized_bits(found) == 0:
        found = behind(found, *WEIGHTED)
    return found


def quantized_bits(op: Any) -> int:
    """Bits of a layer's weights; 0 for floats."""
    return 0 if op.weight_scale is None else int(op.weights.type.element.bits)


def reads_image(op: Op) -> bool:
    """True for the first layer of a model of images of 1 or 3 channels."""
    source = op.operands[0].owner
    return isinstance(source, nn.InputScaling) and source.x.type.channels in IMAGE_CHANNELS


# ---- input ----------------------------------------------------------------------------------------------------------


def input_rank(op: builtin.Input) -> str:
    return unless(len(op.shape) in (1, 3), f"samples of shape {list(op.shape)}")


def first_layer(op: builtin.Input) -> str:
    first = behind(op, *WEIGHTED)
    if op.shape[-1:] not in [(c,) for c in IMAGE_CHANNELS] or first is None:
        return ""
    return unless(isinstance(first, nn.Conv2D), f"{op.shape[-1]} channels, read by {named(first)}")


def shift_elsewhere(op: nn.InputScaling) -> str:
    return unless(op.shift == 0 or op.x.type.channels in IMAGE_CHANNELS, f"shift {op.shift:g}")


def padding_value(op: nn.Conv2D) -> str:
    source = op.x.owner
    if not isinstance(source, nn.InputScaling) or op.x.type.rank != 4:
        return ""
    if not adds_border(op.x.type, op.weights.type.shape, op.strides, op.padding, op.dilation):
        return ""
    return unless(source.shift.is_integer() and 0 <= source.shift <= 255, f"shift {source.shift:g}")


def rescaling_elsewhere(op: nn.Rescaling) -> str:
    return f"behind {named(op.x.owner)}"


# ---- layers with weights --------------------------------------------------------------------------------------------


def float_weights(op: Any) -> str:
    return unless(quantized_bits(op) > 0 or layer_behind(op) is None, "float weights")


def weight_bits(op: Any) -> str:
    bits = quantized_bits(op)
    return unless(bits in (0, 2, 4, 8) or (isinstance(op, nn.Conv2D) and reads_image(op)), f"{bits} bits")


def separable_bits(op: nn.DepthwiseConv2D) -> str:
    pointwise = behind(op, nn.Conv2D)
    if pointwise is None or pointwise.operands[0] is not op.result:
        return ""
    bits = quantized_bits(op), quantized_bits(pointwise)
    return unless(bits[0] == bits[1], f"{bits[0]} and {bits[1]} bits")


def lone_depthwise(op: nn.DepthwiseConv2D) -> str:
    users = op.result.users
    pointwise = users[0] if len(users) == 1 else None
    if not isinstance(pointwise, nn.Conv2D):
        return f"read by {named(pointwise)}" if pointwise is not None else "no layer behind it"
    return unless(pointwise.weights.type.shape[:2] == (1, 1), f"read by {named(pointwise)}")


def dilation(op: Any) -> str:
    return unless(op.dilation == (1, 1), f"dilation {list(op.dilation)}")


def dense_input(op: nn.Dense) -> str:
    shape = op.x.type.per_sample
    return unless(np.prod(shape[:-1], dtype=int) == 1, f"samples of shape {list(shape)}")


def no_activation_before(op: Any) -> str:
    """A pointwise convolution belongs to the depthwise one that it reads."""
    if isinstance(op.x.owner, nn.DepthwiseConv2D):
        return ""
    previous = before(op, *WEIGHTED, nn.QuantizedReLU, *FLOAT_ACTIVATIONS)  # of float ones another rule speaks
    return f"{named(previous)} in front of it" if isinstance(previous, WEIGHTED) else ""


# ---- activations ----------------------------------------------------------------------------------------------------


def activation_bits(op: nn.QuantizedReLU) -> str:
    return unless(op.bits in (1, 2, 4), f"{op.bits} bits")


def no_layer_before(op: nn.QuantizedReLU) -> str:
    previous = before(op, *WEIGHTED, nn.QuantizedReLU)
    if previous is None:
        return "the model's input in front of it"
    return f"{named(previous)} in front of it" if isinstance(previous, nn.QuantizedReLU) else ""


def float_activation(op: Op) -> str:
    following = layer_behind(op)
    return "" if following is None else f"in front of {named(following)}"


# ---- pooling, normalization, shape ----------------------------------------------------------------------------------


def pool_behind_convolution(op: Any) -> str:
    return unless(isinstance(op.x.owner, nn.Conv2D), f"behind {named(op.x.owner)}")


def pool_padding(op: nn.MaxPool) -> str:
    conv = op.x.owner
    if isinstance(conv, nn.Conv2D) and isinstance(conv.x.owner, nn.DepthwiseConv2D):
        conv = conv.x.owner  # a separable convolution pads where it is depthwise
    if not isinstance(conv, nn.Conv2D | nn.DepthwiseConv2D):
        return ""
    return unless(conv.padding is op.padding, f"{op.padding} behind {conv.padding}")


def misplaced_batchnorm(op: nn.BatchNorm) -> str:
    """One that is still there and that no other rule speaks of."""
    return "" if negative_gammas(op) or zero_gammas(op) else f"behind {named(op.x.owner)}"


def negative_gammas(op: nn.BatchNorm) -> str:
    count = int((op.gamma.array <= 0).sum())
    return f"{count} of {op.x.type.channels} gammas" if count and isinstance(op.x.owner, nn.MaxPool) else ""


def zero_gammas(op: nn.BatchNorm) -> str:
    count = int((op.gamma.array == 0).sum())
    return f"{count} of {op.x.type.channels} gammas" if count and isinstance(op.x.owner, nn.Conv2D | nn.Dense) else ""


def reshape_elsewhere(op: nn.Reshape) -> str:
    old, new = ([d for d in shape if d != 1] for shape in (op.x.type.per_sample, op.shape))
    if old == new or layer_behind(op) is None:
        return ""
    flattens = len(new) <= 1 and all(isinstance(user, nn.Dense | nn.Reshape) for user in op.result.users)
    return unless(flattens, f"{list(op.x.type.per_sample)} to {list(op.shape)}")
