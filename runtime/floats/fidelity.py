"""How far a quantized model is from its float original: layer by layer as real numbers, and in what it decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.reference import run as interpret
from cnn2snn_ir.runtime.comparison import chunk_size
from cnn2snn_ir.runtime.floats.matching import is_real, match
from cnn2snn_ir.runtime.floats.model import Array, FloatModel
from cnn2snn_ir.runtime.model import Model


@dataclass
class Fidelity:
    """One value of the quantized model against the same of the float one."""

    layer: str
    float_layer: str
    signal: float = 0
    noise: float = 0
    largest: float = 0
    """The largest difference."""
    peak: float = 0
    """The largest float value."""
    problem: str = ""
    """Why the two cannot be compared."""

    def update(self, quantized: Array, original: Array | None) -> None:
        """Count one chunk."""
        if original is None or original.size != quantized.size:
            self.problem = "the float model does not tell it" if original is None else "its values have other shapes"
            return
        wanted = original.astype(np.float64).reshape(len(original), -1)
        error = wanted - quantized.reshape(len(quantized), -1)
        self.signal += float(np.square(wanted).sum())
        self.noise += float(np.square(error).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0)))
        self.peak = max(self.peak, float(np.abs(wanted).max(initial=0)))

    @property
    def sqnr(self) -> float:
        """Signal to quantization noise in dB; infinite without noise."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass
class Report:
    """What came out: the layers that were compared, those that were not, and the outputs."""

    rows: list[Fidelity]
    unmatched: list[str]
    output: Fidelity
    samples: int = 0
    agreeing: int = 0
    """Samples for which both models have their largest output at one place."""

    @property
    def total(self) -> int:
        """Layers of the quantized model that have a value as real numbers."""
        return len(self.rows) + len(self.unmatched)

    @property
    def matched(self) -> list[Fidelity]:
        """The layers that were compared."""
        return [row for row in self.rows if not row.problem]


def measure(module: Module, original: FloatModel, x: Array) -> Report:
    """Run the model as imported and its float original on the samples, in chunks, and compare what is the same."""
    matches = match(module, original.values)
    layers = [op.results[0].name or "" for op in module.body if op.results and is_real(op)]
    rows = [Fidelity(name, matches[name].layer) for name in layers if name in matches]
    unmatched = [name for name in layers if name not in matches]
    report = Report(rows, unmatched, Fidelity("output", "output"), len(x))
    keys = {original.output, *(value.key for value in matches.values())}
    size = chunk_size(module)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        floats = original.run(part, keys)
        reals, output = run_real(module, part)
        for row in rows:
            row.update(reals[row.layer], floats.get(matches[row.layer].key))
        compare_outputs(report, output, floats.get(original.output))
    return report


def measure_outputs(program: Model, original: FloatModel, x: Array) -> Report:
    """Run a program and another model of the same function on the samples, in chunks, and compare what comes out."""
    report = Report([], [], Fidelity("output", "output"), len(x))
    size = chunk_size(program.module)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        found = program.predict(part)
        theirs = original.run(part, {original.output}).get(original.output)
        if theirs is not None and theirs.ndim == 2:
            found = found.reshape(len(found), -1)
        compare_outputs(report, found, theirs)
    return report


def compare_outputs(report: Report, ours: Array, theirs: Array | None) -> None:
    """Count one chunk of outputs."""
    report.output.update(ours, theirs)
    if theirs is not None and not report.output.problem:
        decisions = (array.reshape(len(array), -1).argmax(axis=1) for array in (ours, theirs))
        report.agreeing += int(np.count_nonzero(np.equal(*decisions)))


def quantization_errors(original: Module, module: Module, x: Array) -> list[Fidelity]:
    """Each value that a quantized module and its float original call by one name, and the output behind them."""
    shared = {op.results[0].name for op in original.body if op.results and op.results[0].name}
    names = [op.results[0].name or "" for op in module.body if op.results and is_real(op)]
    rows = [Fidelity(name, name) for name in names if name in shared]
    output = Fidelity("output", "output")
    size = min(chunk_size(module), chunk_size(original))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        floats: dict[str, Array] = {}
        outputs = interpret(original, part.astype(np.float32), named(floats))
        reals, found = run_real(module, part)
        for row in rows:
            row.update(reals[row.layer], floats[row.layer])
        output.update(found, outputs[0])
    return [*(row for row in rows if not row.problem), output]


def named(values: dict[str, Array]) -> Callable[[Op, Array], None]:
    """An observer that keeps the values with names."""

    def observe(op: Op, array: Array) -> None:
        if op.results[0].name is not None:
            values[op.results[0].name] = array

    return observe


def run_real(module: Module, x: Array) -> tuple[dict[str, Array], Array]:
    """The values by name and the output, as real numbers."""
    values: dict[str, Array] = {}

    def observe(op: Op, array: Array) -> None:
        if is_real(op):
            values[op.results[0].name or ""] = real(op, array)

    outputs = interpret(module, x, observe)
    return values, real(module.outputs[0].owner, outputs[0])


def real(op: Op, array: Array) -> Array:
    """The float model's numbers that integers stand for, by what the importer noted (one, or one a channel)."""
    frac_bits, scale, rate = (noted(op, name) for name in ("frac_bits", "scale", "rate"))
    values = np.asarray(array, np.float64)
    if frac_bits is not None:
        values = np.ldexp(values, -frac_bits)
    if scale is not None:
        values = values * scale
    return values if rate is None else values / rate


def noted(op: Op, name: str) -> Array | None:
    """A tensor among the annotations."""
    tensor = op.annotations.get(name)
    return tensor.array if isinstance(tensor, Tensor) else None
