"""Device files: TOML, each constant `{ value, source, confidence }`, one file built on another with `extends`.

name = "AKD1500 at half its clock"
extends = "AKD1500"

[chip]
clock_mhz = { value = 200, source = "my board", confidence = "measured" }
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from cnn2snn_ir.device.tables import SECTIONS, Confidence, Constant, Device, Energy, StatedError
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, fail
from cnn2snn_ir.files import read_text

HOME = "cnn2snn_ir.runtime"
"""The package that has the folder `devices`."""

LONGEST = 1 << 20
MOST_DOTS = 100
"""A key of many parts takes the standard library's reader time with the square of their number."""

DEEPEST = 8
"""Files that may build on each other; more is a circle."""

HEAD = ("name", "generation", "confidence", "description")

Table = dict[str, Any]


def device_names() -> list[str]:
    """The devices that come with the package."""
    return [path.stem for path in _built_in() if not path.stem.startswith("_")]


def load_device(name: str | os.PathLike[str] | Device) -> Device:
    """The device called `name`, or that of a TOML file; raises `CompileError` with all that is wrong with it."""
    if isinstance(name, Device):
        return name
    table = _merged(str(name), 0)
    found = Diagnostics()
    device = _Reader(table, str(name), found).device()
    found.raise_errors(f"{name} is not a device file that can be used")
    assert device is not None
    return device


def _built_in() -> list[Path]:
    folder = Path(str(files(HOME))) / "devices"
    return sorted(folder.glob("*.toml"), key=lambda path: path.stem)


def _merged(name: str, depth: int, beside: Path | None = None) -> Table:
    """The tables of a file, over those of the files that it extends."""
    if depth > DEEPEST:
        raise fail("DEVICE-CIRCLE", "device files extend each other in a circle", where=name)
    path = _path_of(name, beside)
    text = read_text(path)
    if len(text) > LONGEST or any(line.count(".") > MOST_DOTS for line in text.split("\n")):
        allowed = f"{LONGEST} characters, and {MOST_DOTS} dots in a line"
        raise fail("DEVICE-TOML", "the device file is too large, or a key too deep", where=str(path), allowed=allowed)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also integers of thousands of digits
        raise fail("DEVICE-TOML", "the device file is not TOML", where=str(path), found=str(error)[:200]) from None
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise fail("DEVICE-VALUE", "extends names a device or a file", where=str(path), found=repr(base)[:80])
    return _over(_merged(base, depth + 1, path.parent), table)


def _path_of(name: str, beside: Path | None) -> Path:
    known = {path.stem.lower(): path for path in _built_in()}
    if name.lower() in known:
        return known[name.lower()]
    path = Path(name)
    if path.suffix == ".toml":
        return beside / path if beside is not None and not path.is_absolute() else path
    close = difflib.get_close_matches(name, device_names(), 1, 0.4)
    hint = f"did you mean {close[0]}?" if close else "a device of your own is a path that ends in .toml"
    raise fail("DEVICE", "there is no such device", found=name, allowed=", ".join(device_names()), help=hint)


def _over(base: Table, table: Table) -> Table:
    """`table` laid over `base`; a constant replaces a constant as a whole, an empty `energy = false` removes it."""
    merged = dict(base)
    for key, value in table.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "value" not in value
        merged[key] = _over(old, value) if both and isinstance(old, dict) else value
    return merged


