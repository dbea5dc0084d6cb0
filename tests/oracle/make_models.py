"""Make the QuantizeML test models and what Keras computes with them.

usage: python make_models.py OUTDIR [--akida1] [--only NAME ...] [--seed WORD]

Needs an environment with `quantizeml` (see README.md beside this file). For every entry of `TABLE` two
files appear in OUTDIR: NAME.h5, the quantized model as Keras saves it, and NAME.npz, every
intermediate tensor on a few samples (`dump_keras.py` describes the format). NAME says
ARCHITECTURE_INPUT_WEIGHTS_ACTIVATIONS: `i8` is a uint8 image whose first layer has 8-bit weights,
`fs` a float input quantized to signed integers, `fu` to unsigned ones, `i16` 16-bit integers; `pt` means per-tensor
activations, `o` the bits of outputs without an activation, `b` those of buffers, `out` those of the
last layer. Everything is seeded by the name, so one entry can be remade alone; another WORD gives other
weights and samples.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import tensorflow as tf
import tf_keras as keras
from architectures import ARCHITECTURES, Architecture
from dump_keras import Array, forget, record, write
from quantizeml.layers import DepthwiseConv2DTranspose, InputQuantizer, PicoPostProcessing, StatefulRecurrent
from quantizeml.models import QuantizationParams, quantize

CALIBRATION_SAMPLES = 64
CALIBRATION_BATCH = 16
SIGNAL = 3000
"""Size of 16-bit integer samples, and of what predicts them."""
CALIBRATION_STEPS = 24
"""Calls of a model that remembers."""
COMPACT_ABOVE = 45_000
"""Keras leaves half of an .h5 file as free space; files above this size are written compactly."""


FILTERS_BEFORE_LAST = (
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
    DepthwiseConv2DTranspose,
)
"""Layers whose kernels have the output channels on the last axis but one."""


@dataclass(frozen=True)
class Entry:
    """One fixture: an architecture and how it is quantized."""

    name: str
    architecture: str
    weights: int = 8
    activations: int = 8
    first_weights: int = 8
    per_tensor: bool = False
    source: Literal["image", "signed", "unsigned", "integers"] = "image"
    """uint8 image with a Rescaling layer, float input quantized to signed or to unsigned integers, or int16."""
    input_bits: int = 8
    """Bits of a quantized float input."""
    offset: float = 0.0
    """Rescaling offset; QuantizeML folds it in the first bias and in a padding value."""
    output_bits: int = 8
    """Bits of inner layers that have no activation."""
    buffer_bits: int = 32
    """Bits of accumulators, for those that do not have fewer."""
    last_output_bits: int | None = None
    """Bits of a quantizer on the last layer, which normally has none."""
    until: str | None = None
    """Last layer to quantize."""
    samples: int = 4
    """Samples recorded; of streams, calls."""
    salt: str = ""
    """Mixed into every seed."""
    also_keras: bool = False
    """Save the same model as a .keras archive too."""
    akida: int = 2
    """The generation that QuantizeML prepares the model for."""
    train: bool = False
    """Compile, train for one step and save with the optimizer's state."""
    ties: bool = False
    """Set weights and a sample by hand (see `craft_ties`)."""

    def seed(self, part: str = "") -> int:
        """A seed that depends on the name, the part and the salt alone."""
        return zlib.crc32(f"{self.name}{part}{self.salt}".encode())


