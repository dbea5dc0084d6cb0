"""`cnn2snn compare --float`: a quantized model against its float original."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level, verify_level
from cnn2snn_ir.frontends import ONNX_SUFFIX
from cnn2snn_ir.runtime.floats.fidelity import Fidelity, Report, measure, measure_outputs
from cnn2snn_ir.runtime.floats.matching import is_real
from cnn2snn_ir.runtime.floats.model import open_float
from cnn2snn_ir.runtime.model import Model, table
from cnn2snn_ir.tools.compare import samples
from cnn2snn_ir.tools.loading import sources


def measure_float(model: Path, original: Path, inputs: Path, count: int | None) -> Report:
    """Compare on the first `count` samples of a file, or on all."""
    (source,) = sources(str(model))
    module = source.load()
    check_comparable(model, module)
    names = [value.name for op in module.body for value in op.results if value.name]
    return measure(module, open_float(original, names), samples(inputs, count, module))


def measure_onnx(model: Path, program: Path, inputs: Path, count: int | None) -> Report | None:
    """The program against its ONNX file, as onnxruntime runs it; None for other files, and without onnxruntime."""
    if model.suffix.lower() != ONNX_SUFFIX or find_spec("onnxruntime") is None:
        return None
    compiled = Model(program)
    if compiled.module.states:
        return None  # what its FIFOs are made of needs plugins
    return measure_outputs(compiled, open_float(model, ()), samples(inputs, count, compiled.module))


def render_onnx(report: Report) -> str:
    """The comparison with onnxruntime for a reader."""
    if report.output.problem:
        return f"onnxruntime: {report.output.problem}"
    sqnr, largest, peak = numbers(report.output)
    return (
        f"against onnxruntime: outputs differ by up to {largest} (the largest is {peak}, SQNR {sqnr} dB); "
        f"the largest output is the same for {report.agreeing} of {report.samples} samples"
    )


def check_comparable(path: Path, module: Module) -> None:
    """Raise `CompileError` if a model has no real numbers that could be compared."""
    if module.states:
        message = "models that remember are not compared with floats"
        raise fail("FLOAT-STREAMS", message, where=str(path), help="leave out --float")
    if any(verify_level(module, Level.QNN)) or not any(is_real(op) for op in module.body if op.results):
        message = "only a model as imported tells which real numbers its integers stand for"
        raise fail("FLOAT-SCALES", message, where=str(path), allowed="a quantized .h5 or .keras file")


def render(report: Report) -> str:
    """The report for a reader."""
    lines = [f"against the float original: {len(report.matched)}/{report.total} layers matched", ""]
    cells = [(row.layer, row.float_layer, *numbers(row)) for row in [*report.matched, report.output]]
    lines.append(table([("layer", "float layer", "SQNR dB", "largest error", "largest value"), *cells]))
    if unmatched := unmatched_layers(report):
        lines += ["", "without a counterpart in the float model:"]
        lines += [f"  {name}: {why}" for name, why in unmatched.items()]
    if not report.output.problem:
        share = report.agreeing / report.samples
        lines += ["", f"the largest output is the same for {report.agreeing} of {report.samples} samples ({share:.4f})"]
    return "\n".join(lines)


def numbers(row: Fidelity) -> tuple[str, str, str]:
    """The measurements of a row."""
    if row.problem:
        return row.problem, "", ""
    return f"{row.sqnr:.1f}", f"{row.largest:.4g}", f"{row.peak:.4g}"


def unmatched_layers(report: Report) -> dict[str, str]:
    """Layers that were not compared, and why not."""
    none = dict.fromkeys(report.unmatched, "no value there is computed by the same layers")
    return none | {row.layer: row.problem for row in report.rows if row.problem}


def as_data(report: Report) -> dict[str, Any]:
    """The report for a program."""
    return {
        "layers": report.total,
        "matched": len(report.matched),
        "samples": report.samples,
        "agreeing": None if report.output.problem else report.agreeing,
        "values": [row_data(row) for row in report.matched],
        "output": row_data(report.output),
        "unmatched": unmatched_layers(report),
    }


def row_data(row: Fidelity) -> dict[str, Any]:
    """One value; JSON has no infinity, so a value without noise (or without signal) has no SQNR."""
    sqnr = row.sqnr if math.isfinite(row.sqnr) else None
    measured = {"sqnr": sqnr, "largest_error": row.largest, "largest_value": row.peak}
    problem = {"problem": row.problem} if row.problem else {}
    return {"name": row.layer, "float_name": row.float_layer, **measured, **problem}
