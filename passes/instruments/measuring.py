"""Instruments that measure: time a pass, and what its rules did."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.instruments.base import Instrument, PassRun


@dataclass
class Timing(Instrument):
    """Wall time by pass, in the order in which they ran first."""

    stream: TextIO
    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    _start: float = 0.0

    def before_pass(self, run: PassRun) -> None:
        self._start = time.perf_counter()

    def after_pass(self, run: PassRun) -> None:
        name = run.pass_.name
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - self._start
        self.runs[name] = self.runs.get(name, 0) + 1

    def finish(self, context: PassContext) -> None:
        total = sum(self.seconds.values())
        self.stream.write("// ----- timing ----- //\n")
        for name, seconds in self.seconds.items():
            share = 100 * seconds / total if total else 0.0
            self.stream.write(f"{seconds * 1e3:10.2f} ms  {share:5.1f} %  {self.runs[name]:5} x  {name}\n")
        self.stream.write(f"{total * 1e3:10.2f} ms  in all\n")


@dataclass
class Statistics(Instrument):
    """The counters of the context (hits by rule), and the rewrites that legality needs and that did not fire."""

    stream: TextIO

    def finish(self, context: PassContext) -> None:
        self.stream.write("// ----- statistics ----- //\n")
        for name, count in context.statistics.items():
            self.stream.write(f"{count:8} x  {name}\n")
        for what, reason in context.why_not.items():
            self.stream.write(f"  not done  {what}: {reason}\n")