class _Reader:
    """Turns tables into a device, and lists everything that is wrong with them."""

    def __init__(self, table: Table, where: str, found: Diagnostics) -> None:
        self.table, self.where, self.found = table, where, found

    def device(self) -> Device | None:
        head = {key: self.text(key) for key in HEAD}
        known = {*HEAD, *SECTIONS, "stated_errors"}
        for key in self.table.keys() - known:
            self.unknown(key, sorted(known))
        sections = {name: self.section(name, kind) for name, kind in SECTIONS.items()}
        errors = tuple(self.stated_errors())
        if head["generation"] not in ("v1", "v2"):
            self.wrong("generation", head["generation"], "v1, v2")
        confidence = self.confidence("confidence", head["confidence"])
        if self.found.errors:
            return None
        return Device(
            head["name"], head["generation"], confidence, head["description"], **sections, stated_errors=errors
        )

    def section(self, name: str, kind: type) -> Any:
        table = self.table.get(name)
        if kind is Energy and (table is None or table is False):
            return None  # a device without data
        if not isinstance(table, dict):
            self.missing(name, "a table")
            return None
        fields = {field.name: field for field in dataclasses.fields(kind)}
        for key in table.keys() - fields.keys():
            self.unknown(f"{name}.{key}", sorted(fields))
        values: dict[str, Any] = {}
        for key, field in fields.items():
            expected: type = field.metadata["kind"]
            entry = table.get(key)
            if entry is None:
                self.missing(f"{name}.{key}", field.metadata["doc"])
            elif expected is dict:
                inner = entry if isinstance(entry, dict) else {}
                values[key] = {k: self.constant(f"{name}.{key}.{k}", v, float) for k, v in inner.items()}
            else:
                values[key] = self.constant(f"{name}.{key}", entry, expected)
        return None if self.found.errors else kind(**values)

    def constant(self, name: str, entry: Any, kind: type) -> Constant:
        if not isinstance(entry, dict) or entry.keys() != {"value", "source", "confidence"}:
            self.wrong(name, entry, '{ value = …, source = "…", confidence = "…" }')
            return Constant(0, "", Confidence.ASSUMED)
        value = entry["value"]
        if isinstance(value, list):
            value = tuple(value)
        if fault := value_fault(value, kind):
            self.wrong(name, entry["value"], fault)
        if not isinstance(entry["source"], str) or not entry["source"].strip():
            self.wrong(f"{name}.source", entry["source"], "a sentence that says where the value is from")
        return Constant(value, str(entry["source"]), self.confidence(f"{name}.confidence", entry["confidence"]))

    def confidence(self, name: str, text: Any) -> Confidence:
        if text not in list(Confidence):
            self.wrong(name, text, ", ".join(Confidence))
            return Confidence.ASSUMED
        return Confidence(text)

    def stated_errors(self) -> Iterator[StatedError]:
        fields = {"what": str, "rows": int, "mean_percent": float, "max_percent": float}
        entries = self.table.get("stated_errors", [])
        if not isinstance(entries, list):
            self.wrong("stated_errors", entries, "an array of tables")
            return
        for entry in entries:
            whole = isinstance(entry, Mapping) and entry.keys() == fields.keys()
            if not whole or any(value_fault(entry[key], kind) for key, kind in fields.items()):
                self.wrong("stated_errors", entry, ", ".join(fields))
            else:
                yield StatedError(**entry)

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or not value:
            self.wrong(key, value, "a text")
            return ""
        return value

    def missing(self, name: str, allowed: str) -> None:
        self.found.add(Diagnostic("DEVICE-MISSING", f"{name} is missing", where=self.where, allowed=allowed))

    def unknown(self, name: str, known: list[str]) -> None:
        close = difflib.get_close_matches(name.rpartition(".")[2], known, 1)
        hint = f"did you mean {close[0]}?" if close else ""
        message = f"a device has no {name}"
        self.found.add(Diagnostic("DEVICE-UNKNOWN", message, where=self.where, allowed=", ".join(known), help=hint))

    def wrong(self, name: str, value: Any, allowed: str) -> None:
        message = f"{name} cannot be used"
        self.found.add(Diagnostic("DEVICE-VALUE", message, where=self.where, found=repr(value)[:80], allowed=allowed))


def value_fault(value: Any, kind: type) -> str:
    """What `kind` of value is wanted; empty if `value` is one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind.__name__:
        case "bool":
            return "" if isinstance(value, bool) else "true or false"
        case "int":
            return "" if number and isinstance(value, int) and 0 < value < 1 << 40 else "a positive integer"
        case "float":
            return "" if number and 0 <= value < 1e15 else "a number, not negative"
        case "str":
            return "" if isinstance(value, str) else "a text"
        case _:
            fine = isinstance(value, tuple) and value and all(isinstance(v, int | float) and v >= 0 for v in value)
            return "" if fine else "a list of numbers"
