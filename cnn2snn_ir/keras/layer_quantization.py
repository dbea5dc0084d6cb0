"""Quantization of single layers: which class becomes which, what is refused, and what is left in float."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedActivation, QuantizedReLU
from cnn2snn_ir.keras.graph import Graph, Node
from cnn2snn_ir.keras.layers import QuantizedConv2D, QuantizedDense, QuantizedLayer, QuantizedSeparableConv2D
from cnn2snn_ir.keras.quantizers import MaxPerAxisQuantizer, MaxQuantizer, WeightQuantizer

QuantizerFunction = Callable[[Any, WeightQuantizer], WeightQuantizer]
"""(float layer, default quantizer) ▶ the quantizer to use."""

WEIGHT_BITS = (2, 4, 8)
ACTIVATION_BITS = (1, 2, 4)
"""What converters to Akida 1 take: cnn2snn 2.19.3 (Apache-2.0), restated."""

QUANTIZED: dict[type[Any], type[Any]] = {
    keras.layers.Conv2D: QuantizedConv2D,
    keras.layers.SeparableConv2D: QuantizedSeparableConv2D,
    keras.layers.Dense: QuantizedDense,
}
"""Float layer, exactly of this class ▶ what becomes of it."""

DEFAULT_QUANTIZERS: dict[str, type[WeightQuantizer]] = {"quantizer": MaxPerAxisQuantizer, "quantizer_dw": MaxQuantizer}
"""Attribute of the quantized layer ▶ its quantizer, unless the user gives another."""


def is_neural(node: Node) -> bool:
    """Does the layer have weights that can be quantized, or are?"""
    return node.content.kind in QUANTIZED or node.holds(QuantizedLayer)


def is_activation(node: Node) -> bool:
    """Is it an activation that can be quantized, or is?"""
    return is_plain_relu(node) or node.holds(QuantizedActivation)


def is_plain_relu(node: Node) -> bool:
    """A ReLU that begins at 0."""
    return node.content.kind is keras.layers.ReLU and not node.content.config["threshold"]


# ---- what cannot be -------------------------------------------------------------------------------------------------


def width_problems(
    argument: str, bits: Any, legal: tuple[int, ...], nodes: Iterable[Node], may_be_float: bool = True
) -> Iterator[Diagnostic]:
    """An argument that is no legal number of bits; `nodes` are the layers that would get it."""
    if bits in legal or (may_be_float and bits == 0):
        return
    names = ", ".join(node.content.name for node in nodes)
    yield Diagnostic(
        "QUANT-BITS",
        f"{'activations' if legal is ACTIVATION_BITS else 'weights'} cannot have this number of bits",
        where=argument,
        found=f"{bits!r}" + (f" for {names}" if names else ""),
        allowed=", ".join(map(str, legal)) + (", or 0 to leave floats as they are" if may_be_float else ""),
    )


def argument_problems(node: Node, bits: int) -> Iterator[Diagnostic]:
    """What keeps a layer from being quantized to so many bits, or, with 0 bits, from being left alone."""
    if node.holds(QuantizedLayer, QuantizedActivation):
        if bits == 0:
            yield Diagnostic(
                "QUANT-BITS",
                "the layer is quantized already; 0 bits leave only float layers as they are",
                where=node.where,
                found="0 bits",
                allowed=", ".join(map(str, ACTIVATION_BITS if is_activation(node) else WEIGHT_BITS)),
            )
        return
    if bits == 0:
        return
    fixed = {"negative_slope": 0.0} if is_activation(node) else QUANTIZED[node.content.kind].fixed
    for name, value in fixed.items():
        given = node.content.config[name]
        if not same_setting(name, given, value):
            activation = name == "activation"
            yield Diagnostic(
                "QUANT-ARGUMENT",
                f"a layer with this {name} cannot be quantized",
                where=node.where,
                found=f"{name} = {given!r}",
                allowed=f"{name} = {'linear' if activation else value!r}",
                help="put the activation into a layer of its own" if activation else "",
            )


def same_setting(name: str, given: Any, fixed: Any) -> bool:
    """Does a configuration say what a quantized layer always has?"""
    if name == "activation":
        return keras.activations.get(given) is keras.activations.linear
    return bool(given == fixed)


def left_float(graph: Graph, weights: bool, activations: bool) -> Iterator[Diagnostic]:
    """Warnings about layers that stay in float although weights, or activations, were to be quantized."""
    for node in graph.nodes:
        kind, config = node.content.kind, node.content.config
        if weights and node.content.weights and not is_neural(node) and kind is not keras.layers.BatchNormalization:
            yield stays_float(node, "its weights stay in float: this class of layer is not quantized")
        elif activations and kind is keras.layers.ReLU:
            if not is_plain_relu(node):
                yield stays_float(node, "it stays in float: a ReLU with a threshold is not quantized")
        elif activations and kind is keras.layers.Activation and config["activation"] == "relu":
            yield stays_float(node, "it stays in float", help="use the layer ReLU()")


def stays_float(node: Node, message: str, help: str = "") -> Diagnostic:
    """The warning about one layer."""
    return Diagnostic("QUANT-FLOAT", message, where=node.where, help=help, severity=Severity.WARNING)


# ---- what is done ---------------------------------------------------------------------------------------------------


def quantize_node(node: Node, bits: int, choose: QuantizerFunction | None) -> Iterator[Diagnostic]:
    """Give a layer so many bits; 0 leaves it alone.  Yields what is wrong with the quantizers that the user chose."""
    if not bits:
        return
    if is_activation(node):
        quantize_activation(node, bits)
    else:
        yield from quantize_weights(node, bits, choose)


def quantize_weights(node: Node, bits: int, choose: QuantizerFunction | None) -> Iterator[Diagnostic]:
    """Give a neural layer quantizers of so many bits."""
    content = node.content
    if node.holds(QuantizedLayer):
        for name in content.kind.quantizers:
            content.config[name] = with_bits(getattr(content.source, name), bits)
        return
    content.kind = QUANTIZED[content.kind]
    content.config = {name: value for name, value in content.config.items() if name not in content.kind.fixed}
    for name in content.kind.quantizers:
        default = DEFAULT_QUANTIZERS[name](bitwidth=int(bits))
        content.config[name] = default if choose is None else choose(content.source, default)
        yield from quantizer_problems(node, content.config[name])


def quantizer_problems(node: Node, chosen: Any) -> Iterator[Diagnostic]:
    """What is wrong with what a quantizer function returned."""
    if not isinstance(chosen, WeightQuantizer):
        found = f"{chosen!r} from quantizer_function"
        message = "the quantizer function must return a weight quantizer"
        yield Diagnostic("QUANT-QUANTIZER", message, where=node.where, found=found, allowed="an instance")
    else:
        yield from width_problems("quantizer_function", chosen.bitwidth, WEIGHT_BITS, [node], may_be_float=False)


def with_bits(quantizer: WeightQuantizer, bits: int) -> WeightQuantizer:
    """The same quantizer with another bitwidth."""
    return type(quantizer).from_config({**quantizer.get_config(), "bitwidth": int(bits)})  # type: ignore[no-any-return]


def quantize_activation(node: Node, bits: int) -> None:
    """Give an activation so many bits; the most that it gives stays the same."""
    content = node.content
    if content.kind in (keras.layers.ReLU, ActivationDiscreteRelu):
        kept = {name: content.config[name] for name in ("name", "trainable", "dtype")}
        content.config = {**kept, "max_value": content.source.max_value}
        content.kind = QuantizedReLU
    content.config["bitwidth"] = int(bits)
