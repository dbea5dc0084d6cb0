"""Calibration, under the module name of the legacy API."""

from cnn2snn_ir.keras.calibration import *  # noqa: F403
from cnn2snn_ir.keras.calibration import __all__ as __all__