TABLE: tuple[Entry, ...] = (
    Entry("kws_i8_w8_a8", "kws"),
    Entry("kws_i8_w4_a4_pt", "kws", weights=4, activations=4, per_tensor=True),
    Entry("residual_i8_w8_a8", "residual"),
    Entry("wide_kernels_fs_w8_a8", "wide_kernels", source="signed"),
    Entry("mobile_i8_w8_a8", "mobile"),
    Entry("mobile_i4_w4_a4_pt", "mobile", weights=4, activations=4, first_weights=4, per_tensor=True),
    Entry("vgg_i8_w8_a8", "vgg"),
    Entry("deep_residual_i8_w8_a8_pt", "deep_residual", per_tensor=True),
    Entry("inverted_i8_w4_a4", "inverted", weights=4, activations=4),
    Entry("inception_i8_w8_a8", "inception"),
    Entry("inception_i8_w4_a4_pt", "inception", weights=4, activations=4, per_tensor=True),
    Entry("vector_mlp_fs_w8_a8", "vector_mlp", source="signed", samples=8),
    Entry("vector_mlp_fs_w8_a8_trained", "vector_mlp", source="signed", samples=8, train=True),
    Entry("vector_mlp_fu_w4_a8", "vector_mlp", weights=4, first_weights=4, source="unsigned", samples=8),
    Entry("ties_fs_w8_a8", "ties", source="signed", ties=True),
    Entry("image_mlp_fs_w4_a4", "image_mlp", weights=4, activations=4, source="signed", samples=8),
    Entry("unbounded_fu_w8_a8", "unbounded", source="unsigned"),
    Entry("pools_i8_w8_a8", "pools"),
    Entry("reshapes_fs_w8_a8_pt", "reshapes", source="signed", per_tensor=True),
    Entry("rgb_offset_i8_w8_a8", "rgb", offset=-1.0),
    Entry("conv_head_i8_w4_a8_out8", "conv_head", weights=4, last_output_bits=8),
    Entry("detector_fu_w4_a4_pt", "detector", weights=4, activations=4, per_tensor=True, source="unsigned"),
    Entry("float_tail_i8_w8_a8", "float_tail", until="embedding", also_keras=True),
    Entry("named_stages_i8_w8_a8", "named_stages"),
    Entry("unet_i8_w8_a8", "unet", samples=2),
    Entry("unet_i8_w4_a4_pt", "unet", weights=4, activations=4, per_tensor=True, samples=2),
    Entry("resnet18_i8_w8_a8", "resnet18", samples=2),
    Entry("upsampling_i8_w8_a8", "upsampling", samples=2),
    Entry(
        "upsampling_i8_w4_a6_pt_o12_b26_out16",
        "upsampling",
        weights=4,
        activations=6,
        per_tensor=True,
        output_bits=12,
        buffer_bits=26,
        last_output_bits=16,
        samples=2,
    ),
    Entry("tables_i8_w8_a8", "tables", samples=3),
    Entry("table_mlp_fs_w4_a6_o10", "table_mlp", weights=4, activations=6, source="signed", output_bits=10),
    Entry("spatiotemporal_i8_w8_a8", "spatiotemporal", samples=12),
    Entry(
        "spatiotemporal_i8_w4_a4_pt_o6",
        "spatiotemporal",
        weights=4,
        activations=4,
        per_tensor=True,
        output_bits=6,
        samples=12,
    ),
    Entry("recurrent_fs_w8_a8", "recurrent", source="signed", samples=10),
    Entry("anomaly_i16_w8_a8", "anomaly", source="integers", input_bits=16, samples=10),
    Entry("recurrent_fs16_w4_a8", "recurrent", weights=4, source="signed", input_bits=16, samples=10),
)

AKIDA1_TABLE: tuple[Entry, ...] = tuple(
    Entry(f"{name}_i8_w{weights}_a{bits}_pt", name, weights, bits, per_tensor=True, offset=offset, akida=1, samples=8)
    for name, weights, bits, offset in (
        ("neurons", 4, 4, 0.0),
        ("neurons", 2, 2, -1.0),
        ("flat_neurons", 4, 4, -1.0),
        ("flat_neurons", 4, 1, 0.0),
    )
)
"""Models for Akida 1; they go to a folder of their own."""


