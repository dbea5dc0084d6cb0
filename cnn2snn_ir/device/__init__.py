"""Devices: what a chip has, what its layers cost, and how sure that is.  The numbers are in TOML files."""

from cnn2snn_ir.device.files import device_names, load_device
from cnn2snn_ir.device.tables import Confidence, Constant, Device

__all__ = ["Confidence", "Constant", "Device", "device_names", "load_device"]
