"""Can a model of the legacy API be converted for Akida 1?  All reasons why not, without converting it.

The layers are first brought into the order of hardware, as conversion does; then they must be blocks of a neural
layer, perhaps its pooling, and its activation.  A model in which nothing is quantized is checked for its design: could
it be converted once it is quantized?  Source: the checks of cnn2snn 2.19.3 (Apache-2.0), restated, and bit widths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.activations import QuantizedActivation
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Node, read_graph
from cnn2snn_ir.keras.layers import QuantizedConv2D, QuantizedDense, QuantizedLayer, QuantizedSeparableConv2D
from cnn2snn_ir.keras.transforms.sequentialize import sequence_problems
from cnn2snn_ir.keras.transforms.syncretize import arrange, branch_problems

kl = keras.layers

CONVOLUTIONS = (kl.Conv2D, kl.SeparableConv2D, QuantizedConv2D, QuantizedSeparableConv2D)
NEURAL = (*CONVOLUTIONS, kl.Dense, QuantizedDense)
POOLING = (kl.MaxPooling2D, kl.GlobalAveragePooling2D)
HEAD = (kl.Activation, kl.Softmax)
FREE = (kl.Flatten, kl.Reshape, kl.Rescaling)

WEIGHT_BITS = (2, 4, 8)
ACTIVATION_BITS = (1, 2, 4)
IMAGE_CHANNELS = (1, 3)


def check_model_compatibility(model: Any) -> bool:
    """True if a model of the legacy API can be converted for Akida 1; otherwise False, and every reason is printed."""
    found = incompatibilities(model)
    if not found.errors:
        return True
    print(f"{getattr(model, 'name', 'model')}: the model cannot be converted for Akida 1")
    print(found.render())
    return False


def incompatibilities(model: Any) -> Diagnostics:
    """Every reason why a model cannot be converted."""
    try:
        graph = read_graph(model)
    except QuantizationError as error:
        return Diagnostics(error.diagnostics)
    found = Diagnostics([*sequence_problems(graph), *branch_problems(graph)])
    in_order = not found.errors or {d.code for d in found.errors} <= {"TRANSFORM-DILATION", "TRANSFORM-LAYOUT"}
    if in_order:
        found.extend(arrange(graph))
    chain = Chain([node for node in graph.nodes if not node.is_input])
    for rule in (*LAYER_RULES, *(ORDER_RULES if in_order else ())):
        found.extend(rule(chain))
    return found


@dataclass(frozen=True)
class Chain:
    """The layers of a model but for its input, one after the other."""

    nodes: list[Node]

    @cached_property
    def quantized(self) -> bool:
        """Is any layer quantized?"""
        return any(node.holds(QuantizedLayer, QuantizedActivation) for node in self.nodes)

    @cached_property
    def neural(self) -> list[Node]:
        """The layers with weights."""
        return [node for node in self.nodes if is_neural(node)]

    @property
    def channels(self) -> int | None:
        """The channels of the model's input."""
        return self.nodes[0].inputs[0].shape[-1]

    def around(self) -> Iterator[tuple[Node | None, Node, Node | None]]:
        """Every layer, between those before and behind it."""
        yield from zip([None, *self.nodes], self.nodes, [*self.nodes[1:], None], strict=False)


Rule = Callable[[Chain], Iterator[Diagnostic]]


def is_neural(node: Node) -> bool:
    """Is it a layer with weights that hardware has?"""
    return node.content.kind in NEURAL


def is_activation(node: Node) -> bool:
    """Does it end a block?"""
    return node.content.kind is kl.ReLU or node.holds(QuantizedActivation)


# ---- layers, wherever they stand ------------------------------------------------------------------------------------


def known_layers(chain: Chain) -> Iterator[Diagnostic]:
    """Every layer is of a kind that hardware has, or the host computes; normalization is left to `folded`."""
    for node in chain.nodes:
        known = node.content.kind in (*NEURAL, *POOLING, *HEAD, *FREE, kl.Concatenate) or is_activation(node)
        if not known and not node.holds(kl.BatchNormalization):
            message = "Akida 1 does not have this layer"
            names = ", ".join(kind.__name__ for kind in (*CONVOLUTIONS[2:], QuantizedDense, *POOLING))
            yield Diagnostic("COMPAT-LAYER", message, where=node.where, allowed=f"{names}, QuantizedReLU")
    if not chain.neural:
        yield Diagnostic("COMPAT-EMPTY", "no layer has weights, so there is nothing to convert")


