"""Calibration: better quantized models from samples, without training.

All functions give a new model back and leave their argument as it is.
"""

from cnn2snn_ir.keras.calibration.adaround import adaround
from cnn2snn_ir.keras.calibration.bias import bias_correction
from cnn2snn_ir.keras.calibration.rescaling import activations_rescaling
from cnn2snn_ir.keras.calibration.sampler import QuantizationSampler, next_activation

__all__ = ["QuantizationSampler", "activations_rescaling", "adaround", "bias_correction", "next_activation"]
