"""Place a program on a device: layers into sequences and passes, each with the NPs that work on it.

    %conv_1 = akida1.convolutional %conv_0, …
▶
    %1 = npu.sequence "hw_0" {unit = hardware} {
      %0 = npu.pass {index = 0, nps = 4, reload_bytes = 9216} {
        %conv_1 = akida1.convolutional %conv_0, …
        npu.assign %conv_1 {unit = cnp, np = 0, rows = [0, 28], halo = [0, 1], filters = [0, 32], …}

Preconditions: the layers of one generation.  Contract: exact; what is computed does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnn2snn_ir.backends.mapping.lower import lower
from cnn2snn_ir.backends.mapping.mapper import map_program
from cnn2snn_ir.backends.mapping.modes import MapMode
from cnn2snn_ir.device import load_device
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.ir import Op
from cnn2snn_ir.passes.base import Pass, PassContext, option


@dataclass(frozen=True)
class PlaceOnDevice(Pass):
    """Give every layer its sequence, its pass and its NPs."""

    name = "place-on-device"
    ensures = Level.NPU

    device: str = option("AKD1500", "name of the device, or a device file")
    mode: MapMode = option(MapMode.ALL_NPS, "how many NPs the program gets")
    hw_only: bool = option(False, "refuse what the host would have to compute")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, Module)
        placed = lower(map_program(op, load_device(self.device), self.mode, hw_only=self.hw_only))
        op.body.clear()
        for inner in list(placed.body):
            placed.body.remove(inner)
            op.body.append(inner)
        return True
