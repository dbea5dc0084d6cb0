"""What a layer costs in energy: clocks of events, of the input engine and of new weights, and the floor meanwhile.

Fitted to published dynamic energies of one chip; docs/simulator.md has the fit and its errors.
"""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.backends.mapping import PlacedLayer
from cnn2snn_ir.device.tables import Energy
from cnn2snn_ir.dialects.npu import Unit
from cnn2snn_ir.runtime.timing.result import LayerEnergy

PICO = 1e-6
"""Picojoule in microjoules."""


def layer_energy(
    layer: PlacedLayer, energy: Energy, clock_hz: float, event_clocks: float, reload_clocks: float, clocks: float
) -> LayerEnergy:
    """Microjoules of a frame.  `event_clocks` are those of all units together, `clocks` the layer's time."""
    engine = layer.unit is Unit.HRC
    working = 0.0 if layer.unit is Unit.DMA else event_clocks
    return LayerEnergy(
        events=0.0 if engine else working * energy.event.number * weight_factor(layer, energy) * PICO,
        input_engine=working * energy.input_engine.number * PICO if engine else 0.0,
        reload=reload_clocks * energy.reload.number * PICO,
        floor=energy.floor_mw.number * 1e3 * clocks / clock_hz,
    )


def weight_factor(layer: PlacedLayer, energy: Energy) -> float:
    """Energy of an event in relation to weights as trained nets have them: zeros cost less, though not less time."""
    share = 100 * layer.work.nonzero_weights
    return float(np.interp(share, energy.nonzero_weights.value, energy.nonzero_energy.value)) / 100
