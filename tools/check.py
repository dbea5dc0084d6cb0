"""`cnn2snn check`: can this model be converted, and if not, every reason why not.

The answer for each target is the one that `convert` would give, except that nothing stops at the first fault.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn2snn_ir.api import compile_model, import_any, pipeline_for
from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, Severity
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.frontends import KERAS_SUFFIXES
from cnn2snn_ir.passes.kinds import Kind, is_legacy, kind_of, not_quantized
from cnn2snn_ir.passes.legality.survey import Holes, survey, survey_part
from cnn2snn_ir.passes.legality.tail import host_layers, tail_diagnostics
from cnn2snn_ir.post_training import device_problems
from cnn2snn_ir.version import __version__
from cnn2snn_ir.versions import AkidaVersion, get_akida_version

SCHEMA_VERSION = 1
"""Of the JSON report; docs/check.schema.json describes it."""

LAYER = re.compile(r"(?P<name>.+) \((?P<class>\w+)\)")
"""How diagnostics name a layer: `conv (Conv2D)`."""

INDENT = " " * 11
WIDEST = 40
"""Columns for the layer's name; longer ones stick out."""


@dataclass(frozen=True)
class Imported:
    """What there is of a model: a module, perhaps with holes, and the faults that made them."""

    module: Module | None
    found: Diagnostics
    holes: Holes = Holes()


@dataclass(frozen=True)
class Verdict:
    """What one target has to say about a model."""

    target: AkidaVersion
    found: Diagnostics

    @property
    def name(self) -> str:
        """`Akida 2`."""
        return f"Akida {str(self.target)[1:]}"

    def of(self, severity: Severity) -> list[Diagnostic]:
        """The diagnostics of one severity."""
        return [d for d in self.found if d.severity is severity]


@dataclass(frozen=True)
class Report:
    """The verdicts on a model."""

    model: str
    verdicts: tuple[Verdict, ...]
    host: tuple[str, ...]
    """The layers that the host computes, as `name (class)`."""

    @property
    def convertible(self) -> bool:
        """True if no target has a problem with the model."""
        return not any(verdict.found.errors for verdict in self.verdicts)


def check(
    path: Path,
    targets: Sequence[AkidaVersion] = (),
    device: str | None = None,
    allow_float_tail: bool = False,
    legalize: bool = True,
    onnx_mode: str = "bounded",
) -> Report:
    """Look at the model for each target, by default that of `convert`; the options are those of `convert`."""
    imported = import_all(path)
    verdicts = []
    for target in dict.fromkeys(targets or [default_target(imported.module)]):
        found = Diagnostics(judge(imported, target, allow_float_tail, legalize, onnx_mode))
        if device is not None and imported.module is not None and not found.errors:
            program, _ = compile_model(
                imported.module.clone(),
                target=target,
                allow_float_tail=allow_float_tail,
                legalize=legalize,
                validate=False,
                onnx_mode=onnx_mode,
            )
            found.extend(device_problems(program, device))
        verdicts.append(Verdict(target, found))
    host = host_layers(imported.module) if imported.module else ()
    return Report(path.name, tuple(verdicts), tuple(host))


def import_all(path: Path) -> Imported:
    """Import the model, or if it has faults as much of it as can be imported."""
    try:
        notes = Diagnostics()
        return Imported(import_any(path, notes), notes)
    except CompileError as error:
        found = Diagnostics(error.diagnostics)
    if path.suffix.lower() not in KERAS_SUFFIXES:
        return Imported(None, found)
    from cnn2snn_ir.frontends.keras_h5.survey import survey_keras

    try:
        partial = survey_keras(path)
    except CompileError:  # the file as a whole is at fault
        return Imported(None, found)
    found.extend(partial.found)
    return Imported(partial.module, found, Holes(partial.broken, partial.guessed))


def default_target(module: Module | None) -> AkidaVersion:
    """The generation that `convert` compiles for when nobody says."""
    return AkidaVersion.v1 if module is not None and is_legacy(module) else get_akida_version()


def judge(
    imported: Imported, target: AkidaVersion, allow_float_tail: bool, legalize: bool, onnx_mode: str
) -> Iterator[Diagnostic]:
    """Everything that one target finds."""
    yield from imported.found
    if imported.module is None:
        return
    module = imported.module.clone()
    if is_legacy(module) and target is not AkidaVersion.v1:
        message = "models quantized by the legacy API run on Akida 1 only"
        yield Diagnostic("TARGET", message, module.sym_name, str(target), "v1")
        return
    if kind_of(module) is Kind.FLOAT:
        yield from not_quantized(module).diagnostics
        return
    yield from tail_diagnostics(module, allow_float_tail)
    pipeline = pipeline_for(module, target, legalize, onnx_mode=onnx_mode)
    if imported.found.errors:
        yield from survey_part(module, pipeline, imported.holes)
    else:
        yield from survey(module, pipeline)


# ---- text ---------------------------------------------------------------------------------------------------------


def render(report: Report) -> str:
    """The report for a reader."""
    return "\n".join([head_line(report), *(line for verdict in report.verdicts for line in section(verdict))])


def head_line(report: Report) -> str:
    """`kws.h5: 2 problems for Akida 1, none for Akida 2`."""
    parts: list[str] = []
    for verdict in report.verdicts:
        count = len(verdict.found.errors)
        none = "none" if parts else "no problems"
        parts.append(f"{plural(count, 'problem') if count else none} for {verdict.name}")
    return f"{report.model}: {', '.join(parts)}"


def plural(count: int, what: str) -> str:
    """`1 problem`, `2 problems`."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def section(verdict: Verdict) -> Iterator[str]:
    """What one target found, worst first."""
    ordered = [d for severity in Severity for d in verdict.of(severity)]
    if ordered:
        yield ""
        yield f"{verdict.name}: " + ", ".join(plural(len(verdict.of(s)), s) for s in Severity if verdict.of(s))
    code = max((len(d.code) for d in ordered), default=0)
    where = max((len(d.where) for d in ordered if len(d.where) <= WIDEST), default=0)
    for d in ordered:
        yield f"  {d.severity:7}  {d.code:{code}}  {d.where:{where}}  {d.message}".rstrip()
        facts = (("found", d.found), ("allowed", d.allowed), ("fix", d.help))
        for word, text in facts:
            if text:
                yield textwrap.fill(f"{word}: {text}", 110, initial_indent=INDENT, subsequent_indent=f"{INDENT}  ")


# ---- JSON ---------------------------------------------------------------------------------------------------------


def to_json(report: Report) -> str:
    """The report for a program."""
    data: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "tool": f"cnn2snn-ir {__version__}",
        "model": report.model,
        "convertible": report.convertible,
        "host_layers": [found.groupdict() for layer in report.host if (found := LAYER.fullmatch(layer))],
        "targets": [
            {
                "target": str(verdict.target),
                "name": verdict.name,
                "convertible": not verdict.found.errors,
                "problems": len(verdict.found.errors),
                "diagnostics": [as_data(d) for d in verdict.found],
            }
            for verdict in report.verdicts
        ],
    }
    return json.dumps(data, indent=2)


def as_data(d: Diagnostic) -> dict[str, str | None]:
    """One diagnostic by the names that users know; `layer` and `class` are null where it is about no single layer."""
    layer = LAYER.fullmatch(d.where)
    return {
        "code": d.code,
        "severity": str(d.severity),
        "where": d.where,
        "layer": layer["name"] if layer else None,
        "class": layer["class"] if layer else None,
        "rule": d.message,
        "found": d.found,
        "allowed": d.allowed,
        "fix": d.help,
    }
