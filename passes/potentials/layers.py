"""Layers with weights: sums of products of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.dialects.geometry import adds_border
from cnn2snn_ir.ir import Op, Tensor, si
from cnn2snn_ir.passes.potentials.folder import (
    POTENTIAL,
    Folder,
    Potentials,
    Rationals,
    UnfoldableError,
    check_range,
    folds,
    rational,
)


def summed(op: Any, source: Potentials, bias: Tensor | None) -> tuple[Rationals, Rationals, int]:
    """Scale, zero and bound of a layer's sums; the last axis of the weights is that of the results."""
    if op.weight_scale is None:
        raise UnfoldableError("its weights are floats")
    if source.rectified:
        raise UnfoldableError("its input is rectified, and not quantized")
    if source.scale.ndim:
        raise UnfoldableError("its input has a scale for each channel")
    weights = op.weights.int64
    taps = tuple(range(weights.ndim - 1))
    scale = np.asarray(source.scale * rational(op.weight_scale), object)
    zero = np.asarray(zeros_of(op, source, weights) - rational(bias) * scale, object)
    bound = source.bound * int(np.abs(weights).sum(axis=taps).max(initial=0))
    check_range(op, bound)
    return scale, zero, bound


def zeros_of(op: Op, source: Potentials, weights: npt.NDArray[np.int64]) -> Rationals:
    """What the zeros of the input add up to, `sum z · w`."""
    taps = tuple(range(weights.ndim - 1))
    if source.centred:
        return rational(None)
    if isinstance(op, nn.DepthwiseConv2D):
        return np.asarray(source.zero * weights.sum(axis=taps).astype(object), object)
    by_input = weights.sum(axis=taps[:-1]).astype(object)
    return np.asarray((by_input * np.broadcast_to(source.zero, len(by_input))[:, None]).sum(axis=0), object)


def integer_zero(op: Any, source: Potentials) -> Tensor | None:
    """What a window reads at padded positions; None for 0, and where it pads nothing."""
    pads = adds_border(op.x.type, op.weights.type.shape, op.strides, op.padding, op.dilation)
    if not pads or source.centred:
        return None
    if source.zero.ndim or source.zero.item().denominator != 1:
        raise UnfoldableError("it pads with a real 0 that is no integer of its input")
    return Tensor.of(np.asarray(int(source.zero.item())), si(16), f"{op.weights.name}_padding")


@folds(nn.Conv2D)
def conv2d(folder: Folder, op: nn.Conv2D, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    fill = integer_zero(op, source)
    new = qnn.Conv2D(source.value, op.weights, op.strides, op.padding, op.dilation, fill, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


@folds(nn.DepthwiseConv2D)
def depthwise_conv2d(folder: Folder, op: nn.DepthwiseConv2D, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    if integer_zero(op, source) is not None:
        raise UnfoldableError("a depthwise convolution pads with 0 only")
    new = qnn.DepthwiseConv2D(source.value, op.weights, op.strides, op.padding, op.dilation, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


@folds(nn.Dense)
def dense(folder: Folder, op: nn.Dense, source: Potentials) -> Potentials:
    scale, zero, bound = summed(op, source, op.bias)
    new = qnn.Dense(source.value, op.weights, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


def centred(op: Op, source: Potentials) -> None:
    """A transposed convolution adds up other taps at every position, so its zeros are no constant."""
    if not source.centred:
        raise UnfoldableError("it reads integers whose 0 is no real 0")


@folds(nn.Conv2DTranspose)
def conv2d_transpose(folder: Folder, op: nn.Conv2DTranspose, source: Potentials) -> Potentials:
    centred(op, source)
    scale, zero, bound = summed(op, source, op.bias)
    new = qnn.Conv2DTranspose(source.value, op.weights, op.strides, op.padding, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)


@folds(nn.DepthwiseConv2DTranspose)
def depthwise_conv2d_transpose(folder: Folder, op: nn.DepthwiseConv2DTranspose, source: Potentials) -> Potentials:
    centred(op, source)
    scale, zero, bound = summed(op, source, op.bias)
    new = qnn.DepthwiseConv2DTranspose(source.value, op.weights, op.strides, op.padding, POTENTIAL)
    return Potentials(folder.replace(op, new), scale, zero, bound)
