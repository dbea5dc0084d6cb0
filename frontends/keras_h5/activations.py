"""Keras's activations by name, and the ops that they become.

Source: the documentation of `keras.activations`; checked against Keras by `tests/frontends/test_float_keras.py`.
"""

from __future__ import annotations

from typing import Any

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.frontends.keras_h5.importer import Importer, UnsupportedLayerError
from cnn2snn_ir.ir import Value

BOUNDS: dict[str, float | None] = {"relu": None, "relu6": 6.0}
"""Rectifiers, and their upper bounds."""

FUNCTIONS: dict[str, tuple[Function, float | None]] = {
    "sigmoid": (Function.SIGMOID, None),
    "tanh": (Function.TANH, None),
    "gelu": (Function.GELU, None),
    "swish": (Function.SWISH, None),
    "silu": (Function.SWISH, None),
    "hard_swish": (Function.HARD_SWISH, None),
    "hard_silu": (Function.HARD_SWISH, None),
    "hard_sigmoid": (Function.HARD_SIGMOID, 1 / 6),
    "leaky_relu": (Function.LEAKY_RELU, 0.2),
    "elu": (Function.ELU, 1.0),
    "softplus": (Function.SOFTPLUS, None),
    "softsign": (Function.SOFTSIGN, None),
    "mish": (Function.MISH, None),
}
"""Functions, and the parameter that the name alone stands for."""

HARD_SIGMOID_OF_KERAS_2 = 0.2
"""Keras 3 changed the slope to 1/6."""


def apply(imp: Importer, activation: Any, x: Value) -> Value:
    """An activation as configurations state it: a name, nothing, or a function that Keras describes by its name."""
    name = name_of(activation)
    if name == "linear":
        return x
    if name == "softmax":
        return imp.emit(nn.Softmax(x, x.type.rank - 1))
    if name in BOUNDS:
        return imp.emit(nn.ReLU(x, BOUNDS[name]))
    if name not in FUNCTIONS:
        allowed = ", ".join(["linear", "softmax", *BOUNDS, *FUNCTIONS])
        raise UnsupportedLayerError(f"the host does not compute {name}", allowed=allowed, code="KERAS-FLOAT-LAYER")
    function, alpha = FUNCTIONS[name]
    if function is Function.HARD_SIGMOID and imp.archive.keras_version.startswith(("1.", "2.")):
        alpha = HARD_SIGMOID_OF_KERAS_2
    return imp.emit(nn.Activation(x, function, alpha))


def name_of(activation: Any) -> str:
    """The name in an activation's configuration."""
    if isinstance(activation, dict):
        config = activation.get("config")
        return config if isinstance(config, str) else str(activation.get("class_name"))
    return "linear" if activation is None else str(activation)
