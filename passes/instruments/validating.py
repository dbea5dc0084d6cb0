"""Translation validation: run the module before and after every pass, and compare under the pass's contract.

Outputs are compared, and every value that keeps its name and its size; shapes may change, as vectors become maps.
Floats are compared for equality under an exact contract; under `max-lsb(k)` they are left to the integers that
they come from.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects import akida2, qnn
from cnn2snn_ir.dialects.builtin import Input, Module
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Contract
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.reference import run as interpret

Array = npt.NDArray[Any]

ADVERSARIAL = ("min", "max", "zero", "one-hot", "ramp")
"""Inputs that every validation starts with, before the random ones."""

FLOAT_RANGE = (-1.0, 1.0)
"""Where float inputs that nothing quantizes are drawn from."""

EXPONENTS = (-100, 100)
"""Bounds of the exponents taken from quantizers: outside of them lies no float32 worth trying."""


@dataclass
class Results:
    """What one run of a module gave: every named value in order of computation, and the outputs."""

    values: dict[str, Array]
    outputs: tuple[Array, ...]


class ValidateEach(Instrument):
    """Compares the module before and after each pass on five adversarial and `count` random inputs."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.seed = seed
        self._inputs: dict[str, Array] = {}
        self._known: Results | None = None
        self._module: Module | None = None

    def before_pass(self, run: PassRun) -> None:
        if self._module is not run.module:
            self._module, self._known = run.module, None
        if self._known is None:
            self._inputs = inputs_for(run.module, self.count, self.seed)
            self._known = results_of(run.module, self._inputs)

    def after_pass(self, run: PassRun) -> None:
        assert self._known is not None
        found = results_of(run.module, self._inputs)
        fault = next(compare(self._known, found, run.pass_.contract, str(run)), None)
        if fault is not None:
            raise PassFaultError(fault, f"the results after {run} are not those before it")
        self._known = found


def sample_name(sample: int) -> str:
    """What input number `sample` of a batch is."""
    return ADVERSARIAL[sample] if sample < len(ADVERSARIAL) else f"random {sample - len(ADVERSARIAL)}"


# ---- inputs ----------------------------------------------------------------------------------------------------


def inputs_for(module: Module, count: int, seed: int) -> dict[str, Array]:
    """A batch for every input of the module: adversarial samples, then `count` random ones."""
    rng = np.random.default_rng(seed)
    return {op.result.name or "": batch(op, count, rng) for op in module.inputs}


def batch(op: Input, count: int, rng: np.random.Generator) -> Array:
    """The samples for one input."""
    samples = float_samples(op, count, rng) if op.element.is_float else integer_samples(op, count, rng)
    return np.stack(samples).reshape(-1, *op.shape)


def integer_samples(op: Input, count: int, rng: np.random.Generator) -> list[Array]:
    """Flat samples of an integer input, over its whole type."""
    size, lo, hi = math.prod(op.shape), op.element.lo, op.element.hi
    # Python's integers: the span of a 63-bit type does not fit int64
    ramp = np.array([lo + (hi - lo) * i // max(size - 1, 1) for i in range(size)])
    one_hot = np.zeros(size, np.int64)
    one_hot[size // 2] = hi
    samples = [np.full(size, lo), np.full(size, hi), np.zeros(size, np.int64), one_hot, ramp]
    return samples + [rng.integers(lo, hi, size, np.int64, endpoint=True) for _ in range(count)]


def float_samples(op: Input, count: int, rng: np.random.Generator) -> list[Array]:
    """Flat samples of a float input, over the range that its quantizers cover."""
    size = math.prod(op.shape)
    lo, hi = (np.broadcast_to(bound, op.shape).reshape(size) for bound in float_range(op))
    one_hot = np.where(np.arange(size) == size // 2, hi, 0.0)
    samples = [lo, hi, np.zeros(size), one_hot, lo + (hi - lo) * np.linspace(0.0, 1.0, size)]
    samples += [rng.uniform(lo, hi) for _ in range(count)]
    return [sample.astype(np.float32) for sample in samples]


def float_range(op: Input) -> tuple[Array, Array]:
    """The smallest and the largest float worth trying, one for all channels or one for each."""
    quantizers = [user for user in op.result.users if isinstance(user, (qnn.Quantize, akida2.Quantizer))]
    if not quantizers:
        return np.asarray(FLOAT_RANGE[0]), np.asarray(FLOAT_RANGE[1])
    lows = [user.to.lo / steps_per_unit(user) for user in quantizers]
    highs = [user.to.hi / steps_per_unit(user) for user in quantizers]
    return functools.reduce(np.minimum, lows), functools.reduce(np.maximum, highs)


def steps_per_unit(op: qnn.Quantize | akida2.Quantizer) -> Array:
    """How many integers a quantizer gives to a float range of 1."""
    if isinstance(op, qnn.Quantize):
        steps: Array = np.exp2(np.clip(op.frac_bits.int64, *EXPONENTS).astype(np.float64))
        return steps
    return np.clip(op.scales.array.astype(np.float64), *np.exp2(np.array(EXPONENTS, np.float64)))


# ---- comparison ------------------------------------------------------------------------------------------------


def results_of(module: Module, inputs: dict[str, Array]) -> Results:
    """Run `module` with the reference semantics; raises `CompileError` if it cannot be run."""
    values: dict[str, Array] = {}

    def observe(op: Op, array: Array) -> None:
        if (name := op.results[0].name) is not None:
            values[name] = array

    return Results(values, interpret(module, inputs, observe))


def compare(before: Results, after: Results, contract: Contract, where: str) -> Iterator[Diagnostic]:
    """The values, then the outputs, that moved further than the contract allows; a diagnostic for each."""
    for name, array in after.values.items():
        old = before.values.get(name)
        if old is not None and (old.size, old.dtype) == (array.size, array.dtype):
            yield from differences(old.reshape(array.shape), array, contract, f"%{name}", where)
    if [a.size for a in before.outputs] != [a.size for a in after.outputs]:
        shapes = [str([a.shape[1:] for a in r.outputs]) for r in (after, before)]
        yield Diagnostic("PASS-VALIDATE", "the outputs have other sizes", where, found=shapes[0], allowed=shapes[1])
        return
    for index, (old, array) in enumerate(zip(before.outputs, after.outputs, strict=True)):
        yield from differences(old.reshape(array.shape), array, contract, f"output {index}", where)


def differences(old: Array, new: Array, contract: Contract, what: str, where: str) -> Iterator[Diagnostic]:
    """A diagnostic for the first element that moved too far, with how many others did."""
    if old.dtype.kind == "f" or new.dtype.kind == "f":
        far = np.zeros(old.shape, bool) if contract.max_lsb else ~((old == new) | (np.isnan(old) & np.isnan(new)))
    else:
        far = np.abs(new - old) > contract.max_lsb
    if not far.any():
        return
    sample, *index = (int(i) for i in np.argwhere(far)[0])
    yield Diagnostic(
        "PASS-VALIDATE",
        f"{what} changes, and the pass promises {contract}",
        where,
        found=f"{new[sample, *index]} after, {old[sample, *index]} before, at {index} of input {sample} "
        f"({sample_name(sample)}); {int(far.sum())} of {far.size} elements differ",
        allowed=str(contract),
    )
