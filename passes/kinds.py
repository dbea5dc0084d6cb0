"""What kind of model a frontend has imported; it decides how the way to a program begins."""

from __future__ import annotations

from enum import Enum

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level, is_at


class Kind(Enum):
    """How far a model is on its way from reals to integers."""

    INTEGER = "integers"
    """Integers already (`qnn`)."""
    LEGACY = "legacy"
    """Quantized by the legacy API: integer weights, activations with few levels; for Akida 1."""
    ON_THE_FLY = "on the fly"
    """Reals that are quantized where a `nn.fake_quantize` stands."""
    FLOAT = "float"
    """Nothing is quantized."""


def kind_of(module: Module) -> Kind:
    """The kind of a module as imported."""
    if not is_at(module, Level.NN):
        return Kind.INTEGER
    if any(isinstance(op, nn.FakeQuantize) for op in module.body):
        return Kind.ON_THE_FLY
    quantized = any(isinstance(op, nn.QuantizedReLU) or op.attributes.get("weight_scale") for op in module.body)
    return Kind.LEGACY if quantized else Kind.FLOAT


def is_legacy(module: Module) -> bool:
    """True for a module as imported from a legacy model."""
    return kind_of(module) is Kind.LEGACY


def not_quantized(module: Module) -> CompileError:
    """The error for a float model, where a quantized one is needed."""
    return fail(
        "MODEL-FLOAT",
        "the model is not quantized",
        where=str(module.annotations.get("source", module.sym_name)),
        found=f"{len(module.body)} operations on floats",
        allowed="a model quantized by QuantizeML, or one with QuantizeLinear, QLinear… or Quant nodes",
        help="quantize it first: cnn2snn quantize-float MODEL --samples SAMPLES.npz",
    )