def quantized_throughout(chain: Chain) -> Iterator[Diagnostic]:
    """If any layer is quantized, all are."""
    for node in chain.nodes if chain.quantized else ():
        if node.content.kind is kl.ReLU or (is_neural(node) and not node.holds(QuantizedLayer)):
            message = "the layer is not quantized"
            yield Diagnostic(
                "COMPAT-FLOAT", message, where=node.where, help="quantize it with quantize or quantize_layer"
            )


def own_activations(chain: Chain) -> Iterator[Diagnostic]:
    """Activations are layers of their own."""
    for node in chain.neural:
        if not node.is_linear:
            activation = node.content.source.activation
            yield Diagnostic(
                "COMPAT-OWN-ACTIVATION",
                "the layer has an activation of its own",
                where=node.where,
                found=str(getattr(activation, "__name__", activation)),
                allowed="linear",
                help="put the activation into a ReLU layer behind it",
            )


def weight_bits(chain: Chain) -> Iterator[Diagnostic]:
    """Weights have 2, 4 or 8 bits, but for a convolution that reads images; both kernels of a layer have the same."""
    for node in chain.neural:
        if not node.holds(QuantizedLayer):
            continue
        layer = node.content.source
        bits = {name: getattr(layer, name).bitwidth for name in layer.quantizers}
        found = " and ".join(map(str, bits.values()))
        reads_images = node is chain.neural[0] and node.holds(QuantizedConv2D) and chain.channels in IMAGE_CHANNELS
        if not reads_images and not set(bits.values()) <= set(WEIGHT_BITS):
            message = "weights cannot have so many bits"
            allowed = "2, 4 or 8"
            yield Diagnostic("COMPAT-WEIGHT-BITS", message, where=node.where, found=found, allowed=allowed)
        if len(set(bits.values())) > 1:
            message = "the depthwise and the pointwise kernel must have the same number of bits"
            yield Diagnostic("COMPAT-SEPARABLE-BITS", message, where=node.where, found=found, allowed="equal numbers")


def activation_bits(chain: Chain) -> Iterator[Diagnostic]:
    """Activations have 1, 2 or 4 bits."""
    for node in chain.nodes:
        if node.holds(QuantizedActivation) and (bits := node.content.source.bitwidth) not in ACTIVATION_BITS:
            message = "activations cannot have so many bits"
            allowed = "1, 2 or 4"
            yield Diagnostic("COMPAT-ACTIVATION-BITS", message, where=node.where, found=str(bits), allowed=allowed)


# ---- the order of layers --------------------------------------------------------------------------------------------


def first_layer(chain: Chain) -> Iterator[Diagnostic]:
    """Images of 1 or 3 channels are read by a convolution."""
    first = next((node for node in chain.nodes if not node.holds(kl.Rescaling)), None)
    if first and chain.channels in IMAGE_CHANNELS and first.content.kind not in (kl.Conv2D, QuantizedConv2D):
        yield Diagnostic(
            "COMPAT-INPUT",
            f"an input of {chain.channels} channels must be read by a convolution",
            where=first.where,
            found=first.content.kind.__name__,
            allowed="QuantizedConv2D",
        )


def rescaling_first(chain: Chain) -> Iterator[Diagnostic]:
    """Rescaling is of the input, and does not turn it around."""
    for before, node, _ in chain.around():
        if not node.holds(kl.Rescaling):
            continue
        scale = np.ravel(node.content.config["scale"])
        if before is not None:
            found = f"behind {before.where}"
            yield Diagnostic("COMPAT-RESCALING", "only the input can be rescaled", where=node.where, found=found)
        if len(scale) > 1 or not scale[0] > 0:
            message = "the input can be rescaled by one positive number only"
            yield Diagnostic("COMPAT-RESCALING", message, where=node.where, found=f"scale {scale.tolist()}")


def vectors_for_dense(chain: Chain) -> Iterator[Diagnostic]:
    """A dense layer reads vectors."""
    for node in chain.neural:
        shape = node.inputs[0].shape[1:]
        if node.holds(kl.Dense) and not (len(shape) == 1 or (len(shape) == 3 and shape[:2] == (1, 1))):
            yield Diagnostic(
                "COMPAT-DENSE",
                "a dense layer must read a vector",
                where=node.where,
                found=f"shape {shape}",
                allowed="(N,) or (1, 1, N)",
                help="put a Flatten before it",
            )


