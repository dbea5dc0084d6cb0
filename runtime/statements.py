"""What the layers of an Akida 1 program say about their own results: by how many levels they may be off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnn2snn_ir.dialects.akida1 import NeuralLayer
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op
from cnn2snn_ir.reference import run
from cnn2snn_ir.runtime.storage import Array

OFF_BY = "off_by"
"""The annotation, one number a channel."""


def stated(program: Module) -> int:
    """How many neurons of a program may be off."""
    return sum(int(np.count_nonzero(np.array(op.annotations.get(OFF_BY, 0)))) for op in program.body)


def neurons(program: Module) -> int:
    """How many neurons of a program have levels."""
    layers = (op for op in program.body if isinstance(op, NeuralLayer) and op.to is not None)
    return sum(op.results[0].type.channels for op in layers)


def beyond_statement(program: Module, values: Mapping[str, Array], samples: Array) -> list[str]:
    """The layers that are off by more than they say, each fed with the model's own `values` (by name) of the samples.

    Errors of one layer are no errors of the next, so each layer is seen on its own.
    """
    wrong: list[str] = []

    def observe(op: Op, array: Array) -> Array | None:
        name = op.results[0].name or ""
        known = values.get(name)
        if known is None or known.size != array.size or op.results[0].type.element.is_float:
            return None
        expected = known.reshape(array.shape).astype(array.dtype)
        if (np.abs(array - expected) > np.array(op.annotations.get(OFF_BY, 0))).any():
            wrong.append(name)
        return expected

    run(program, samples, observe)
    return wrong
