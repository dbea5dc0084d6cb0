"""Another input size for a model whose weights do not depend on it."""

from __future__ import annotations

from typing import Any

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Graph, build_model, read_graph


def reshape(model: Any, input_x: int, input_y: int) -> Any:
    """A copy of the model, with its weights, for images of shape (input_x, input_y, channels).

    Args:
        model: a Sequential or functional model that takes images.
        input_x: the first dimension of the images, which Keras calls their height.
        input_y: the second, their width.

    Raises:
        QuantizationError: if the model takes no images, a size is not positive, or a layer cannot follow: weights
            behind Flatten belong to one size.
    """
    graph = read_graph(model)
    found = Diagnostics()
    for size in (input_x, input_y):
        if size < 1:
            message = "the sides of an image are positive"
            found.add(Diagnostic("TRANSFORM-SIZE", message, where=graph.name, found=str(size), allowed="1 or more"))
    found.extend(image_problems(graph))
    if found.errors:
        raise QuantizationError(found, f"{graph.name}: the model cannot be reshaped")
    (entry,) = graph.inputs
    batch, _, _, channels = entry.shape
    entry.content.config["batch_shape"] = (batch, input_x, input_y, channels)
    return build_model(graph)


def image_problems(graph: Graph) -> list[Diagnostic]:
    """Why the model has no image to reshape."""
    if len(graph.inputs) == 1 and len(graph.inputs[0].shape) == 4:
        return []
    found = ", ".join(str(node.shape) for node in graph.inputs)
    allowed = "one input (batch, height, width, channels)"
    return [
        Diagnostic("TRANSFORM-IMAGE", "the model does not take images", where=graph.name, found=found, allowed=allowed)
    ]