def blocks(chain: Chain) -> Iterator[Diagnostic]:
    """Between two layers with weights is one activation, and none is before the first."""
    last: Node | None = None
    for node in chain.nodes:
        if is_neural(node) and last is not None and is_neural(last):
            yield Diagnostic(
                "COMPAT-ACTIVATION",
                "an activation must stand between two layers with weights",
                where=node.where,
                found=f"none behind {last.where}",
                allowed="a ReLU, quantized",
            )
        if is_activation(node) and (last is None or is_activation(last)):
            yield Diagnostic(
                "COMPAT-ACTIVATION",
                "an activation must follow a layer with weights",
                where=node.where,
                found="none before it" if last is None else f"the activation {last.where} before it",
                help="remove the activation",
            )
        if is_neural(node) or is_activation(node):
            last = node


def pooling(chain: Chain) -> Iterator[Diagnostic]:
    """Pooling follows a convolution, and pads as it does."""
    for before, node, _ in chain.around():
        if not node.holds(*POOLING):
            continue
        if before is None or before.content.kind not in CONVOLUTIONS:
            yield Diagnostic(
                "COMPAT-POOL",
                "pooling must follow a convolution directly",
                where=node.where,
                found="the input before it" if before is None else f"{before.where} before it",
                allowed="a convolution",
                help="global average pooling goes between the convolution and its activation",
            )
        elif node.holds(kl.MaxPooling2D) and node.content.config["padding"] != before.content.config["padding"]:
            yield Diagnostic(
                "COMPAT-POOL-PADDING",
                "pooling must pad as its convolution does",
                where=node.where,
                found=node.content.config["padding"],
                allowed=f"{before.content.config['padding']}, as {before.where}",
            )


def folded(chain: Chain) -> Iterator[Diagnostic]:
    """Batch normalization is gone into a layer with weights."""
    for before, node, _ in chain.around():
        if node.holds(kl.BatchNormalization):
            yield Diagnostic(
                "COMPAT-BATCHNORM",
                "the order of layers does not let the normalization be folded",
                where=node.where,
                found="it is first" if before is None else f"behind {before.where}",
                allowed="behind a layer with weights, before the activation",
                help="put it between the layer with weights and the activation, and train again",
            )


def shapes(chain: Chain) -> Iterator[Diagnostic]:
    """Flatten is for a dense layer or the end, and Reshape moves dimensions of 1 only."""
    for _, node, behind in chain.around():
        if node.holds(kl.Flatten) and behind is not None and not behind.holds(kl.Dense, *HEAD, kl.Reshape):
            message = "Flatten must stand before a dense layer, or at the end"
            yield Diagnostic("COMPAT-FLATTEN", message, where=node.where, found=f"{behind.where} behind it")
        if node.holds(kl.Reshape) and node.inputs:
            old, new = node.inputs[0].shape[1:], node.shape[1:]
            vectors = all(len(shape) == 1 or (len(shape) == 3 and shape[:2] == (1, 1)) for shape in (old, new))
            if old != new and not (vectors and old[-1] == new[-1]):
                message = "values cannot be reordered"
                allowed = "(N,) to (1, 1, N), or back"
                yield Diagnostic("COMPAT-RESHAPE", message, where=node.where, found=f"{old} to {new}", allowed=allowed)


def head_last(chain: Chain) -> Iterator[Diagnostic]:
    """What the host computes stands behind all layers with weights."""
    for index, node in enumerate(chain.nodes):
        if node.holds(*HEAD) and any(is_neural(later) for later in chain.nodes[index:]):
            yield Diagnostic(
                "COMPAT-HEAD",
                "the host computes this layer, so no layer with weights may follow",
                where=node.where,
                allowed="behind the last layer with weights",
                help="use a ReLU layer between layers with weights",
            )


LAYER_RULES: tuple[Rule, ...] = (known_layers, quantized_throughout, own_activations, weight_bits, activation_bits)
"""Those that hold whatever the structure of the model is."""

ORDER_RULES: tuple[Rule, ...] = (
    first_layer,
    rescaling_first,
    vectors_for_dense,
    blocks,
    pooling,
    folded,
    shapes,
    head_last,
)
"""Those of models without branches."""
