"""Models of the legacy cnn2snn API, as records of layers and as the files that Keras writes of them.

A model is a straight line of `LayerRecord`s, with random weights.  `networks()` draws legal ones; `write_h5` and
`write_keras` write them as tf_keras and Keras 3 do.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.frontends.keras_h5.archive import VARIABLES, Archive, LayerRecord, archive_places
from cnn2snn_ir.frontends.keras_h5.importer import fill_tables
from cnn2snn_ir.frontends.keras_h5.legacy import LegacyImporter

F = np.float32


@dataclass
class Line:
    """A line of layers under construction; `shape` is that of one sample."""

    shape: tuple[int, ...]
    seed: int = 0
    name: str = "net"
    records: list[LayerRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.add("InputLayer", "input", batch_input_shape=[None, *self.shape], dtype="float32")

    def add(
        self, class_name: str, name: str | None = None, weights: dict[str, Any] | None = None, **config: Any
    ) -> Line:
        name = name or f"{class_name.lower()}_{len(self.records)}"
        inbound = (self.records[-1].name,) if self.records else ()
        stored = {key: np.asarray(value, F) for key, value in (weights or {}).items()}
        config = {"name": name, **config}
        self.records.append(LayerRecord(class_name, name, config, inbound, len(self.records), stored))
        return self

    def normal(self, *shape: int, spread: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(shape) * spread).astype(F)

    # ---- layers -----------------------------------------------------------------------------------------------------

    def rescaling(self, scale: float = 1 / 255, offset: float = 0.0) -> Line:
        return self.add("Rescaling", scale=scale, offset=offset)

    def conv(self, channels: int, filters: int, kernel: int | tuple[int, int] = 3, **options: Any) -> Line:
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights = {"kernel": self.normal(*size, channels, filters, spread=0.5)}
        return self.weighted("QuantizedConv2D", weights, filters, kernel_size=list(size), **options)

    def separable(self, channels: int, filters: int, kernel: int = 3, **options: Any) -> Line:
        weights = {
            "depthwise_kernel": self.normal(kernel, kernel, channels, 1, spread=0.5),
            "pointwise_kernel": self.normal(1, 1, channels, filters, spread=0.5),
        }
        bits = options.get("bits", 4)
        options.setdefault("quantizer_dw", quantizer("MaxQuantizer", bits))
        return self.weighted("QuantizedSeparableConv2D", weights, filters, kernel_size=[kernel, kernel], **options)

    def dense(self, inputs: int, units: int, **options: Any) -> Line:
        return self.weighted("QuantizedDense", {"kernel": self.normal(inputs, units, spread=0.5)}, units, **options)

    def weighted(
        self,
        class_name: str,
        weights: dict[str, np.ndarray],
        filters: int,
        bits: int = 4,
        kind: str = "MaxPerAxisQuantizer",
        use_bias: bool = True,
        name: str | None = None,
        **config: Any,
    ) -> Line:
        """Any layer with weights; 0 bits leave them float."""
        if use_bias:
            weights = {**weights, "bias": self.normal(filters, spread=0.3)}
        if bits:
            config["quantizer"] = quantizer(kind, bits)
        else:
            class_name = class_name.removeprefix("Quantized")
            config.pop("quantizer_dw", None)
        if class_name.endswith("Conv2D"):
            config = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1], **config}
        return self.add(class_name, name, weights, use_bias=use_bias, **config)

    def relu(self, bits: int = 4, max_value: float | None = 6.0, name: str | None = None) -> Line:
        return self.add("QuantizedReLU", name, bitwidth=bits, max_value=max_value)

    def pool(self, size: int = 2, strides: int = 2, padding: str = "same") -> Line:
        return self.add("MaxPooling2D", pool_size=[size] * 2, strides=[strides] * 2, padding=padding)

    def average(self, keepdims: bool = False) -> Line:
        return self.add("GlobalAveragePooling2D", keepdims=keepdims)

    def batchnorm(self, channels: int, lowest: float = 0.2, axis: Any = -1, name: str | None = None) -> Line:
        """Gammas from `lowest` to 1.5; below 0 they turn channels around."""
        weights = {
            "gamma": self.rng.uniform(lowest, 1.5, channels),
            "beta": self.normal(channels, spread=0.3),
            "moving_mean": self.normal(channels, spread=0.3),
            "moving_variance": self.rng.uniform(0.3, 2.0, channels),
        }
        return self.add("BatchNormalization", name, weights, axis=axis, epsilon=1e-3, scale=True, center=True)

    # ---- results ----------------------------------------------------------------------------------------------------

    def archive(self) -> Archive:
        ends = ((self.records[0].name,), (self.records[-1].name,))
        return Archive(Path(f"{self.name}.h5"), "0" * 64, self.name, tuple(self.records), *ends)

    def module(self) -> Module:
        """The model as imported."""
        fill_tables()
        return LegacyImporter(self.archive()).run()


def quantizer(class_name: str, bits: int, **config: Any) -> dict[str, Any]:
    """A serialized weight quantizer."""
    return {"class_name": class_name, "config": {"name": "quantizer", "bitwidth": bits, **config}}


# ---- the models of the fixtures -------------------------------------------------------------------------------------


def rgb_std() -> Line:
    """Three channels with an offset, valid padding, weights by standard deviations, discrete ReLU, dropout."""
    line = Line((12, 12, 3), 1, "rgb_std").rescaling(1 / 128, -1.0)
    line.conv(3, 8, strides=[2, 2], padding="valid", bits=8, kind="StdPerAxisQuantizer").batchnorm(8, -1.5, axis=[3])
    line.add("ActivationDiscreteRelu", "discrete_relu", bitwidth=2)
    line.conv(8, 12, bits=4, kind="StdWeightQuantizer", use_bias=False)
    line.relu(2, 4.0).pool().add("Dropout", rate=0.25)
    line.add("Flatten", "flatten").dense(108, 5, kind="StdWeightQuantizer", name="logits")
    return line.add("Activation", "softmax", activation="softmax")


def gap_separable() -> Line:
    """Separable convolutions, an average in front of its activation, and a vector that becomes a map again."""
    line = Line((10, 8, 1), 2, "gap_separable").rescaling()
    line.conv(1, 6, kernel=5, bits=8).relu(4).separable(6, 8, strides=[2, 2]).batchnorm(8).relu(4)
    line.separable(8, 10, quantizer_dw=None, kind="StdWeightQuantizer").average().batchnorm(10, -1.0).relu(4, 2.0)
    line.add("Reshape", "to_map", target_shape=[1, 1, 10]).add("SpatialDropout2D", rate=0.1)
    line.separable(10, 4, name="classes")
    return line.add("Reshape", "to_vector", target_shape=[4]).add("Softmax", "probabilities", axis=-1)


def vector_mlp() -> Line:
    """Dense layers only, on 4-bit inputs that nothing rescales, with one scale for a whole layer; levels at the end."""
    line = Line((20,), 3, "vector_mlp").dense(20, 16, kind="MaxQuantizer").batchnorm(16, -1.0).relu(4, None)
    line.add("Dropout", rate=0.5).dense(16, 12, bits=2).relu(1, 1.0).dense(12, 6, bits=2, kind="StdPerAxisQuantizer")
    return line.relu(2, 3.0, name="levels")


def shifted_same() -> Line:
    """Padding with the shift of the input, pooling before normalization, valid pooling behind valid convolutions."""
    line = Line((14, 14, 3), 4, "shifted_same").rescaling(1 / 127, -100 / 127)
    line.conv(3, 6, kernel=3, bits=8, strides=[1, 1]).pool(2, 2).batchnorm(6).relu(4)
    line.conv(6, 8, padding="valid", kernel=3).relu(1, 2.0).pool(3, 2, "valid")
    return line.conv(8, 7, kernel=1, bits=2).average().relu(2).dense(7, 3, name="logits")


FILES = {model.__name__: model for model in (rgb_std, gap_separable, vector_mlp, shifted_same)}


# ---- random models --------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["MaxQuantizer", "MaxPerAxisQuantizer", "StdWeightQuantizer", "StdPerAxisQuantizer"])
WEIGHT_BITS = st.sampled_from([2, 4, 8])
PADDINGS = st.sampled_from(["same", "valid"])


@st.composite
def networks(draw: Any) -> Line:
    """A legal model: an image or a vector, a few layers, perhaps activated and with a head."""
    image = draw(st.booleans())
    channels = draw(st.sampled_from([1, 3])) if image else draw(st.sampled_from([2, 5, 8]))
    size = draw(st.integers(6, 9))
    flat = not image and draw(st.booleans())
    line = Line((channels,) if flat else (size, draw(st.integers(6, 9)), channels), draw(st.integers(0, 2**32 - 1)))
    offset = 0.0
    if draw(st.booleans()):
        scale = draw(st.sampled_from([1 / 255, 1 / 16, 0.1]))
        offset = draw(st.sampled_from([0.0, -scale * 7, -scale * 2.5])) if image else 0.0
        line.rescaling(scale, offset)
    if not flat:
        whole = offset == 0 or abs(round(offset / scale) - offset / scale) < 1e-6
        channels = draw(convolutions(line, channels, ["same", "valid"] if whole else ["valid"]))
    for _ in range(draw(st.integers(flat, 2))):
        units = draw(st.integers(2, 6))
        inputs = line.module().outputs[0].type
        if inputs.rank > 2:
            line.add("Flatten")
        line.dense(int(np.prod(inputs.per_sample)), units, bits=draw(WEIGHT_BITS), kind=draw(KINDS))
        if draw(st.booleans()):
            line.batchnorm(units, draw(st.sampled_from([-1.0, 0.2])))
        draw(activation(line))
    if draw(st.booleans()):
        line.records.pop()  # the last activation
    return line


@st.composite
def convolutions(draw: Any, line: Line, channels: int, first_padding: list[str]) -> int:
    """One to three convolutions, each with pooling, normalization and activation."""
    for index in range(draw(st.integers(1, 3))):
        filters, padding = draw(st.integers(2, 5)), draw(st.sampled_from(first_padding if index == 0 else ["same"]))
        strides = [draw(st.integers(1, 2)), draw(st.integers(1, 2))]
        options = {"bits": draw(WEIGHT_BITS), "padding": padding, "strides": strides, "use_bias": draw(st.booleans())}
        if index and draw(st.booleans()):
            line.separable(channels, filters, **{**options, "kind": draw(KINDS)})
        else:
            line.conv(channels, filters, draw(st.sampled_from([1, 3, (3, 2)])), kind=draw(KINDS), **options)
        channels = filters
        order = draw(st.permutations(["pool", "activation"])) if draw(st.booleans()) else ["activation"]
        if draw(st.booleans()):
            line.batchnorm(channels, -1.0)
        for part in order:
            if part == "pool":
                line.pool(2, draw(st.integers(1, 2)), padding)
                if order[0] == "pool" and draw(st.booleans()):
                    line.batchnorm(channels, 0.2)
            else:
                draw(activation(line))
    if draw(st.booleans()):
        line.conv(channels, 3, 1, bits=draw(WEIGHT_BITS)).average(draw(st.booleans()))
        if draw(st.booleans()):
            line.batchnorm(3, -1.0)
        channels = 3
        draw(activation(line))
    return channels


@st.composite
def activation(draw: Any, line: Line) -> None:
    """A quantized activation, perhaps with dropout behind it."""
    bits = draw(st.sampled_from([1, 2, 4]))
    if draw(st.booleans()):
        line.relu(bits, draw(st.sampled_from([None, 6.0, 1.0, 0.7])))
    else:
        line.add("ActivationDiscreteRelu", bitwidth=bits)


# ---- files ----------------------------------------------------------------------------------------------------------


def record_config(record: LayerRecord) -> dict[str, Any]:
    return {"class_name": record.class_name, "config": record.config}


def write_h5(line: Line, path: Path, keras3: bool = False, functional: bool = False, input_layer: bool = True) -> Path:
    """A legacy HDF5 file; `keras3` names variables by their paths, `input_layer` false leaves that layer out."""
    with h5py.File(path, "w", track_order=True) as file:
        layers = [record_config(r) for r in line.records]
        config: dict[str, Any] = {"name": line.name, "layers": layers}
        if functional:
            for record, entry in zip(line.records, layers, strict=True):
                entry["name"] = record.name
                entry["inbound_nodes"] = nodes(record, keras3)
            config |= {"input_layers": [[line.records[0].name, 0, 0]], "output_layers": [[line.records[-1].name, 0, 0]]}
        elif not input_layer:
            shape = layers.pop(0)["config"]["batch_input_shape"]
            layers[0] = {**layers[0], "config": {**layers[0]["config"], "batch_input_shape": shape}}
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Functional" if functional else "Sequential", "config": config}
        )
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "3.8.0" if keras3 else "2.19.0"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [r.name.encode() for r in line.records]
        for record in line.records:
            group = weights.create_group(record.name)
            prefix = f"{line.name}/{record.name}" if keras3 else record.name
            names = [f"{prefix}/{name}{'' if keras3 else ':0'}" for name in record.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, record.weights.values(), strict=True):
                group.create_dataset(name, data=values)
    return path


def nodes(record: LayerRecord, keras3: bool) -> list[Any]:
    """The inbound nodes of a layer of a functional model."""
    if not record.inbound:
        return []
    if not keras3:
        return [[[name, 0, 0, {}] for name in record.inbound]]
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [n, 0, 0]}} for n in record.inbound]
    return [{"args": tensors, "kwargs": {}}]


def write_keras(line: Line, path: Path) -> Path:
    """An archive of Keras 3: variables by index."""
    layers = [record_config(replace(r, config={**r.config})) for r in line.records]
    layers[0]["config"]["batch_shape"] = layers[0]["config"].pop("batch_input_shape")
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        for record, (_, place, _) in zip(line.records, archive_places(layers), strict=True):
            order = VARIABLES.get(record.class_name.removeprefix("Quantized"), ())
            for index, name in enumerate(name for name in order if name in record.weights):
                file.create_dataset(f"{place}/vars/{index}", data=record.weights[name])
    with zipfile.ZipFile(path, "w") as archive:
        config = {"class_name": "Sequential", "config": {"name": line.name, "layers": layers}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", stored.getvalue())
    return path
