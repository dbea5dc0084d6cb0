"""The quantized layers and activations, under the name of the module that scripts import them from."""

from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedActivation, QuantizedReLU
from cnn2snn_ir.keras.layers import (
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedSeparableConv2D,
)

__all__ = [
    "ActivationDiscreteRelu",
    "QuantizedActivation",
    "QuantizedConv2D",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "QuantizedReLU",
    "QuantizedSeparableConv2D",
]
