"""The `nn` ops of a quantized model in rational numbers, written as loops: nothing is rounded.

Samples are integers; the module reads them through `nn.input_scaling` and has no batch normalization any more.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import Tensor

Rationals = np.ndarray


def fractions(tensor: Tensor | None) -> Any:
    """Constants as fractions; one that is not there is 0."""
    if tensor is None:
        return Fraction(0)
    array = tensor.array.astype(np.float64)
    return np.array([Fraction(v) for v in array.ravel()], object).reshape(array.shape)


def run_exactly(module: builtin.Module, samples: np.ndarray) -> dict[str, Rationals]:
    """Every named value, and the output under the name of none; what stands behind a softmax is left out."""
    values: dict[Any, Rationals] = {}
    for op in module.body:
        if isinstance(op, builtin.Input):
            values[op.result] = samples.astype(object)
        elif isinstance(op, nn.Softmax):
            break  # a head is no matter of rationals
        elif isinstance(op, builtin.Return):
            values[None] = values[op.values[0]]
        else:
            values[op.results[0]] = step(op, values[op.operands[0]])
    return {(v.name if v is not None else ""): a for v, a in values.items() if v is None or v.name}


def step(op: Any, x: Rationals) -> Rationals:
    match op:
        case nn.InputScaling():
            return (x - Fraction(op.shift)) * (1 / Fraction(op.scale))
        case nn.Conv2D():
            return layer(op, convolve(op, x, depthwise=False))
        case nn.DepthwiseConv2D():
            return layer(op, convolve(op, x, depthwise=True))
        case nn.Dense():
            return layer(op, x.dot(op.weights.int64.astype(object)))
        case nn.MaxPool():
            return slide(op, x, op.size, (1, 1), lambda window: window.max(axis=0), pad=None)
        case nn.GlobalAveragePool():
            return x.sum(axis=(1, 2), keepdims=op.keepdims) * Fraction(1, x.shape[1] * x.shape[2])
        case nn.QuantizedReLU():
            step = Fraction(op.step)
            level = sum((x > (k - Fraction(1, 2)) * step).astype(int).astype(object) for k in range(1, 1 << op.bits))
            return level * step
        case nn.Reshape():
            return x.reshape(len(x), *op.shape)
    raise TypeError(op.op_name)


def layer(op: Any, sums: Rationals) -> Rationals:
    """Scaled sums with their bias."""
    bias = getattr(op, "bias", None)
    return sums / fractions(op.weight_scale) + fractions(bias)


def convolve(op: Any, x: Rationals, depthwise: bool) -> Rationals:
    weights = op.weights.int64.astype(object)
    taps = weights.reshape(-1, *weights.shape[2:])

    def products(window: Rationals) -> Rationals:
        if depthwise:
            return (window * taps).sum(axis=0)
        return (window[..., None] * taps).sum(axis=(0, 1))

    return slide(op, x, weights.shape[:2], op.dilation, products, pad=Fraction(0))


def slide(op: Any, x: Rationals, size: Any, dilation: Any, function: Any, pad: Fraction | None) -> Rationals:
    """`function` of the taps [taps, channels] of every window; without a `pad`, of those inside the map only."""
    rows, columns = op.results[0].type.per_sample[:2]
    same, upper = op.padding is not Padding.VALID, op.padding is Padding.SAME_UPPER
    starts = []
    for axis, count in ((0, rows), (1, columns)):
        span = (size[axis] - 1) * dilation[axis] + 1
        lack = max((count - 1) * op.strides[axis] + span - x.shape[1 + axis], 0) if same else 0
        starts.append([i * op.strides[axis] - (lack + upper) // 2 for i in range(count)])
    results = []
    for sample in x:
        for top in starts[0]:
            for left in starts[1]:
                places = [
                    (top + i * dilation[0], left + j * dilation[1]) for i in range(size[0]) for j in range(size[1])
                ]
                inside = [0 <= r < x.shape[1] and 0 <= c < x.shape[2] for r, c in places]
                if pad is None:
                    places = [place for place, fits in zip(places, inside, strict=True) if fits]
                    inside = [True] * len(places)
                border = np.array([pad] * x.shape[3], object)
                taps = [sample[p] if fits else border for p, fits in zip(places, inside, strict=True)]
                results.append(function(np.stack(taps)))
    return np.stack(results).reshape(len(x), rows, columns, -1)