def structured_samples(entry: Entry, architecture: Architecture) -> Array:
    """Blocky random patterns with noise and a different gain per channel, in the model's input dtype.

    Those to calibrate with come first, the `entry.samples` recorded ones last.  Streams have the calls as their first
    axis, and change slowly along it.
    """
    shape, count = architecture.shape, CALIBRATION_SAMPLES + entry.samples
    if architecture.streams:
        shape, count = (CALIBRATION_STEPS + entry.samples, *shape), architecture.streams
    rng = np.random.default_rng(entry.seed("/samples"))
    blocks = rng.normal(size=(count, *(-(-n // 4) for n in shape[:-1]), shape[-1]))
    for axis in range(1, len(shape)):
        blocks = np.repeat(blocks, 4, axis=axis)
    pattern = blocks[(slice(None), *(slice(n) for n in shape))] + 0.3 * rng.normal(size=(count, *shape))
    if architecture.streams:
        pattern = pattern.swapaxes(0, 1)
    if entry.source == "image":
        image: Array = np.clip(np.rint(128 + 60 * pattern), 0, 255).astype(np.uint8)
        return image
    if entry.source == "integers":
        return np.rint(SIGNAL * pattern).astype(np.int16)
    gains = np.exp2(rng.uniform(-2, 2, size=shape[-1]))
    # the unsigned input quantizer wants a range that includes zero and is mostly above it
    features: Array = gains * (pattern if entry.source == "signed" else pattern + 1.5)
    return features.astype(np.float32)


def float_model(entry: Entry, architecture: Architecture, x: Array) -> keras.Model:
    """The float network of an entry, its weights spread over a wide range of scales."""
    dtype = {"image": "uint8", "integers": "int16"}.get(entry.source, "float32")
    batch = architecture.streams if architecture.recurrent else None
    inputs = keras.Input(architecture.shape, batch_size=batch, dtype=dtype, name="input")
    conditioned = inputs
    if entry.source == "image":
        scale = 1 / 127.5 if entry.offset else 1 / 255
        conditioned = keras.layers.Rescaling(scale, entry.offset, name="rescaling")(inputs)
    model = keras.Model(inputs, architecture.body(conditioned), name=entry.architecture)
    calls = list(x) if architecture.streams else [x]
    spread_weights(model, calls, np.random.default_rng(entry.seed("/weights")))
    for layer in model.layers:
        if isinstance(layer, PicoPostProcessing):
            prediction = layer.inbound_nodes[0].parent_nodes[0].layer
            prediction.set_weights([SIGNAL * weights for weights in prediction.get_weights()])
    return model


def spread_weights(model: keras.Model, calls: list[Array], rng: np.random.Generator) -> None:
    """Give every layer weights for which its outputs have channels of size 2^-1.5 to 2^1.5.

    Freshly initialised networks have channels all alike; then per-channel scales and fractional bits
    would be equal and hide errors of indexing.
    """
    values: dict[int, list[Any]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            values[id(layer.output)] = [tf.constant(x) for x in calls]
            continue
        if isinstance(layer, PicoPostProcessing):
            break  # the last layer, without weights
        sources = [tf.nest.map_structure(lambda t, i=i: values[id(t)][i], layer.input) for i in range(len(calls))]
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(_normalization_weights(np.concatenate(sources), rng))
        elif isinstance(layer, StatefulRecurrent):
            layer.set_weights(_recurrence_weights(layer.output_shape[-2], rng))
        elif layer.weights:
            _spread_kernel(layer, sources, rng)
        values[id(layer.output)] = _outputs(layer, sources)


def _outputs(layer: keras.layers.Layer, sources: list[Any]) -> list[Any]:
    """What a layer computes from each call, the first one without a past."""
    forget([layer])
    return [layer(source, training=False) for source in sources]


def _normalization_weights(source: Array, rng: np.random.Generator) -> list[Array]:
    """gamma, beta, mean and variance as training would leave them; gamma > 0, which folding needs."""
    axes = tuple(range(source.ndim - 1))
    channels = source.shape[-1]
    gamma = np.exp2(rng.uniform(-1.5, 1.5, channels))
    beta = gamma * rng.normal(0.2, 0.4, channels)
    mean = source.mean(axes) + 0.1 * source.std(axes) * rng.normal(size=channels)
    return [gamma, beta, mean, source.var(axes) * rng.uniform(0.8, 1.25, channels)]


def _recurrence_weights(channels: int, rng: np.random.Generator) -> list[Array]:
    """Real and imaginary parts of damped rotations, in steps of 1/64.

    With so few bits the products with a 16-bit state are exact in float32, which carries QuantizeML's integers.
    """
    rotations = rng.uniform(0.6, 0.9, channels) * np.exp(1j * rng.uniform(0.2, 1.3, channels))
    # in both parts one is over a half, as they must have the same fractional bits
    rotations[:2] = 0.75 + 0.25j, 0.25 + 0.75j
    return [np.rint(part * 64) / 64 for part in (rotations.real, rotations.imag)]


def _spread_kernel(layer: keras.layers.Layer, sources: list[Any], rng: np.random.Generator) -> None:
    """Random kernel, normalised per output channel on `sources`, then scaled by a random gain."""
    kernel, *bias = layer.get_weights()
    if isinstance(layer, keras.layers.SeparableConv2D):
        layer.set_weights([rng.normal(size=kernel.shape), *bias])
        _spread_pointwise(layer, sources, rng)
        return
    kernel = rng.normal(size=kernel.shape)
    layer.set_weights([kernel, *(np.zeros_like(b) for b in bias)])
    output = np.concatenate(_outputs(layer, sources)).reshape(-1, layer.output_shape[-1])
    # by the deviation, so that ReLU cuts the channel; but after pooling it is tiny beside the mean
    size = np.maximum(output.std(0), 0.4 * np.sqrt((output**2).mean(0)))
    gain = np.exp2(rng.uniform(-1.5, 1.5, size.shape))
    factor = gain / np.maximum(size, 1e-3)
    kernel *= factor[:, None] if isinstance(layer, FILTERS_BEFORE_LAST) else factor
    layer.set_weights([kernel, *(gain * rng.normal(0.1, 0.3, b.shape) for b in bias)])


def _spread_pointwise(layer: keras.layers.Layer, sources: list[Any], rng: np.random.Generator) -> None:
    """The second kernel of a separable convolution, normalised as others are, behind a first one that is given."""
    first, second, *bias = layer.get_weights()
    second = rng.normal(size=second.shape)
    layer.set_weights([first, second, *(np.zeros_like(b) for b in bias)])
    output = np.concatenate(_outputs(layer, sources)).reshape(-1, second.shape[-1])
    gain = np.exp2(rng.uniform(-1.5, 1.5, second.shape[-1]))
    second *= gain / np.maximum(output.std(0), 1e-3)
    layer.set_weights([first, second, *(gain * rng.normal(0.1, 0.3, b.shape) for b in bias)])


def quantized_model(entry: Entry, architecture: Architecture, model: keras.Model, x: Array) -> keras.Model:
    """Quantize and calibrate with QuantizeML."""
    params = QuantizationParams(
        weight_bits=entry.weights,
        activation_bits=entry.activations,
        output_bits=entry.output_bits,
        buffer_bits=entry.buffer_bits,
        input_weight_bits=entry.first_weights,
        per_tensor_activations=entry.per_tensor,
        input_dtype=f"{'int' if entry.source in ('signed', 'integers') else 'uint'}{entry.input_bits}",
        last_output_bits=entry.last_output_bits,
    )
    if architecture.recurrent:
        # whole sequences, which calibration cuts into calls again
        x = np.concatenate(x, axis=1)
    os.environ["CNN2SNN_TARGET_AKIDA_VERSION"] = f"v{entry.akida}"
    if architecture.streams and not architecture.recurrent:
        # batch after batch, each with one frame of every stream
        x = x.reshape(-1, *architecture.shape)
    return quantize(
        model,
        qparams=params,
        samples=x,
        num_samples=len(x),
        batch_size=architecture.streams or CALIBRATION_BATCH,
        quantize_until=entry.until,
    )


def train_one_step(model: keras.Model, x: Array) -> None:
    """One quantization-aware step, so that the saved file carries an optimizer and its slots."""
    labels = np.arange(len(x)) % model.output_shape[-1]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(x, labels, batch_size=CALIBRATION_BATCH, epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)


def craft_ties(model: keras.Model, x: Array) -> None:
    """Weights of `fc` and a first sample for which float32 and exact integers round differently.

    QuantizeML carries integers in float32. In each unit accumulator x multiplier needs more than 24 bits
    and lies just under a half of the output step (a right shift by 18): Keras returns 68, 68, 70, 78,
    exact integer arithmetic 67, 67, 69, 77. Both must be expected of this fixture.
    """
    accumulators = np.array([133043, 75943, 94399, 81591])
    multipliers = np.array([133, 233, 193, 249])
    # the sample is ten times 127 and a 1, so that column sums give the accumulators
    quotient, remainder = np.divmod(accumulators, 127)
    rows = [np.clip(quotient - 127 * i, 0, 127) for i in range(10)]
    kernel = np.array([*rows, remainder]) * (multipliers / 2**13)
    model.get_layer("fc").set_weights([kernel, np.zeros(4)])
    relu = model.get_layer("fc_relu").out_quantizer
    relu.range_max.assign(31.75)  # 2 fractional bits of 7
    relu.rescaling_rate.assign(1.0)
    quantizer = next(layer for layer in model.layers if isinstance(layer, InputQuantizer))
    quantizer.range_min.assign(-1.0)
    quantizer.range_max.assign(1.0)
    x[0] = np.array([127] * 10 + [1]) / 128


def save(model: keras.Model, path: Path) -> None:
    """Save as HDF5. A large model goes through HDF5's newer layout: same content, half the size."""
    model.save(path)
    if path.stat().st_size <= COMPACT_ABOVE:
        return
    with (
        h5py.File(path.name, "w", libver="latest", driver="core", backing_store=False) as source,
        h5py.File(path, "w", libver="latest") as target,
    ):
        keras.models.save_model(model, source)
        # copying leaves behind the space that growing attributes have freed
        target.attrs.update(source.attrs)
        for group in source:
            source.copy(group, target)


def make(entry: Entry, outdir: Path) -> Iterator[Path]:
    """Write the files of one entry, yielding the path of each."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(entry.seed())
    architecture = ARCHITECTURES[entry.architecture]
    samples = structured_samples(entry, architecture)
    calibration, x = samples[: -entry.samples], samples[-entry.samples :]
    model = quantized_model(entry, architecture, float_model(entry, architecture, calibration), calibration)
    if entry.ties:
        craft_ties(model, x)
    if entry.train:
        train_one_step(model, calibration)
    path = outdir / f"{entry.name}.h5"
    save(model, path)
    yield path
    if entry.also_keras:
        model.save(path.with_suffix(".keras"))
        yield path.with_suffix(".keras")
    write(path.with_suffix(".npz"), record(model, x, streams=architecture.streams > 0))
    yield path.with_suffix(".npz")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--seed", default="", metavar="WORD", help="for other weights and samples")
    parser.add_argument("--akida1", action="store_true", help="the models for Akida 1")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[e.name for e in (*TABLE, *AKIDA1_TABLE)])
    options = parser.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    for entry in AKIDA1_TABLE if options.akida1 else TABLE:
        if not options.only or entry.name in options.only:
            for path in make(replace(entry, salt=options.seed), options.outdir):
                print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
