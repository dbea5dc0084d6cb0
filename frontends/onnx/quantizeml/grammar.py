"""The names of QuantizeML's operators: a base, and suffixes in a fixed order that say what the layer also computes.

    QuantizedConv2DBiasedMaxPoolReLUScaled = QuantizedConv2D, Biased, MaxPool, ReLU, Scaled

The order of the suffixes is not that of the computation: pad, convolve, bias, MaxPool, LUT or ReLU, global average,
rescale.  Source: QuantizeML 1.2.5 (Apache-2.0), restated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from cnn2snn_ir.diagnostics import fail

Choices = tuple[str, ...]

NO: Choices = ("",)
ALWAYS_BIASED: Choices = ("Biased",)
MAY_BIASED: Choices = ("", "Biased")
ALWAYS_SCALED: Choices = ("Scaled",)
MAY_SCALED: Choices = ("", "Scaled")
POOLS: Choices = ("", "MaxPool", "GlobalAvgPool")
RECTIFIERS: Choices = ("", "ReLU", "ReLUClipped")
ACTIVATIONS: Choices = (*RECTIFIERS, "LUT")


class Base(NamedTuple):
    """What may follow a base name, place by place; and the attributes of every operator with that base."""

    flatten: Choices = NO
    bias: Choices = NO
    pool: Choices = NO
    activation: Choices = NO
    scale: Choices = NO
    attributes: Choices = ()

    @property
    def places(self) -> tuple[Choices, ...]:
        """The choices in the order of the name."""
        return self[:5]


FIFO = ("fifo_name", "fifo_size", "model_id")

BASES = {
    "InputQuantizer": Base(attributes=("perm",)),
    "Dequantizer": Base(),
    "QuantizedInputConv2D": Base(NO, ALWAYS_BIASED, POOLS, ACTIVATIONS, ALWAYS_SCALED, ("strides",)),
    "QuantizedConv2D": Base(NO, MAY_BIASED, POOLS, ACTIVATIONS, ALWAYS_SCALED, ("strides",)),
    "QuantizedDepthwise2D": Base(NO, MAY_BIASED, POOLS, ACTIVATIONS, ALWAYS_SCALED, ("strides", "groups")),
    "QuantizedConv2DTranspose": Base(NO, MAY_BIASED, NO, ACTIVATIONS, ALWAYS_SCALED, ("strides", "pads")),
    "QuantizedDepthwise2DTranspose": Base(
        NO, MAY_BIASED, NO, ACTIVATIONS, ALWAYS_SCALED, ("strides", "pads", "groups")
    ),
    "QuantizedDense1D": Base(("", "Flatten"), MAY_BIASED, NO, RECTIFIERS, MAY_SCALED),
    "QuantizedAdd": Base(scale=MAY_SCALED),
    "QuantizedConcat": Base(),
    "QuantizedBufferTempConv": Base(NO, MAY_BIASED, NO, RECTIFIERS, ALWAYS_SCALED, FIFO),
    "QuantizedDepthwiseBufferTempConv": Base(NO, ALWAYS_BIASED, NO, RECTIFIERS, ALWAYS_SCALED, FIFO),
}
"""The whole vocabulary.  A `Dequantizer` of several tensors has their number behind its name."""

POOL_ATTRIBUTES = ("pool_size", "pool_strides", "pool_pads")
SCALE = "scale"
"""An attribute that every node may have: the integers a unit of its output, which no function reads."""


class OpName(NamedTuple):
    """An operator's name, taken apart; places that it leaves out are empty."""

    base: str
    flatten: str = ""
    bias: str = ""
    pool: str = ""
    activation: str = ""
    scale: str = ""
    tensors: int = 1

    @property
    def attributes(self) -> set[str]:
        """The attributes of its function."""
        pooled = POOL_ATTRIBUTES if self.pool == "MaxPool" else ()
        return {*BASES[self.base].attributes, *pooled}

    @property
    def depthwise(self) -> bool:
        """True for layers that treat channels apart."""
        return self.base.startswith("QuantizedDepthwise")


def taken_apart(base: str) -> Iterator[tuple[str, OpName]]:
    """The legal names with a base, and what they say."""
    for flatten, bias, pool, activation, scale in product(*BASES[base].places):
        spelled = f"{base}{flatten}{bias}{pool}{activation}{scale}"
        yield spelled, OpName(base, flatten, bias, pool, activation, scale)


NAMES = {spelled: name for base in BASES for spelled, name in taken_apart(base)}
"""Every legal name, but for dequantizers of several tensors."""

DEQUANTIZERS = re.compile(r"Dequantizer([2-9]|[1-9][0-9])")


def parse_name(name: str, where: str) -> OpName:
    """A name taken apart; raises `CompileError` that tells what is legal."""
    if name in NAMES:
        return NAMES[name]
    if several := DEQUANTIZERS.fullmatch(name):
        return OpName("Dequantizer", tensors=int(several[1]))
    raise fail("QML-NAME", "QuantizeML has no such operator", where=where, found=name, allowed=legal_names(name))


def legal_names(name: str) -> str:
    """What the name could be: the suffixes of its base, or the bases."""
    base = max((b for b in BASES if name.startswith(b)), key=len, default="")
    places = [
        " or ".join(c or "nothing" for c in choices) for choices in BASES.get(base, Base()).places if any(choices)
    ]
    return f"{base}, then {'; '.join(places)}" if places else ", ".join(BASES)
