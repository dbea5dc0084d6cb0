"""`cnn2snn compare`: a program against its model, layer by layer, at every level of the compiler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cnn2snn_ir.api import pipeline_for, version_for
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level as Stage
from cnn2snn_ir.dialects.levels import verify_level
from cnn2snn_ir.passes.fold_quantized_activations import FoldQuantizedActivations
from cnn2snn_ir.passes.kinds import Kind, kind_of
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.runtime.comparison import (
    Array,
    Comparison,
    Difference,
    Level,
    Row,
    compare_levels,
    engine_level,
    reference_level,
)
from cnn2snn_ir.runtime.model import Model, table
from cnn2snn_ir.tools.loading import sources
from cnn2snn_ir.tools.samples import read_samples

SCHEMA_VERSION = 1
"""Of the JSON report."""

MOST_BARS = 6
"""Bars of a histogram that the text shows, the highest first."""


def compare(model: Path, program: Path, inputs: Path, count: int | None, as_keras: bool = False) -> Comparison:
    """Compare on the first `count` samples of a file, or on all; `as_keras` runs the model as Keras rounds."""
    compiled = Model(program)
    levels = [*levels_of(model, compiled.module, as_keras), engine_level("program", compiled)]
    return compare_levels(levels, samples(inputs, count, compiled.module))


def levels_of(path: Path, program: Module, as_keras: bool) -> list[Level]:
    """The model as imported, a legacy one as integers, and what this compiler makes of it as it made the program."""
    (source,) = sources(str(path))
    module = source.load()
    if any(verify_level(module, Stage.QNN)):
        return [reference_level("compiled", module)]  # a program or a dump of one
    pipeline = pipeline_of(program, module)
    name = "imported"
    if kind_of(module) is not Kind.INTEGER:  # its values are reals, and a program has integers
        name, front = "integers", to_integers(pipeline)
        PassManager(front).run(module)
        pipeline = Pipeline(pipeline.anchor, pipeline.items[len(front.items) :])
    imported = module.clone()
    PassManager(pipeline).run(module)
    return [reference_level(name, imported, as_keras=as_keras), reference_level("compiled", module)]


def pipeline_of(program: Module, model: Module) -> Pipeline:
    """The pipeline that made the program, or the one that would now."""
    told = program.annotations.get("pipeline")
    if isinstance(told, str):
        return parse_pipeline(told, "the program's pipeline")
    return pipeline_for(model, version_for(model, None))


def to_integers(pipeline: Pipeline) -> Pipeline:
    """The part of a pipeline that turns the reals of a legacy model into integers."""
    ends = (i for i, item in enumerate(pipeline.items, 1) if isinstance(item, FoldQuantizedActivations))
    return Pipeline(pipeline.anchor, pipeline.items[: next(ends, 0)])


def samples(path: Path, count: int | None, program: Module) -> Array:
    """The samples, as the program's input wants them."""
    x = read_samples(path, program)[0][:count]
    if not x.size:
        raise fail("COMPARE-NOTHING", "there are no samples to compare on", where=str(path))
    return x.astype("float32") if program.inputs and program.inputs[0].element.is_float else x


# ---- text -----------------------------------------------------------------------------------------------------------


def render(result: Comparison) -> str:
    """The comparison for a reader."""
    total = len(result.compared) + len(result.missing)
    verdict = f"{len(result.different)} differ" if result.different else "all equal" if result.compared else "no result"
    fused = f" ({len(result.fused)} more are fused into them)" if result.fused else ""
    lines = [f"{len(result.compared)}/{total} layers compared{fused} on {extent(result)}: {verdict}"]
    lines += [f"  {level.name:9} {level.how}, {count(level, result)} layers" for level in result.levels]
    if result.fused:
        lines += ["", "fused into others, so without a value of their own in the program:"]
        lines += [f"  {row.name} in {row.fused_into}" for row in result.fused]
    if result.missing:
        lines += ["", "not compared:"]
        lines += [f"  {row.name}: {why_not(row)}" for row in result.missing]
    lines += statement(result)
    if row := result.first_different:
        lines += ["", first_difference(row, result.steps), "", differences(result)]
    return "\n".join(lines)


