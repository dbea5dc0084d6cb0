"""A whole `StatefulRecurrent` layer as one compiled loop over time.

The projections are summed in float64, which is exact while no sum of products leaves 2^53 (`provable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.reference.arithmetic import EXACT_FLOAT, values
from cnn2snn_ir.runtime.buffers import Buffers
from cnn2snn_ir.runtime.numba_kernels import compiled
from cnn2snn_ir.runtime.step import Call

Ints = npt.NDArray[np.int64]


def provable(op: akida2.StatefulRecurrent) -> bool:
    """True if the compiled loop is certain to be exact, and knows the layer's activation."""
    inputs = op.x.type.element if op.input_shift is None else op.acc
    first = max(-inputs.lo, inputs.hi) * int(np.abs(op.in_weights.int64).sum(axis=0).max(initial=0))
    last = max(-op.state.lo, op.state.hi) * int(np.abs(op.weights.int64).sum(axis=0).max(initial=0))
    return max(first, last) < EXACT_FLOAT and op.activation is not Activation.LUT


@dataclass(frozen=True, eq=False)
class RecurrenceStep:
    """A provable layer."""

    op: akida2.StatefulRecurrent

    def bind(self, buffers: Buffers) -> Call:
        """See `Step`."""
        x, real, imaginary = (buffers[v].inside for v in self.op.operands)
        y, new_real, new_imaginary = (buffers[v].inside for v in self.op.results)
        constants = prepared(self.op)

        def call(count: int) -> None:
            last = np.stack([real[:count], imaginary[:count]]).astype(np.int64)
            result = np.empty(y[:count, 0].shape, np.int64)
            _run(x[:count, 0].astype(np.int64), last, result, *constants)
            y[:count, 0], new_real[:count], new_imaginary[:count] = result, last[0], last[1]

        return call


def prepared(op: akida2.StatefulRecurrent) -> tuple[Any, ...]:
    """The layer's constants as the loop takes them: one for each channel, types as their bounds."""
    channels, states = op.in_weights.array.shape
    units = op.weights.array.shape[1]

    def spread(array: Ints, size: int) -> Ints:
        return np.ascontiguousarray(np.broadcast_to(array, (size,)))

    def shifted(mantissa: Tensor | None, shift: Tensor | None, default: int) -> Ints:
        return spread(values(mantissa, default) << values(shift), units)

    wide = np.iinfo(np.int64)
    bounded = op.activation is Activation.RELU
    bounds = [(e.lo, e.hi) for e in (op.acc, op.state_acc, op.state, op.post_op, op.to or op.acc)]
    return (
        op.in_weights.array.astype(np.float64),
        op.weights.array.astype(np.float64),
        spread(values(op.input_shift), channels),
        op.input_shift is not None,
        spread(values(op.new_state_scales, 1), states),
        spread(values(op.new_state_shift), states),
        spread(op.a_real.int64, states),
        spread(op.a_imaginary.int64, states),
        op.state_shift,
        op.part,
        op.subsample,
        shifted(op.bias, op.bias_shift, 0),
        0 if bounded else wide.min,
        shifted(op.max_value, op.max_value_shift, 0) if op.max_value is not None else np.full(units, wide.max),
        op.to is not None,
        spread(values(op.output_scales, 1), units),
        spread(values(op.output_shift), units),
        np.array(bounds, np.int64),
    )


@compiled
def _run(  # type: ignore[no-untyped-def]
    x, last, y, w_in, w_out, x_shift, has_x_shift, u_scale, u_shift, a_real, a_imaginary, state_shift, part, subsample,
    bias, least, most, has_to, y_scale, y_shift, bounds,
):  # fmt: skip
    """`y` [batch, steps, units] from `x` [batch, steps, channels]; the `last` states [2][batch][states] go on."""
    acc, wide, narrow, product, result = bounds[0], bounds[1], bounds[2], bounds[3], bounds[4]
    projected, state, sums = np.empty(w_in.shape[1]), np.empty(w_in.shape[1]), np.empty(w_out.shape[1])
    for sample in range(x.shape[0]):
        for step in range(x.shape[1]):
            projected[:] = 0
            for c in range(x.shape[2]):
                value = x[sample, step, c]
                if has_x_shift:
                    value = min(max(value << x_shift[c], acc[0]), acc[1])
                for s in range(projected.size):
                    projected[s] += value * w_in[c, s]
            for s in range(projected.size):
                u = min(max(np.int64(projected[s]), acc[0]), acc[1])
                u = min(max(u * u_scale[s], wide[0]), wide[1])
                u = min(max(_shifted(u, u_shift[s]), wide[0]), wide[1])
                real, imaginary, a, b = last[0, sample, s], last[1, sample, s], a_real[s], a_imaginary[s]
                turned = min(max(real * a, wide[0]), wide[1]) - min(max(imaginary * b, wide[0]), wide[1])
                turned = min(max(min(max(turned, wide[0]), wide[1]) + u, wide[0]), wide[1])
                crossed = min(max(real * b, wide[0]), wide[1]) + min(max(imaginary * a, wide[0]), wide[1])
                crossed = min(max(crossed, wide[0]), wide[1])
                real = min(max(_shifted(turned, state_shift), narrow[0]), narrow[1])
                imaginary = min(max(_shifted(crossed, state_shift), narrow[0]), narrow[1])
                last[0, sample, s], last[1, sample, s] = real, imaginary
                state[s] = imaginary if part else real
            if (step + 1) % subsample:
                continue
            sums[:] = 0
            for s in range(state.size):
                for unit in range(sums.size):
                    sums[unit] += state[s] * w_out[s, unit]
            for unit in range(sums.size):
                total = min(max(np.int64(sums[unit]), acc[0]), acc[1])
                total = min(max(total + bias[unit], acc[0]), acc[1])
                total = min(max(total, least), most[unit])
                if has_to:
                    total = min(max(total * y_scale[unit], product[0]), product[1])
                    total = min(max(_shifted(total, y_shift[unit]), result[0]), result[1])
                y[sample, step // subsample, unit] = total


@compiled
def _shifted(x, shift):  # type: ignore[no-untyped-def]
    """`floor(x · 2^shift + 1/2)`."""
    if shift >= 0:
        return x << shift
    right = min(-shift, 62)
    return (x + (np.int64(1) << (right - 1))) >> right
