"""Quantization of models, under the name of the module that scripts import it from."""

from cnn2snn_ir.keras.quantize import quantize, quantize_layer

__all__ = ["quantize", "quantize_layer"]
