"""Make the QuantizeML test models and what Keras computes with them.

usage: python make_models.py OUTDIR [--only NAME ...]

Needs an environment with `quantizeml` (see README.md beside this file). For every entry of `TABLE` two
files appear in OUTDIR: NAME.h5, the quantized model as Keras saves it, and NAME.npz, every
intermediate tensor on a few samples (`dump_keras.py` describes the format). NAME says
ARCHITECTURE_INPUT_WEIGHTS_ACTIVATIONS: `i8` is a uint8 image whose first layer has 8-bit weights,
`fs` a float input quantized to signed integers, `fu` to unsigned ones; `pt` means per-tensor
activations. Everything is seeded by the name, so one entry can be remade alone.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras as keras
from architectures import ARCHITECTURES, Architecture
from dump_keras import record, write
from quantizeml.models import QuantizationParams, quantize

CALIBRATION_SAMPLES = 64
CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class Entry:
    """One fixture: an architecture and how it is quantized."""

    name: str
    architecture: str
    weights: int = 8
    activations: int = 8
    first_weights: int = 8
    per_tensor: bool = False
    source: Literal["image", "signed", "unsigned"] = "image"
    """uint8 image with a Rescaling layer, or float input quantized to int8 or to uint8."""
    offset: float = 0.0
    """Rescaling offset; QuantizeML folds it in the first bias and in a padding value."""
    output_bits: int | None = None
    """Bits of a quantizer on the last layer, which normally has none."""
    until: str | None = None
    """Last layer to quantize."""
    samples: int = 4
    also_keras: bool = False
    """Save the same model as a .keras archive too."""
    train: bool = False
    """Compile, train for one step and save with the optimizer's state."""


TABLE: tuple[Entry, ...] = (
    Entry("kws_i8_w8_a8", "kws"),
    Entry("kws_i8_w4_a4_pt", "kws", weights=4, activations=4, per_tensor=True),
    Entry("residual_i8_w8_a8", "residual"),
    Entry("wide_kernels_fs_w8_a8", "wide_kernels", source="signed"),
    Entry("mobile_i8_w8_a8", "mobile"),
    Entry("mobile_i4_w4_a4_pt", "mobile", weights=4, activations=4, first_weights=4, per_tensor=True),
    Entry("vgg_i8_w8_a8", "vgg"),
    Entry("vgg_i8_w4_a4", "vgg", weights=4, activations=4),
    Entry("residual_i8_w4_a4_pt", "residual", weights=4, activations=4, per_tensor=True),
    Entry("deep_residual_i8_w8_a8_pt", "deep_residual", per_tensor=True),
    Entry("inverted_i8_w8_a8", "inverted"),
    Entry("inverted_i8_w4_a4", "inverted", weights=4, activations=4),
    Entry("inception_i8_w8_a8", "inception"),
    Entry("inception_i8_w4_a4_pt", "inception", weights=4, activations=4, per_tensor=True),
    Entry("vector_mlp_fs_w8_a8", "vector_mlp", source="signed", samples=8, also_keras=True),
    Entry("vector_mlp_fs_w8_a8_trained", "vector_mlp", source="signed", samples=8, train=True),
    Entry("vector_mlp_fu_w4_a8", "vector_mlp", weights=4, first_weights=4, source="unsigned", samples=8),
    Entry("image_mlp_i8_w4_a4", "image_mlp", weights=4, activations=4, samples=8),
    Entry("unbounded_fu_w8_a8", "unbounded", source="unsigned"),
    Entry("unbounded_fs_w4_a4_pt", "unbounded", weights=4, activations=4, per_tensor=True, source="signed"),
    Entry("pools_i8_w8_a8", "pools"),
    Entry("reshapes_fs_w8_a8_pt", "reshapes", source="signed", per_tensor=True),
    Entry("rgb_offset_i8_w8_a8", "rgb", offset=-1.0),
    Entry("conv_head_i8_w8_a8_pt", "conv_head", per_tensor=True),
    Entry("conv_head_i8_w4_a8_out8", "conv_head", weights=4, output_bits=8),
    Entry("detector_fu_w4_a4_pt", "detector", weights=4, activations=4, per_tensor=True, source="unsigned"),
    Entry("float_tail_i8_w8_a8", "float_tail", until="embedding"),
    Entry("named_stages_i8_w8_a8", "named_stages"),
)