def statement(result: Comparison) -> list[str]:
    """What there is to say about neurons that may be off."""
    if not result.stated:
        return []
    said = f"{result.stated} neurons state that they may be off (`off_by`); each layer by itself, on what the model"
    if result.beyond:
        return ["", f"{said} computes before it, is, but for {', '.join(sorted(result.beyond))}, which are off by more"]
    return ["", f"{said} computes before it, is off by no more than it states"]


def extent(result: Comparison) -> str:
    """How much was run."""
    if result.steps is None:
        return f"{result.samples} samples"
    return f"{result.steps} steps of {result.samples} streams"


def count(level: Level, result: Comparison) -> int:
    """How many of the compared values a level has."""
    return sum(level.name in row.levels for row in result.compared)


def why_not(row: Row) -> str:
    """Why a value has no counterpart."""
    if "program" not in row.levels:
        return "the program has no such value"
    if len(row.levels) == 1:
        return "only the program has such a value"
    return "its values have different sizes"


def first_difference(row: Row, steps: int | None) -> str:
    """The first element of a layer that differs."""
    found = row.first
    first = found.first
    assert first is not None
    sample = f"sample {first.sample}" if steps is None else f"stream {first.sample} in step {first.step}"
    place = f"{list(first.index)} of {sample}"
    return f"first difference: {row.name} at {place}: {found.against} {first.expected}, {found.level} {first.found}"


def differences(result: Comparison) -> str:
    """A line for each layer and level that differs."""
    rows = [("layer", "level", "differing", "of", "largest", "differences in steps of the last bit")]
    for row in result.different:
        for d in (d for d in row.differences if d.differing):
            bars = ", ".join(f"{step}: {n:,}" for step, n in d.histogram.most_common(MOST_BARS)) or "floats"
            more = ", …" if len(d.histogram) > MOST_BARS else ""
            cells = f"{d.differing:,}", f"{d.elements:,}", f"{d.largest:g}"
            rows.append((row.name, d.level, *cells, bars + more))
    return table(rows)


# ---- JSON -----------------------------------------------------------------------------------------------------------


def to_json(result: Comparison, floats: dict[str, Any] | None = None, onnxruntime: dict[str, Any] | None = None) -> str:
    """The comparison for a program, and those with a float model and onnxruntime if there were any."""
    data: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "equal": result.equal,
        "as_stated": result.as_stated,
        "samples": result.samples,
        "steps": result.steps,
        "levels": [{"name": level.name, "how": level.how} for level in result.levels],
        "layers": len(result.compared) + len(result.missing),
        "compared": len(result.compared),
        "first_difference": result.first_different.name if result.first_different else None,
        "values": [as_data(row, result) for row in result.rows],
        **({} if floats is None else {"float": floats}),
        **({} if onnxruntime is None else {"onnxruntime": onnxruntime}),
    }
    return json.dumps(data, indent=2)


def as_data(row: Row, result: Comparison) -> dict[str, Any]:
    """One value."""
    missing = any(row is other for other in result.missing)
    status = "missing" if missing else "fused" if row.fused_into else "different" if row.differs else "equal"
    return {
        "name": row.name,
        "status": status,
        "levels": list(row.levels),
        "fused_into": row.fused_into or None,
        "differences": [difference_data(d, result.steps) for d in row.differences if d.differing],
    }


def difference_data(d: Difference, steps: int | None) -> dict[str, Any]:
    """How one level differs."""
    first = d.first
    assert first is not None
    return {
        "level": d.level,
        "against": d.against,
        "differing": d.differing,
        "elements": d.elements,
        "largest": d.largest,
        "first": {
            "step": None if steps is None else first.step,
            "sample": first.sample,
            "index": list(first.index),
            "expected": first.expected,
            "found": first.found,
        },
        "histogram": dict(d.histogram),
    }
