"""The weight quantizers, under the name of the module that scripts import them from."""

from cnn2snn_ir.keras.quantizers import (
    LinearWeightQuantizer,
    MaxPerAxisQuantizer,
    MaxQuantizer,
    StdPerAxisQuantizer,
    StdWeightQuantizer,
    WeightQuantizer,
    get,
)

__all__ = [
    "LinearWeightQuantizer",
    "MaxPerAxisQuantizer",
    "MaxQuantizer",
    "StdPerAxisQuantizer",
    "StdWeightQuantizer",
    "WeightQuantizer",
    "get",
]