def structured_samples(entry: Entry, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Blocky random patterns with noise and a different gain per channel, in the model's input dtype."""
    count = CALIBRATION_SAMPLES + entry.samples
    blocks = rng.normal(size=(count, *(-(-n // 4) for n in shape[:-1]), shape[-1]))
    for axis in range(1, len(shape)):
        blocks = np.repeat(blocks, 4, axis=axis)
    pattern = blocks[(slice(None), *(slice(n) for n in shape))] + 0.3 * rng.normal(size=(count, *shape))
    if entry.source == "image":
        return np.clip(np.rint(128 + 60 * pattern), 0, 255).astype(np.uint8)
    gains = np.exp2(rng.uniform(-2, 2, size=shape[-1]))
    # the unsigned input quantizer wants a range that includes zero and is mostly above it
    return (gains * (pattern if entry.source == "signed" else pattern + 1.5)).astype(np.float32)


def float_model(entry: Entry, architecture: Architecture, x: np.ndarray) -> keras.Model:
    """The float network of an entry, its weights spread over a wide range of scales."""
    dtype = "uint8" if entry.source == "image" else "float32"
    inputs = keras.Input(architecture.shape, dtype=dtype, name="input")
    conditioned = inputs
    if entry.source == "image":
        scale = 1 / 127.5 if entry.offset else 1 / 255
        conditioned = keras.layers.Rescaling(scale, entry.offset, name="rescaling")(inputs)
    model = keras.Model(inputs, architecture.body(conditioned), name=entry.architecture)
    spread_weights(model, x, np.random.default_rng(seed_of(entry.name + "/weights")))
    return model


def spread_weights(model: keras.Model, x: np.ndarray, rng: np.random.Generator) -> None:
    """Give every layer weights for which its outputs have channels of size 2^-1.5 to 2^1.5.

    Freshly initialised networks have channels all alike; then per-channel scales and fractional bits
    would be equal and hide errors of indexing.
    """
    values: dict[int, Any] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            values[id(layer.output)] = tf.constant(x)
            continue
        source = tf.nest.map_structure(lambda t: values[id(t)], layer.input)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(_normalization_weights(source.numpy(), rng))
        elif layer.weights:
            _spread_kernel(layer, source, rng)
        values[id(layer.output)] = layer(source, training=False)


def _normalization_weights(source: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """gamma, beta, mean and variance as training would leave them; gamma > 0, which folding needs."""
    axes = tuple(range(source.ndim - 1))
    channels = source.shape[-1]
    gamma = np.exp2(rng.uniform(-1.5, 1.5, channels))
    beta = gamma * rng.normal(0.2, 0.4, channels)
    mean = source.mean(axes) + 0.1 * source.std(axes) * rng.normal(size=channels)
    return [gamma, beta, mean, source.var(axes) * rng.uniform(0.8, 1.25, channels)]


def _spread_kernel(layer: keras.layers.Layer, source: Any, rng: np.random.Generator) -> None:
    """Random kernel, normalised per output channel on `source`, then scaled by a random gain."""
    kernel, *bias = layer.get_weights()
    kernel = rng.normal(size=kernel.shape)
    layer.set_weights([kernel, *(np.zeros_like(b) for b in bias)])
    deviation = layer(source).numpy()
    deviation = deviation.std(tuple(range(deviation.ndim - 1)))
    gain = np.exp2(rng.uniform(-1.5, 1.5, deviation.shape))
    factor = gain / np.maximum(deviation, 1e-3)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel *= factor[:, None] if depthwise else factor
    layer.set_weights([kernel, *(gain * rng.normal(0.1, 0.3, b.shape) for b in bias)])


def quantized_model(entry: Entry, model: keras.Model, x: np.ndarray) -> keras.Model:
    """Quantize and calibrate with QuantizeML."""
    params = QuantizationParams(
        weight_bits=entry.weights,
        activation_bits=entry.activations,
        input_weight_bits=entry.first_weights,
        per_tensor_activations=entry.per_tensor,
        input_dtype="int8" if entry.source == "signed" else "uint8",
        last_output_bits=entry.output_bits,
    )
    return quantize(
        model,
        qparams=params,
        samples=x,
        num_samples=len(x),
        batch_size=CALIBRATION_BATCH,
        quantize_until=entry.until,
    )


def train_one_step(model: keras.Model, x: np.ndarray) -> None:
    """One quantization-aware step, so that the saved file carries an optimizer and its slots."""
    labels = np.arange(len(x)) % model.output_shape[-1]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(x, labels, batch_size=CALIBRATION_BATCH, epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)


def seed_of(text: str) -> int:
    """A seed that depends on the name alone."""
    return zlib.crc32(text.encode())


def make(entry: Entry, outdir: Path) -> Iterator[Path]:
    """Write the files of one entry and yield their paths."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed_of(entry.name))
    architecture = ARCHITECTURES[entry.architecture]
    samples = structured_samples(entry, architecture.shape, np.random.default_rng(seed_of(entry.name + "/samples")))
    calibration, x = samples[: -entry.samples], samples[-entry.samples :]
    model = quantized_model(entry, float_model(entry, architecture, calibration), calibration)
    if entry.train:
        train_one_step(model, calibration)
    path = outdir / f"{entry.name}.h5"
    model.save(path)
    yield path
    if entry.also_keras:
        yield outdir / f"{entry.name}.keras"
        model.save(outdir / f"{entry.name}.keras")
    write(outdir / f"{entry.name}.npz", record(model, x))
    yield outdir / f"{entry.name}.npz"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[entry.name for entry in TABLE])
    options = parser.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    for entry in TABLE:
        if not options.only or entry.name in options.only:
            sizes = ", ".join(f"{path.name} {path.stat().st_size}" for path in list(make(entry, options.outdir)))
            print(sizes, flush=True)


if __name__ == "__main__":
    main()
