"""Reference semantics of `nn`, in float32."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.reference.arithmetic import Array
from cnn2snn_ir.reference.semantics import meaning_of


@meaning_of(nn.Softmax)
def softmax(op: nn.Softmax, x: Array) -> Array:
    powers = np.exp(x - x.max(axis=op.axis, keepdims=True))
    result: Array = powers / powers.sum(axis=op.axis, keepdims=True)
    return result


@meaning_of(nn.Activation)
def activation(op: nn.Activation, x: Array) -> Array:
    match op.function:
        case Function.LINEAR:
            return x
        case Function.TANH:
            return np.tanh(x)
        case Function.SIGMOID:
            return sigmoid(x)


@meaning_of(nn.ReLU)
def relu(op: nn.ReLU, x: Array) -> Array:
    positive = np.maximum(x, np.float32(0))
    return positive if op.max_value is None else np.minimum(positive, np.float32(op.max_value))


def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`, written so that neither end overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


@meaning_of(nn.Dense)
def dense(op: nn.Dense, x: Array) -> Array:
    product: Array = x @ op.weights.array
    return product if op.bias is None else product + op.bias.array


@meaning_of(nn.Reshape)
def reshape(op: nn.Reshape, x: Array) -> Array:
    return x.reshape(len(x), *op.shape)
