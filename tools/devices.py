"""`cnn2snn devices`: the devices that are known, and what is known of one, with sources."""

from __future__ import annotations

from cnn2snn_ir.device import device_names, load_device
from cnn2snn_ir.device.tables import unit_of
from cnn2snn_ir.runtime.model import table


def listing() -> str:
    """A line for each device."""
    rows = [("device", "Akida", "NPs", "clock", "passes", "energy", "timing", "")]
    for name in device_names():
        device = load_device(name)
        rows.append(
            (
                device.name,
                device.generation,
                str(device.nps),
                f"{device.chip.clock_mhz.value} MHz",
                "several" if device.chip.multi_pass.value else "one",
                "yes" if device.energy is not None else "no data",
                str(device.confidence),
                device.description,
            )
        )
    return table(rows)


def describe(name: str) -> str:
    """Every constant of a device."""
    device = load_device(name)
    rows = [("constant", "value", "unit", "confidence", "source")]
    for key, entry in device.constants().items():
        rows.append((key, entry.text, unit_of(key), str(entry.confidence), entry.source))
    errors = [
        f"{e.what}: {e.mean_percent:.1f} % mean, {e.max_percent:.1f} % at most, {e.rows} rows"
        for e in device.stated_errors
    ]
    return "\n".join([f"{device.name}: {device.description}", *errors, "", table(rows)])
