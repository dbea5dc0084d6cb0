"""Quantization schemes: how many bits a value gets, and where."""

from __future__ import annotations

from typing import NamedTuple

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.ir import ElementType, si, ui

BYTE, INDEX = si(8), si(11)
"""The widest output of a layer of Akida 2, and the index of its table; source: QuantizeML 1.2.5."""


class Scheme(NamedTuple):
    """Bits of the first layer's weights, of the others', and of activations."""

    name: str
    input_weight_bits: int
    weight_bits: int
    activation_bits: int
    per_tensor: bool = False
    """One scale for all filters of a layer."""
    neurons: bool = False
    """Akida 1: a neuron is a separable convolution, and averages before it rectifies."""

    def activation(self, positive: bool) -> ElementType:
        """The integers of an activation: signed bytes, and of fewer bits unsigned ones where nothing is negative."""
        unsigned = positive and self.activation_bits < 8
        return ui(self.activation_bits) if unsigned else si(self.activation_bits)


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("8/8/8", 8, 8, 8),
        Scheme("8/4/8", 8, 4, 8),
        Scheme("8/4/4", 8, 4, 4),
        Scheme("akida1", 8, 4, 4, per_tensor=True, neurons=True),
    )
}
"""By name: bits of the first weights, of other weights, of activations.  Source of the choice: QuantizeML 1.2.5."""

SHORT = {"8": "8/8/8", "4": "8/4/4", "8/8": "8/8/8", "4/4": "8/4/4", "v1": "akida1"}
"""Other names that people use."""


def scheme_named(name: str) -> Scheme:
    """A scheme by one of its names; raises `CompileError` for others."""
    found = SCHEMES.get(SHORT.get(name, name))
    if found is None:
        raise fail("QUANTIZE-SCHEME", "there is no such quantization scheme", found=name, allowed=", ".join(SCHEMES))
    return found
