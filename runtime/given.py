"""What a call is given: inputs, and what its streams remember.

Arrays of the very type that the module names pass without a look at their elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import Value
from cnn2snn_ir.reference.interpreter import Memory, fitting, remembered
from cnn2snn_ir.runtime.storage import Array

Inputs = Mapping[str, Array] | Array


class InputCheck:
    """What an input must be; everything that does not depend on the batch is looked up once."""

    def __init__(self, op: builtin.Input) -> None:
        self.op = op
        self.name = op.result.name or "input"
        self.shape = op.shape
        self.dtype = op.element.dtype
        self.fills_dtype = op.element.fills(self.dtype) and not op.element.is_float  # a float may be NaN

    def __call__(self, array: Array) -> Array:
        """The array, floats as float32; raises `CompileError` if it does not fit."""
        if isinstance(array, np.memmap):
            array = array.view(np.ndarray)
        if (
            self.fills_dtype
            and type(array) is np.ndarray
            and array.dtype == self.dtype
            and array.shape[1:] == self.shape
        ):
            return array
        return fitting(self.op, array)


def checked(checks: Sequence[InputCheck], inputs: Inputs) -> list[Array]:
    """The input arrays in order; raises `CompileError` if one is missing or does not fit."""
    if isinstance(inputs, Mapping):
        for check in checks:
            if check.name not in inputs:
                raise fail("RUN-INPUT-MISSING", "the model has an input that was not given", where=check.name)
        arrays = [check(inputs[check.name]) for check in checks]
    else:
        arrays = [check(inputs) for check in checks]
    if not arrays:
        raise fail("RUN-NO-INPUT", "the model has no input")
    if len(arrays) > 1 and len({len(array) for array in arrays}) != 1:
        sizes = ", ".join(str(len(array)) for array in arrays)
        raise fail("RUN-INPUT-BATCH", "the inputs have different numbers of samples", found=sizes)
    return arrays


def checked_size(size: object) -> int:
    """A number of samples; raises `CompileError` for anything but an integer from 1."""
    if isinstance(size, int | np.integer) and size >= 1:
        return int(size)
    raise fail("RUN-BATCH", "this is no number of samples", found=repr(size), allowed="integers from 1")


class Cell:
    """One memory: where a call reads it, and the value that it stores; what every call asks is looked up once."""

    def __init__(self, state: builtin.State, stored: Value) -> None:
        self.state = state
        self.stored = stored
        self.name = state.sym_name
        self.shape = state.shape
        self.dtype = state.element.dtype
        self.fills_dtype = state.element.fills(self.dtype)

    def recall(self, memory: Memory, streams: int) -> Array:
        """What the streams stored at their last call; raises `CompileError` if those were other streams."""
        array = memory.get(self.name)
        if array is None or not self.fills_dtype or array.dtype != self.dtype or array.shape != (streams, *self.shape):
            return remembered(self.state, memory, streams)
        return array


def memory_of(module: builtin.Module) -> list[Cell]:
    """What the module remembers."""
    stores = {op.sym_name: op.value for op in module.body if isinstance(op, builtin.Store)}
    return [Cell(op, stores[op.sym_name]) for op in module.states]
