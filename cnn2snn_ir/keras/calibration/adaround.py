"""AdaRound: whether a weight is rounded up or down is learned, layer by layer.

With s the scale factor of the quantizer and h a soft choice between down (0) and up (1),

    w' = clip(floor(w·s) + h, ±kmax) / s        h = clip(1.2·sigmoid(alpha) − 0.1, 0, 1)

alpha begins where h is the fractional part of w·s, and minimizes the difference between the outputs of w' and of w,
plus 0.01·Σ(1 − |2h − 1|^beta), which is 0 where every choice is made; beta falls from 20 to 2 along half a cosine.
Source: Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf  # noqa: TID251 - Keras alone has no gradients

from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics
from cnn2snn_ir.keras.calibration.bias import require_quantized
from cnn2snn_ir.keras.calibration.sampler import QuantizationSampler, apply, float_twin, path_to_activation
from cnn2snn_ir.keras.errors import QuantizationError
from cnn2snn_ir.keras.graph import Array, build_model, read_graph
from cnn2snn_ir.keras.quantizers import LinearWeightQuantizer

STRETCH, OVERHANG = 1.2, 0.1
"""The sigmoid is stretched beyond 0 and 1 and cut off there, so that choices are made in finite time."""

ROUNDING_WEIGHT = 0.01
BETA = (20.0, 2.0)

KERNELS = {"kernel": "quantizer", "depthwise_kernel": "quantizer_dw", "pointwise_kernel": "quantizer"}
"""Attribute of a layer that holds weights ▶ the one that holds their quantizer."""

Batch = tuple[Any, Any]
"""What a layer reads, and what it should give."""


def adaround(
    model: Any,
    samples: Any,
    optimizer: Any,
    epochs: int,
    loss: Any = "mse",
    batch_size: int | None = None,
    include_activation: bool = False,
) -> Any:
    """A copy of the model whose weights are rounded so that layers give nearly what their float weights give.

    The layers are taken in order, each with those before it as already rounded; the error of each before and after
    is printed.  A layer that would become worse keeps its weights.

    Args:
        model: a quantized model.
        samples: array [samples, …] of the shape of the model's input.
        optimizer: of Keras, or its name or serialized form; each layer gets a fresh copy.
        epochs: how often a layer sees all samples; it stops early when every choice is made.
        loss: of Keras, the name of one, or a function (float outputs, quantized outputs) ▶ numbers.
        batch_size: samples at a time; all at once if it is None.
        include_activation: compare behind the quantized activation of a layer instead of before it.

    Raises:
        QuantizationError: if nothing in the model is quantized, a quantizer has no scale factor, the model does not
            take the samples, or `epochs` is not positive.
    """
    result = build_model(read_graph(model))
    sampler = QuantizationSampler(result, samples, batch_size)
    require_quantized(sampler)
    require_linear(sampler, epochs)
    measure = keras.losses.get(loss)
    for layer in sampler.layers:
        sampler.select_layer(layer)
        path = path_to_activation(layer) if include_activation else []
        batches = targets(sampler, path)
        old = layer.get_weights()
        before = error(layer, path, batches, measure)
        learn(layer, path, batches, keras.optimizers.get(optimizer), epochs, measure)
        after = error(layer, path, batches, measure)
        if not after <= before:
            layer.set_weights(old)
            after = before
        print(f"{layer.name}: error {before:.4g} -> {after:.4g}")
    return result


def require_linear(sampler: QuantizationSampler, epochs: int) -> None:
    """Rounding is learned between multiples of a step."""
    found = Diagnostics()
    if epochs < 1:
        message = "there must be an epoch to learn in"
        found.add(Diagnostic("CALIBRATE-ARGUMENT", message, where="epochs", found=str(epochs), allowed="1 or more"))
    for layer in sampler.layers:
        for name in layer.quantizers:
            if not isinstance(quantizer := getattr(layer, name), LinearWeightQuantizer):
                found.add(
                    Diagnostic(
                        "CALIBRATE-QUANTIZER",
                        "rounding can be learned for linear quantizers only",
                        where=f"{layer.name} ({type(layer).__name__})",
                        found=type(quantizer).__name__,
                        allowed="a LinearWeightQuantizer",
                    )
                )
    if found.errors:
        raise QuantizationError(found, f"{sampler.model.name}: the model cannot be calibrated")


def targets(sampler: QuantizationSampler, path: list[Any]) -> list[Batch]:
    """What the selected layer reads in each batch, and what it should give."""
    inputs = [sampler.inputs(batch_id) for batch_id in range(len(sampler.batches))]
    return [(x, apply(path, sampler.unquantized(x))) for x in inputs]


def error(layer: Any, path: list[Any], batches: list[Batch], measure: Any) -> float:
    """The mean of the loss over all samples, of the layer as it is."""
    count = sum(len(x) for x, _ in batches)
    return sum(float(tf.reduce_mean(measure(y, apply(path, layer(x))))) * len(x) for x, y in batches) / count


# ---- learning -------------------------------------------------------------------------------------------------------


class Rounding:
    """The choice between down and up for every weight of a kernel."""

    def __init__(self, kernel: Array, quantizer: LinearWeightQuantizer) -> None:
        self.kmax = float(quantizer.kmax)
        self.scale = np.asarray(keras.ops.convert_to_numpy(quantizer.scale_factor(kernel)))
        scaled = kernel * self.scale
        # Weights at the end of the range have no choice; were the largest one rounded towards zero, the scale
        # factor, which depends on it, would become another.
        self.free = np.round(np.abs(scaled), 4) < self.kmax
        self.floor = np.where(self.free, np.floor(scaled), np.clip(np.round(scaled), -self.kmax, self.kmax))
        fraction = np.where(self.free, scaled - self.floor, 0)
        self.alpha = tf.Variable(-np.log(STRETCH / (fraction + OVERHANG) - 1), dtype=tf.float32)

    def choice(self) -> Any:
        """h: 0 for down, 1 for up, anything between while undecided."""
        soft = STRETCH * tf.sigmoid(self.alpha) - OVERHANG
        return tf.clip_by_value(soft, 0.0, 1.0) * self.free.astype(np.float32)

    def weights(self, choice: Any) -> Any:
        """w' for a choice."""
        rounded = tf.clip_by_value(self.floor.astype(np.float32) + choice, -self.kmax, self.kmax)
        return rounded / self.scale.astype(np.float32)

    def indecision(self, beta: Any) -> Any:
        """What is added to the loss while choices are not made."""
        return tf.reduce_sum(1 - tf.abs(2 * self.choice() - 1) ** beta)


