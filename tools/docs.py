"""The documentation that follows from tables: ops, passes, legality rules, devices.

    python -m cnn2snn_ir.tools.docs docs

A test compares what is committed with what this writes.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path

from cnn2snn_ir.device import Confidence, device_names, load_device
from cnn2snn_ir.device.tables import SECTIONS, unit_of
from cnn2snn_ir.dialects import DIALECTS, ops_of
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.ir import Field, Op, Role
from cnn2snn_ir.ir.fields import kind_name
from cnn2snn_ir.passes.legality.tables import RULES_OF
from cnn2snn_ir.passes.options import Option, options_of
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.registry import PASSES, PIPELINES, find_pass
from cnn2snn_ir.text.printer import attribute

NOTE = "<!-- Written by `python -m cnn2snn_ir.tools.docs docs`; edit the code, not this file. -->"


def main(argv: list[str] | None = None) -> int:
    """Write every page into the folder given; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m cnn2snn_ir.tools.docs DIR", file=sys.stderr)
        return 1
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        atomic_write(folder / name, text_of(page).encode())
    return 0


def text_of(page: Callable[[], Iterator[str]]) -> str:
    """A page as a file holds it."""
    return "\n".join([NOTE, "", *page()]).rstrip() + "\n"


# ---- ops ----------------------------------------------------------------------------------------------------


def ops_page() -> Iterator[str]:
    """Every dialect with its ops and their fields."""
    yield from ("# Ops", "")
    for dialect, sentence in DIALECTS.items():
        yield f"* [`{dialect}`](#dialect-{dialect}): {sentence}"
    yield ""
    for dialect in DIALECTS:
        yield from (f"## Dialect `{dialect}`", "")
        yield from prose(import_module(f"cnn2snn_ir.dialects.{dialect}").__doc__)
        for op in ops_of(dialect).values():
            yield from op_section(op)


def op_section(op: type[Op]) -> Iterator[str]:
    """One op: its sentence, and a row for each field."""
    yield from (f"### `{op.op_name}`", "")
    yield from prose(op.__doc__)
    rows = [(f"`{f.name}`", f.role, kind_of(f), default_of(f), f.doc) for f in op.fields]
    yield from table(("field", "role", "kind", "default", ""), rows)


def kind_of(field: Field) -> str:
    """What an attribute holds, in words."""
    if field.role is not Role.ATTR:
        return ""
    bounds = "" if field.minimum is None else f", at least {field.minimum}"
    bounds += "" if field.maximum is None else f", at most {field.maximum}"
    return kind_name(field.base) + bounds


def default_of(field: Field) -> str:
    """The default of an attribute as the text form shows it."""
    if field.role is not Role.ATTR or field.required:
        return ""
    return "none" if field.default is None else f"`{attribute(field.default)}`"


# ---- passes -------------------------------------------------------------------------------------------------


def passes_page() -> Iterator[str]:
    """Every pass of this distribution, and the named pipelines."""
    yield from ("# Passes", "", "Run them with `cnn2snn-opt FILE --pass-pipeline='…'`.", "")
    yield from ("## Named pipelines", "")
    for name in PIPELINES:
        yield from (f"* `{name}` = `{parse_pipeline(name)}`", "")
    for name in sorted(PASSES):
        pass_class = find_pass(name)
        assert pass_class is not None
        on = ", ".join(f"`{anchor}`" for anchor in pass_class.anchors) or "any op"
        yield from (f"## `{name}`", "", f"Contract: {pass_class.contract}.  Runs on {on}.", "")
        yield from prose(import_module(pass_class.__module__).__doc__)
        rows = [(f"`{o.name}`", default_text(o), o.allowed, o.help) for o in options_of(pass_class).values()]
        yield from table(("option", "default", "allowed", ""), rows)


def default_text(option: Option) -> str:
    """The default of an option as pipelines write it."""
    return f"`{option.print(option.default).partition('=')[2] or 'true'}`"


# ---- what is supported --------------------------------------------------------------------------------------


