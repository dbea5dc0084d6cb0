"""cnn2snn-ir: a compiler from quantized CNNs to BrainChip Akida programs, and a simulator that runs them.

    import cnn2snn_ir

    model = cnn2snn_ir.convert("model_i8_w8_a8.h5")
    logits = model.predict(images)
    model.save("model.fbz")

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn2snn_ir.version import __version__

if TYPE_CHECKING:
    from cnn2snn_ir.api import convert, load
    from cnn2snn_ir.device import Device, device_names, load_device
    from cnn2snn_ir.diagnostics import CompileError
    from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedActivation, QuantizedReLU
    from cnn2snn_ir.keras.layers import (
        QuantizedConv2D,
        QuantizedDense,
        QuantizedDepthwiseConv2D,
        QuantizedSeparableConv2D,
    )
    from cnn2snn_ir.keras.objects import cnn2snn_objects, load_quantized_model
    from cnn2snn_ir.keras.quantize import quantize, quantize_layer
    from cnn2snn_ir.keras.quantizers import (
        MaxPerAxisQuantizer,
        MaxQuantizer,
        StdPerAxisQuantizer,
        StdWeightQuantizer,
    )
    from cnn2snn_ir.post_training import check_model_compatibility, quantize_float
    from cnn2snn_ir.runtime.model import Model
    from cnn2snn_ir.versions import AkidaVersion, get_akida_version, set_akida_version

__all__ = [
    "ActivationDiscreteRelu",
    "AkidaVersion",
    "CompileError",
    "Device",
    "MaxPerAxisQuantizer",
    "MaxQuantizer",
    "Model",
    "QuantizedActivation",
    "QuantizedConv2D",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "QuantizedReLU",
    "QuantizedSeparableConv2D",
    "StdPerAxisQuantizer",
    "StdWeightQuantizer",
    "__version__",
    "check_model_compatibility",
    "cnn2snn_objects",
    "convert",
    "device_names",
    "get_akida_version",
    "load",
    "load_device",
    "load_quantized_model",
    "quantize",
    "quantize_float",
    "quantize_layer",
    "set_akida_version",
]

# In a checkout the sub-packages lie beside this folder.  Python started there finds this folder before an
# installed package, so it must find them too.
_CHECKOUT = Path(__file__).parent.parent
if (_CHECKOUT / "pyproject.toml").is_file():
    __path__.append(str(_CHECKOUT))

_HOMES = {
    "convert": "cnn2snn_ir.api",
    "load": "cnn2snn_ir.api",
    "check_model_compatibility": "cnn2snn_ir.post_training",
    "quantize_float": "cnn2snn_ir.post_training",
    "CompileError": "cnn2snn_ir.diagnostics",
    "Device": "cnn2snn_ir.device",
    "device_names": "cnn2snn_ir.device",
    "load_device": "cnn2snn_ir.device",
    "Model": "cnn2snn_ir.runtime.model",
    "AkidaVersion": "cnn2snn_ir.versions",
    "get_akida_version": "cnn2snn_ir.versions",
    "set_akida_version": "cnn2snn_ir.versions",
    "cnn2snn_objects": "cnn2snn_ir.keras.objects",
    "load_quantized_model": "cnn2snn_ir.keras.objects",
    "MaxPerAxisQuantizer": "cnn2snn_ir.keras.quantizers",
    "MaxQuantizer": "cnn2snn_ir.keras.quantizers",
    "StdPerAxisQuantizer": "cnn2snn_ir.keras.quantizers",
    "StdWeightQuantizer": "cnn2snn_ir.keras.quantizers",
    "QuantizedConv2D": "cnn2snn_ir.keras.layers",
    "QuantizedDense": "cnn2snn_ir.keras.layers",
    "QuantizedDepthwiseConv2D": "cnn2snn_ir.keras.layers",
    "QuantizedSeparableConv2D": "cnn2snn_ir.keras.layers",
    "ActivationDiscreteRelu": "cnn2snn_ir.keras.activations",
    "QuantizedActivation": "cnn2snn_ir.keras.activations",
    "QuantizedReLU": "cnn2snn_ir.keras.activations",
    "quantize": "cnn2snn_ir.keras.quantize",
    "quantize_layer": "cnn2snn_ir.keras.quantize",
}
"""Public name ▶ the module that has it; those under `keras` need the extra of that name."""

_LEGACY_MODULES = ("calibration", "compatibility_checks", "quantization", "transforms")
"""Modules of the legacy API that its scripts use without importing them: `cnn2snn.transforms.sequentialize`."""


def __getattr__(name: str) -> Any:
    if name in _LEGACY_MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
