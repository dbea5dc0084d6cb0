"""Instruments: what happens around passes.  Printing, timing, checking, validating, reproducing."""

from cnn2snn_ir.passes.instruments.base import Instrument, PassFaultError, PassRun
from cnn2snn_ir.passes.instruments.measuring import Statistics, Timing
from cnn2snn_ir.passes.instruments.printing import DumpTree, PrintAfterFailure, PrintIR
from cnn2snn_ir.passes.instruments.reproducer import Reproducer, read_reproducer
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
    "read_reproducer",
]
