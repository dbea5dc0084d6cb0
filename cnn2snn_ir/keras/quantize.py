"""Quantization of a model: float layers become quantized ones of the same name and with the same weights.

    Conv2D, ReLU, SeparableConv2D, Dense   ▶   QuantizedConv2D, QuantizedReLU, QuantizedSeparableConv2D, QuantizedDense

Layers that are quantized already get another bitwidth, so a model can be quantized step by step, with training in
between.  Other layers stay as they are; those that the hardware would need quantized are named in a warning.
Source: `quantize` of cnn2snn 2.19.3 (Apache-2.0), restated; illegal widths are refused here, not at conversion.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Graph, Node, build_model, read_graph
from cnn2snn_ir.keras.layer_quantization import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    QuantizerFunction,
    argument_problems,
    is_activation,
    is_neural,
    left_float,
    quantize_node,
    width_problems,
)
from cnn2snn_ir.keras.target_layer import find_target


def quantize(
    model: Any,
    weight_quantization: int = 0,
    activ_quantization: int = 0,
    input_weight_quantization: int | None = None,
    fold_BN: bool = True,  # noqa: N803
    quantizer_function: QuantizerFunction | None = None,
) -> Any:
    """Quantize the weights and activations of a model.

    Args:
        model: a Sequential or functional Keras model, float or quantized.
        weight_quantization: bits of the weights: 2, 4 or 8, or 0 to leave float weights as they are.
        activ_quantization: bits of the activations: 1, 2 or 4, or 0 to leave float activations as they are.
        input_weight_quantization: bits of the weights of the first neural layer; by default those of the others.
        fold_BN: fold batch normalization into the weights first, by the functions of `transforms`.
        quantizer_function: called with each float layer and its default quantizer (`MaxPerAxisQuantizer`; for
            depthwise kernels `MaxQuantizer`), returns the quantizer to use.

    Returns:
        a new model.

    Raises:
        QuantizationError: with every argument and every layer that cannot be quantized so.
    """
    quantized, remarks = quantize_and_tell(
        model, weight_quantization, activ_quantization, input_weight_quantization, fold_BN, quantizer_function
    )
    for remark in remarks:
        warnings.warn(remark.render(), stacklevel=2)
    return quantized


def quantize_and_tell(
    model: Any,
    weight_quantization: int = 0,
    activ_quantization: int = 0,
    input_weight_quantization: int | None = None,
    fold_batchnorm: bool = True,
    quantizer_function: QuantizerFunction | None = None,
) -> tuple[Any, Diagnostics]:
    """`quantize`, and warnings about what is left in float."""
    plan = Plan(weight_quantization, activ_quantization, input_weight_quantization)
    graph = read_graph(model)
    found = Diagnostics(plan.illegal_widths(graph))
    found.extend(problem for node, bits in plan.of(graph) for problem in argument_problems(node, bits))
    raise_errors(found, graph)
    if fold_batchnorm:
        graph = read_graph(folded(model))
    found.extend(p for node, bits in plan.of(graph) for p in quantize_node(node, bits, quantizer_function))
    raise_errors(found, graph)
    return build_model(graph), Diagnostics(left_float(graph, bool(plan.weights), bool(plan.activations)))


def quantize_layer(
    model: Any, target_layer: Any, bitwidth: int, quantizer_function: QuantizerFunction | None = None
) -> Any:
    """Quantize one layer of a model; batch normalization stays where it is.

    Args:
        model: a Sequential or functional Keras model.
        target_layer: a neural layer or a ReLU: its index in `model.layers`, its name, or the layer itself.
        bitwidth: bits of the weights (2, 4, 8) or of the activation (1, 2, 4).
        quantizer_function: as in `quantize`.

    Returns:
        a new model.

    Raises:
        QuantizationError: if there is no such layer, or it cannot be quantized so.
    """
    graph = read_graph(model)
    node = find_target(model, graph, target_layer)
    legal = ACTIVATION_BITS if is_activation(node) else WEIGHT_BITS
    found = Diagnostics(width_problems("bitwidth", bitwidth, legal, [node], may_be_float=False))
    found.extend(argument_problems(node, bitwidth))
    raise_errors(found, graph)
    found.extend(quantize_node(node, bitwidth, quantizer_function))
    raise_errors(found, graph)
    return build_model(graph)


@dataclass(frozen=True)
class Plan:
    """How many bits each layer gets; `first` is for the first neural layer, None to treat it like the others."""

    weights: int
    activations: int
    first: int | None

    def of(self, graph: Graph) -> Iterator[tuple[Node, int]]:
        """Every layer that can be quantized, with its bits."""
        entry = next((node for node in graph.nodes if is_neural(node)), None)
        for node in graph.nodes:
            if is_activation(node):
                yield node, self.activations
            elif is_neural(node):
                yield node, self.weights if self.first is None or node is not entry else self.first

    def illegal_widths(self, graph: Graph) -> Iterator[Diagnostic]:
        """The arguments that are no legal number of bits, each with the layers that would get it."""
        neural = [node for node in graph.nodes if is_neural(node)]
        apart = 0 if self.first is None else 1
        yield from width_problems("weight_quantization", self.weights, WEIGHT_BITS, neural[apart:])
        if self.first is not None:
            yield from width_problems("input_weight_quantization", self.first, WEIGHT_BITS, neural[:1])
        activations = [node for node in graph.nodes if is_activation(node)]
        yield from width_problems("activ_quantization", self.activations, ACTIVATION_BITS, activations)


def folded(model: Any) -> Any:
    """The model in sequences, with batch normalization in the weights."""
    from cnn2snn_ir.keras.transforms import fold_batchnorm, invert_batchnorm_pooling, sequentialize

    transforms: list[Callable[[Any], Any]] = [sequentialize, invert_batchnorm_pooling, fold_batchnorm]
    for transform in transforms:
        model = transform(model)
    return model


def raise_errors(found: Diagnostics, graph: Graph) -> None:
    """Raise one error with everything found, if there is any."""
    if found.errors:
        raise QuantizationError(found, f"{graph.name}: cannot quantize the model")
