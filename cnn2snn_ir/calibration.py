"""Calibration, under the module name of the legacy API."""

from cnn2snn_ir.keras.calibration import (
    QuantizationSampler,
    activations_rescaling,
    adaround,
    bias_correction,
    next_activation,
)

__all__ = ["QuantizationSampler", "activations_rescaling", "adaround", "bias_correction", "next_activation"]
