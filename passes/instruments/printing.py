"""Instruments that show the IR: to a stream, or as files in a folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.text import print_module


@dataclass
class PrintIR(Instrument):
    """Prints the module before and after the passes asked for."""

    stream: TextIO
    before: Collection[str] = ()
    after: Collection[str] = ()
    before_all: bool = False
    after_all: bool = False
    after_change: bool = False
    diff: bool = False
    generic: bool = False
    locations: bool = False
    _text: str = field(default="", init=False)

    def before_pass(self, run: PassRun) -> None:
        self._text = self._print(run) if self.after_change or self.diff else ""
        if self.before_all or run.pass_.name in self.before:
            self._show(f"before {run}", self._print(run))

    def after_pass(self, run: PassRun) -> None:
        wanted = self.after_all or run.pass_.name in self.after
        if not (wanted or self.after_change or self.diff):
            return
        text = self._print(run)
        if self.diff and text != self._text:
            changes = difflib.unified_diff(
                self._text.splitlines(keepends=True), text.splitlines(keepends=True), "before", "after"
            )
            self._show(f"changed by {run}", "".join(changes))
        if wanted or (self.after_change and text != self._text):
            self._show(f"after {run}", text)

    def _print(self, run: PassRun) -> str:
        return print_module(run.module, generic=self.generic, locations=self.locations)

    def _show(self, title: str, text: str) -> None:
        self.stream.write(f"// ----- IR {title} ----- //\n{text}")


@dataclass
class PrintAfterFailure(Instrument):
    """Prints the module in its generic form when the compiler fails: a custom form may trip over broken IR."""

    stream: TextIO

    def on_failure(self, run: PassRun, error: Exception) -> None:
        if isinstance(error, CompileError) and not isinstance(error, PassFaultError):
            return  # the user's problem: the IR is fine
        try:
            text = print_module(run.module, generic=True, locations=True)
        except Exception as broken:  # printing is a courtesy here; the failure itself must get through
            text = f"// the IR cannot be printed: {type(broken).__name__}: {broken}\n"
        self.stream.write(f"// ----- IR after the failure of {run} ----- //\n{text}")


_DUMP = re.compile(r"[0-9]{3,}_[a-z0-9-]+\.c2s\Z")


class DumpTree(Instrument):
    """Writes `000_canonicalize.c2s`, `001_…`: the module after every pass.

    Old dumps in the folder are removed; a folder that holds anything else is not touched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            old = sorted(folder.iterdir())
            if strangers := [p.name for p in old if not _DUMP.match(p.name)]:
                raise fail(
                    "DUMP-FOLDER",
                    "the folder for dumps holds other files",
                    where=str(folder),
                    found=", ".join(strangers[:3]),
                    help="name a new or an empty folder",
                )
            for path in old:
                path.unlink()
        except OSError as error:
            raise fail("DUMP-FOLDER", "cannot use the folder", where=str(folder), found=str(error.strerror)) from None

    def after_pass(self, run: PassRun) -> None:
        path = self.folder / f"{run.index:03}_{run.pass_.name}.c2s"
        atomic_write(path, f"// after {run}\n{print_module(run.module)}".encode())
