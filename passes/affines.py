"""Linear functions of channels, whichever op says them; what the passes that move them share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.ir import F64, Op, Tensor, Value

Floats = npt.NDArray[np.float64]

LINEAR = (nn.BatchNorm, nn.Affine, nn.Rescaling)
"""The ops that compute `x · scale + offset`."""

LAYERS = (nn.Conv2D, nn.DepthwiseConv2D, nn.Conv2DTranspose, nn.DepthwiseConv2DTranspose, nn.Dense)
"""The ops that have weights and a bias; the last axis of the weights is that of the results."""


class Linear(NamedTuple):
    """`x · scale + offset`; both have no dimension, or one of channels."""

    scale: Floats
    offset: Floats

    def after(self, first: Linear) -> Linear:
        """This function of the results of another."""
        return Linear(first.scale * self.scale, first.offset * self.scale + self.offset)

    @property
    def is_uniform(self) -> bool:
        """True if all channels have the same function."""
        return all((values == values.flat[0]).all() for values in self)

    def op(self, x: Value, name: str) -> nn.Affine:
        """The function as an op, its constants called after a value."""
        offset = Tensor.of(self.offset, F64, f"{name}/offset") if self.offset.any() else None
        return nn.Affine(x, Tensor.of(self.scale, F64, f"{name}/scale"), offset)


def linear_of(op: Op) -> Linear | None:
    """The function that an op computes of each channel, if it is linear."""
    match op:
        case nn.BatchNorm():
            slope = floats(op.gamma) / np.sqrt(floats(op.variance) + op.epsilon)
            return Linear(slope, floats(op.beta) - floats(op.mean) * slope)
        case nn.Affine():
            return Linear(floats(op.scale), floats(op.offset))
        case nn.Rescaling():
            return Linear(np.asarray(op.scale, np.float64), np.asarray(op.offset, np.float64))
        case _:
            return None


def floats(tensor: Tensor | None, default: float = 0.0) -> Floats:
    """A constant as float64, or a scalar `default` if there is none."""
    return np.full((), default) if tensor is None else tensor.array.astype(np.float64)


def label(op: Op) -> str:
    """What new constants of an op are called after."""
    return str(op.results[0].name or op.op_name)


def bias_name(op: Any) -> str:
    """What the bias of a layer is called, or would be."""
    if op.bias is not None:
        return str(op.bias.name)
    return f"{op.weights.name.rpartition('/')[0] or op.weights.name}/bias"


def reweighted(op: Any, weights: Floats, bias: Floats | None, x: Value | None = None) -> Any:
    """A layer with other real weights and bias, and its operand or another; without a name.

    A bias of zeros, where there was none, is none.
    """
    copy = op.clone()
    copy.result.name = None
    copy.weights = Tensor.of(weights, F64, op.weights.name)
    if bias is not None and (op.bias is not None or bias.any()):
        copy.bias = Tensor.of(bias, F64, bias_name(op))
    if x is not None:
        copy.set_operand(0, x)
    return copy


def applied(op: Any, x: Value) -> Any:
    """What an op of one operand does, done to another value; without a name."""
    return type(op)(x, **op.attributes, loc=op.loc)
