"""How far the timing and energy model is from published measurements of the chips, row by row.

    python -m benchmarks.silicon               the calibration, and the validation on other rows
    python -m benchmarks.silicon --quick       mapping, timing and energy of the validation rows only, no fit

Calibration and validation share no row.

    calibration   the vendor's constants; layers of AkidaNet 0.5/224 and KWS, minimal; layers of AkidaNet 1.0/160,
                  minimal (new weights and external weights); dynamic energy of AkidaNet 0.25/224, 0.5/224 and 1.0/160;
                  NP counts of every other row of the zoo
    validation    layers of the other models; totals of all single-pass and multi-pass maps but that one; AKD1000;
                  dynamic energy of the other models; NP counts of the other rows of the zoo

Per-layer densities are the published ones: the input sparsity of a layer is the output sparsity of the one before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from benchmarks.published import Layer, Run, layers_of, runs, zoo
from benchmarks.zoo import build
from cnn2snn_ir.backends.mapping import Mapping, map_program
from cnn2snn_ir.device import Device, load_device
from cnn2snn_ir.device.tables import StatedError
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.timing.activity import assumed
from cnn2snn_ir.runtime.timing.result import Simulation
from cnn2snn_ir.runtime.timing.simulate import simulate

TIMED = ("akidanet_0.5_224", "kws_12")
"""Networks whose layers calibrate the event path."""

RELOADED = "akidanet_1.0_160"
"""The network whose later passes, in minimal, calibrate new weights and external weights."""

CHARGED = ("akidanet_0.25_224", "akidanet_0.5_224", "akidanet_1.0_160")
"""Networks whose dynamic energy calibrates that."""

LIMITS = {
    "layers": 6.0,
    "single pass": 5.0,
    "all-nps": 10.0,
    "several passes": 15.0,
    "AKD1000": 10.0,
    "batch": 15.0,
    "energy": 8.0,
}
"""What the project wants, in percent."""


@dataclass(frozen=True)
class Row:
    """One published number beside ours."""

    group: str
    what: str
    published: float
    ours: float
    calibration: bool

    @property
    def error(self) -> float:
        """Signed, in percent."""
        return 100 * (self.ours / self.published - 1)


@cache
def module(network: str) -> object:
    """A network of the table; weights do not matter here, only their number."""
    return build(network)
