"""Small networks of every dialect: seeds of the text form and of programs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from generators.networks import deciding, recurrent

from cnn2snn_ir.api import convert
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.frontends import load_float_model, load_model

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

MODELS = ("layers/mlp_i8.h5", "onnx/vectors_s8.onnx", "onnx/floored_u8.onnx", "quantizeml/named_stages_i8_w8_a8.h5")
FLOAT_MODELS = ("float_layers/line.h5", "onnx_standard/float.onnx")


@cache
def networks() -> tuple[builtin.Module, ...]:
    """Modules as imported, and those that can be lowered also as hardware layers."""
    imported = [load_model(FIXTURES / name) for name in MODELS]
    lowered = [convert(FIXTURES / name, validate=False).module for name in MODELS]
    floats = [load_float_model(FIXTURES / name) for name in FLOAT_MODELS]
    return (*imported, *lowered, *floats, deciding(), recurrent())