def learn(layer: Any, path: list[Any], batches: list[Batch], optimizer: Any, epochs: int, measure: Any) -> None:
    """Round the weights of a layer as it is best for its outputs."""
    twin = float_twin(layer, batches[0][0].shape)
    kernels = [name for name in KERNELS if hasattr(twin, name)]
    roundings = [Rounding(getattr(layer, name).numpy(), getattr(layer, KERNELS[name])) for name in kernels]
    rest = [tf.constant(weight) for weight in layer.get_weights()[len(kernels) : len(twin.weights)]]
    alphas = [rounding.alpha for rounding in roundings]
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(alphas)

    @tf.function(reduce_retracing=True)
    def step(inputs: Any, expected: Any, beta: Any) -> Any:
        with tf.GradientTape() as tape:
            weights = [rounding.weights(rounding.choice()) for rounding in roundings]
            outputs, _ = twin.stateless_call([*weights, *rest], [], inputs)
            indecision = ROUNDING_WEIGHT * tf.add_n([rounding.indecision(beta) for rounding in roundings])
            total = tf.reduce_mean(measure(expected, apply(path, outputs))) + indecision
        fresh.apply(tape.gradient(total, alphas), alphas)
        return tf.add_n([rounding.indecision(beta) for rounding in roundings])

    for epoch in range(epochs):
        beta = tf.constant(beta_at(epoch, epochs), tf.float32)
        undecided = [float(step(inputs, expected, beta)) for inputs, expected in batches]
        if undecided[-1] == 0:
            break
    for name, rounding in zip(kernels, roundings, strict=True):
        getattr(layer, name).assign(rounding.weights(tf.round(rounding.choice())))


def beta_at(epoch: int, epochs: int) -> float:
    """Half a cosine from the first value of `BETA` to the second."""
    first, last = BETA
    return last + (first - last) * (1 + math.cos(math.pi * epoch / max(1, epochs - 1))) / 2
