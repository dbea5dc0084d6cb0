"""Instruments: what happens around passes.  Printing, timing, checking, validating, reproducing.

Each is imported when it is first used: verifying is all that an ordinary conversion needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
    from cnn2snn_ir.passes.instruments.measuring import Statistics, Timing
    from cnn2snn_ir.passes.instruments.printing import DumpTree, PrintAfterFailure, PrintIR
    from cnn2snn_ir.passes.instruments.reproducer import Reproducer, read_reproducer
    from cnn2snn_ir.passes.instruments.trying import WholeTrial
    from cnn2snn_ir.passes.instruments.validating import ValidateEach
    from cnn2snn_ir.passes.instruments.verifying import CheckChanged, VerifyEach, VerifyRoundTrip

__all__ = [
    "CheckChanged",
    "DumpTree",
    "Instrument",
    "PassFaultError",
    "PassRun",
    "PrintAfterFailure",
    "PrintIR",
    "Reproducer",
    "Statistics",
    "Timing",
    "ValidateEach",
    "VerifyEach",
    "VerifyRoundTrip",
    "WholeTrial",
    "read_reproducer",
]

_HOMES = {
    "base": ("Instrument", "PassFaultError", "PassRun"),
    "measuring": ("Statistics", "Timing"),
    "printing": ("DumpTree", "PrintAfterFailure", "PrintIR"),
    "reproducer": ("Reproducer", "read_reproducer"),
    "trying": ("WholeTrial",),
    "validating": ("ValidateEach",),
    "verifying": ("CheckChanged", "VerifyEach", "VerifyRoundTrip"),
}


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