def supported_page() -> Iterator[str]:
    """The layers that frontends read, and the rules of each target."""
    from cnn2snn_ir.frontends.keras_h5 import importer, legacy

    importer.fill_tables()
    yield from ("# Supported ops", "", "A model is legal if it breaks no rule below;")
    yield "`cnn2snn-opt MODEL -p check-legality` names every one that it breaks.  An error stops the conversion;"
    yield "a warning keeps a model off the chip but not out of the simulator.  Before the check, the passes named"
    yield from ("beside them make the model legal where they can do so exactly (`--no-legalize` leaves them out).", "")
    yield from ("## Keras layers", "", f"Quantized: {words(importer.TABLE)}.", "")
    yield from (f"Float, behind the last integer: {words(importer.TAIL)}.", "")
    yield from (f"In legacy models: {words(legacy.legacy_classes())}.", "")
    yield from onnx_operators()
    for subject, rules in RULES_OF.items():
        yield from (f"## {subject[0].upper()}{subject[1:]}", "")
        for source, group in groupby(rules, key=lambda rule: rule.source):
            yield from (f"Source: {source}.", "")
            rows = [(f"`{r.code}`", r.sentence, r.allowed, r.help, words(r.rewrites), r.severity) for r in group]
            yield from table(("code", "rule", "allowed", "what to do", "what does it", "severity"), rows)


def onnx_operators() -> Iterator[str]:
    """The operators that the ONNX frontend reads, by domain, and those that it computes while importing."""
    from cnn2snn_ir.frontends.onnx.standard.call import TABLE
    from cnn2snn_ir.frontends.onnx.standard.constants import FOLDED
    from cnn2snn_ir.frontends.onnx.standard.importer import fill_table

    fill_table()
    yield from ("## ONNX operators", "")
    domains: dict[tuple[str, ...], list[str]] = {}
    for name in {name for _, name in TABLE}:
        domains.setdefault(tuple(sorted(d for d, n in TABLE if n == name)), []).append(name)
    for where, names in sorted(domains.items()):
        yield from (f"Of {', '.join(d or 'the standard domain' for d in where)}: {words(names)}.", "")
    yield from (f"On constants, also: {words(FOLDED - {name for domain, name in TABLE if not domain})}.", "")


def words(names: Iterable[str]) -> str:
    """Names in alphabetical order."""
    return ", ".join(f"`{name}`" for name in sorted(names))


# ---- devices ------------------------------------------------------------------------------------------------


def devices_page() -> Iterator[str]:
    """What a device file holds, and what the devices that come with the package say."""
    yield from ("# Devices", "")
    yield from prose(import_module("cnn2snn_ir.device.files").__doc__)
    yield "Confidence: " + "; ".join(f"`{c}`" for c in Confidence) + ".  The sections and their constants:"
    yield ""
    for section, kind in SECTIONS.items():
        rows = [(f"`{section}.{f.name}`", f.metadata["unit"], f.metadata["doc"]) for f in dataclasses.fields(kind)]
        yield from table(("constant", "unit", ""), rows)
    devices = [load_device(name) for name in device_names()]
    for device in devices:
        yield from (f"## {device.name}", "", f"{device.description}.  Timing: {device.confidence}.", "")
        known = device.constants().items()
        cells = [(f"`{k}`", c.text, unit_of(k), str(c.confidence), c.source) for k, c in known]
        yield from table(("constant", "value", "unit", "confidence", "source"), cells)


# ---- Markdown -----------------------------------------------------------------------------------------------


def prose(docstring: str | None) -> Iterator[str]:
    """A docstring as Markdown: what it indents, and the ▶ in between, goes into a fence."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    for is_code, group in groupby(lines, key=lambda line: line.startswith("    ") or line == "▶"):
        if is_code:
            yield from ("```", *(line.removeprefix("    ") for line in group), "```")
        else:
            yield from group
    yield ""


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table, or nothing if there are no rows."""
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    if lines:
        yield from (f"| {' | '.join(header)} |", "|" + "---|" * len(header), *lines, "")


PAGES = {
    "ops.md": ops_page,
    "passes.md": passes_page,
    "supported_ops.md": supported_page,
    "devices.md": devices_page,
}
"""File name ▶ the lines of the page."""


if __name__ == "__main__":
    sys.exit(main())
