"""Pooling, activations, shapes: what happens to potentials between two layers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.ir import F32, ElementType, Tensor, TensorType, si, ui
from cnn2snn_ir.passes.legality.legacy_predicates import WEIGHTED, behind
from cnn2snn_ir.passes.potentials.folder import (
    POTENTIAL,
    THRESHOLD,
    Folder,
    Potentials,
    UnfoldableError,
    check_range,
    folds,
    rational,
    smallest_above,
)


@folds(nn.MaxPool)
def max_pool(folder: Folder, op: nn.MaxPool, source: Potentials) -> Potentials:
    new = qnn.MaxPool(source.value, op.size, op.strides, op.padding)
    return replace(source, value=folder.replace(op, new))


@folds(nn.GlobalAveragePool)
def global_average_pool(folder: Folder, op: nn.GlobalAveragePool, source: Potentials) -> Potentials:
    rows, columns, _ = op.x.type.per_sample
    count = rows * columns
    source = folder.settled(source, op)
    check_range(op, source.bound * count)
    value = folder.replace(op, qnn.SumPool(source.value, op.keepdims, POTENTIAL))
    scale, zero = np.asarray(source.scale * count, object), np.asarray(source.zero * count, object)
    return Potentials(value, scale, zero, source.bound * count)


@folds(nn.ReLU)
def relu(folder: Folder, op: nn.ReLU, source: Potentials) -> Potentials:
    """What quantizes the rectified sums rectifies them too; if they have other readers they are rectified here."""
    bounds = [Fraction(op.max_value)] if op.max_value is not None else []
    high = min([*bounds, *([source.high] if source.high is not None else [])], default=None)
    held = replace(source, low=Fraction(0), high=high, name=op.result.name)
    op.result.name = None
    if op.x.has_one_use and op.result.has_one_use:
        folder.rewriter.replace_with(op, source.value)
        return held
    settled = folder.settled(held, op)
    folder.rewriter.replace_with(op, settled.value)
    return settled


@folds(nn.QuantizedReLU)
def quantized_relu(folder: Folder, op: nn.QuantizedReLU, source: Potentials) -> Potentials:
    thresholds = thresholds_of(op, source, op.x.type)
    element = ui(op.bits)
    name = f"{op.result.name or 'activation'}/thresholds"
    new = qnn.Threshold(source.value, Tensor.of(thresholds, THRESHOLD, name), element)
    new.annotations["frac_bits"] = Tensor.of(np.asarray(0), si(16), "frac_bits")
    new.annotations["scale"] = Tensor.of(np.asarray(op.step), F32, "scale")
    value = folder.replace(op, new)
    return Potentials(value, np.asarray(1 / rational(op.step), object), rational(None), element.hi)


def thresholds_of(op: nn.QuantizedReLU, source: Potentials, x: TensorType) -> npt.NDArray[np.int64]:
    """The smallest potential of each channel that reaches each level above 0: [channels, levels]."""
    half_steps = np.broadcast_to(np.asarray(source.scale * (rational(op.step) / 2), object), x.channels)
    zeros = np.broadcast_to(source.zero, x.channels)
    levels = ui(op.bits).hi
    exact = [smallest_above(z, h, levels) for z, h in zip(zeros, half_steps, strict=True)]
    return np.array([[within(t, source.value.type.element) for t in row] for row in exact], np.int64)


def within(threshold: int, element: ElementType) -> int:
    """The threshold, or the nearest one that says the same about every value of the type."""
    return min(max(threshold, element.lo), element.hi + 1)


@folds(nn.Reshape)
def reshape(folder: Folder, op: nn.Reshape, source: Potentials) -> Potentials:
    """The host reshapes what no integer layer reads any more."""
    if behind(op, *WEIGHTED, nn.QuantizedReLU, nn.FakeQuantize) is None:
        raise UnfoldableError("no integer layer reads it")
    if not source.uniform and op.shape[-1] != op.x.type.channels:
        raise UnfoldableError("its channels have scales of their own")
    return replace(source, value=folder.replace(op, qnn.Reshape(source.value, op.shape)))
