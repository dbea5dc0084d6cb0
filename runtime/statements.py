"""What the layers of an Akida 1 program say about their own results: by how many levels they may be off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnn2snn_ir.dialects.akida1 import NeuralLayer
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.passes.base import OFF_BY, STATED
from cnn2snn_ir.passes.copies import in_copies
from cnn2snn_ir.passes.trial import Trial, too_far
from cnn2snn_ir.runtime.storage import Array


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
    found = Trial({op.result.name or "": samples for op in program.inputs}, {}, ()).run(program, values)
    known = {name: array for name, array in found.values.items() if name in values and array.dtype.kind != "f"}
    models = {name: in_copies(values[name], found.copies[name], array.size) for name, array in known.items()}
    return [
        name
        for name, array in known.items()
        if models[name].size == array.size
        and too_far(models[name].reshape(array.shape), array, STATED, found.off_by.get(name, ())).any()
    ]
