"""Integers as QuantizeML carries them in Keras: in float32, which rounds what passes 2^24.

The exact reference is what hardware computes, and the two agree wherever integers stay below 2^24.  This is for
telling them apart: every result is rounded to float32, and so are the products and sums inside scales, shifts and
recurrences, in the order in which QuantizeML 1.2.5 (Apache-2.0, restated) computes them.  The sums of a convolution
or a dense layer are rounded once, at their end; TensorFlow may round them sooner.
"""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.ir import Op
from cnn2snn_ir.reference.arithmetic import Array, Ints, recur, saturate
from cnn2snn_ir.reference.semantics import Semantics, meaning


def carried(x: Array) -> Array:
    """The nearest integers that float32 holds, ties to even; floats as they are."""
    return x if x.dtype.kind == "f" else x.astype(np.float32).astype(np.int64)


def carried_shift(x: Ints, shift: Ints) -> Ints:
    """`floor(x · 2^shift + 1/2)` in float32, where adding the half may round too."""
    halved = np.ldexp(x.astype(np.float32), shift.astype(np.int32)) + np.float32(0.5)
    integers: Ints = np.floor(halved).astype(np.int64)
    return integers


def shift(op: qnn.Shift, x: Ints) -> Ints:
    return saturate(carried_shift(x, op.shift.int64), op.to)


def requantize(op: qnn.Requantize, x: Ints) -> Ints:
    product = carried(saturate(x * op.mantissa.int64, op.buffer))
    return saturate(carried_shift(product, op.shift.int64), op.to)


def recurrence(op: qnn.Recurrence, x: Ints, real: Ints, imaginary: Ints) -> tuple[Ints, Ints, Ints]:
    a = (op.a_real.int64, op.a_imaginary.int64)
    return recur(x, (real, imaginary), a, op.shift, op.acc, op.to, carried, carried_shift)


CARRIED: dict[type[Op], Semantics] = {qnn.Shift: shift, qnn.Requantize: requantize, qnn.Recurrence: recurrence}
"""Where rounding the results is not enough."""


def evaluate_carried(op: Op, *inputs: Array) -> tuple[Array, ...]:
    """The results of one op."""
    function = CARRIED.get(type(op)) or meaning(type(op))
    assert function is not None
    found = function(op, *inputs)
    return tuple(map(carried, found if isinstance(found, tuple) else (found,)))
