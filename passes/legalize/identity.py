"""Identity layers: a value goes through a layer that leaves it as it is.

    %0 = qnn.conv2d %x, #w<x/identity, si8[1, 1, 8, 8], …> : tensor<?x4x4x8xsi28>
    %x_identity = qnn.shift %0, 0 {to = si8} : tensor<?x4x4x8xsi8>

Exact for every value of up to 8 bits: one product with 1 for each channel, so the accumulator of 28 bits holds the
value itself, and saturation to the value's own type does nothing.
"""

from __future__ import annotations

import re

import numpy as np

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Layer, Op, Tensor, Value, si
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.legalize.legalization import INSERTED, layer_name

WIDEST = 8
"""Bits of a value between Akida 2 layers."""

MOST_CHANNELS = 2048
"""Filters of an Akida 2 layer, by BrainChip's user guide; QuantizeML inserts no wider identity either."""

ZERO = Tensor.of(np.asarray(0), si(8), "zero")


def impassable(x: Value) -> str:
    """Why `x` cannot go through an identity layer; empty if it can."""
    element = x.type.element
    if element.is_float or element.bits > WIDEST:
        return f"a value of {element} does not pass between layers"
    if x.type.rank not in (2, 4):
        return "only vectors and maps pass between layers"
    if isinstance(x.owner, builtin.Input) and element.lo == 0:
        return "only an input convolution reads an unsigned model input"
    if x.type.channels > MOST_CHANNELS:
        return f"a layer has up to {MOST_CHANNELS} filters"
    return ""


def product_with_one(x: Value, anchor: Op, rewriter: Rewriter, padding: Padding = Padding.SAME) -> Op:
    """`x` in the accumulator of a layer, inserted before `anchor`, for ops that need a layer to continue."""
    eye = np.eye(x.type.channels, dtype=np.int64)
    name = f"{original_name(x)}/identity"
    if x.type.rank == 2:
        return rewriter.insert_before(anchor, qnn.Dense(x, Tensor.of(eye, si(8), name)))
    weights = Tensor.of(eye[None, None], si(8), name)
    return rewriter.insert_before(anchor, qnn.Conv2D(x, weights, padding=padding))


def identity(x: Value, anchor: Op, rewriter: Rewriter) -> Value:
    """A copy of `x` that a layer of its own makes, inserted before `anchor`."""
    product = product_with_one(x, anchor, rewriter)
    copy = rewriter.insert_before(anchor, qnn.Shift(product.results[0], ZERO, x.type.element)).results[0]
    copy.name = f"{original_name(x)}_identity"
    product.loc = copy.owner.loc = Layer(copy.name, INSERTED)
    return copy


def original_name(x: Value) -> str:
    """The name of what `x` is, a copy or not."""
    return re.sub(r"_identity(_\d+)?$", "", x.name or layer_name(x.owner))
