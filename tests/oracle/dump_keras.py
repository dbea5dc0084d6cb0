"""Record every tensor that a quantized Keras model computes, as integers.

Format of a dump (`.npz`):

* `x`: the input samples, in the dtype that the model takes (uint8 or float32).
* `__steps__`, for a model that remembers: how many calls it was given.  `x`, every layer's integers and
  `__output__` then have the calls as their first axis and the streams as their second; before the first call the
  model's memory is zero.
* for every layer NAME but the InputLayer, either
  - `NAME|v` the integers, in the smallest signed integer dtype that holds them,
    `NAME|fb` the fractional bits (float32, scalar or one per channel),
    `NAME|vb` the value bits, sign excluded (int32), and, for a tensor that carries a float scale,
    `NAME|scale` (float32, scalar or one per channel): the real value is v / 2^fb * scale; or
  - `NAME` alone, float32, for a float tensor (after a Dequantizer).
  For a large layer `NAME|v` is replaced by
  - `NAME|sha256` the hexadecimal SHA-256 of its int64 little-endian C-order bytes (a str array),
    `NAME|head` its first 64 integers in C order.
* `__output__`: what `model.predict(x)` returns.

All is computed inside one `tf.function`, because that is how `predict` runs: eager execution divides
where a graph multiplies by a reciprocal, and float scales then differ in the last bit.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray
from quantizeml.layers import BufferTempConv, DepthwiseBufferTempConv, StatefulRecurrent
from quantizeml.tensors import FixedPoint, QFloat

HEAD = 64
"""Integers kept of a layer of which only the hash is stored."""

FULL_LIMIT = 1000
"""Layers are stored in full up to this many compressed bytes."""

Array = NDArray[Any]
Dump = dict[str, Array]


def record(model: keras.Model, x: Array, *, streams: bool = False) -> Dump:
    """Run `model` on `x` in graph mode and return the dump of every layer, full values.

    With `streams`, each `x[i]` is one call with a batch of streams, in order.
    """
    inner = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    probe = keras.Model(model.inputs, [layer.output for layer in inner])
    function = tf.function(lambda batch: probe(batch, training=False))
    calls = list(x) if streams else [x]
    forget(inner)
    results = [function(call) for call in calls]
    dump: Dump = {"x": x} | ({"__steps__": np.array(len(calls), np.int32)} if streams else {})
    for layer, *tensors in zip(inner, *results, strict=True):
        described = [_describe(layer.name, tensor) for tensor in tensors]
        dump |= {key: _joined(key, [entries[key] for entries in described], streams) for key in described[0]}
    forget(inner)
    answers = [model.predict(call, batch_size=len(call), verbose=0) for call in calls]
    dump["__output__"] = _joined("__output__", answers, streams)
    last = model.output_names[0]
    if last in dump and not np.array_equal(dump[last], dump["__output__"]):
        raise AssertionError(f"{model.name}: the probe and model.predict disagree on '{last}'")
    return dump


def forget(layers: Iterable[keras.layers.Layer]) -> None:
    """Zero what layers remember of earlier calls."""
    for layer in layers:
        if isinstance(layer, BufferTempConv | DepthwiseBufferTempConv):
            layer.reset_buffer()
        elif isinstance(layer, StatefulRecurrent):
            layer.reset_layer_states()


def _joined(key: str, arrays: list[Array], streams: bool) -> Array:
    """One entry from those of all calls: values step by step, exponents and scales once."""
    if key.endswith(("|fb", "|vb", "|scale")):
        if any(not np.array_equal(array, arrays[0]) for array in arrays):
            raise AssertionError(f"'{key}' changes from call to call")
        return arrays[0]
    return np.stack(arrays) if streams else arrays[0]


def _describe(name: str, tensor: Any) -> Dump:
    """The dump entries of one layer output of one call."""
    if not isinstance(tensor, FixedPoint | QFloat):
        return {name: np.asarray(tensor)}
    entries: Dump = {
        f"{name}|v": _narrow(tensor.values.numpy()),
        f"{name}|fb": np.asarray(tensor.frac_bits, np.float32),
        f"{name}|vb": np.array(tensor.value_bits, np.int32),
    }
    if isinstance(tensor, QFloat):
        entries[f"{name}|scale"] = np.asarray(tensor.scales, np.float32)
    return entries


def _narrow(values: Array) -> Array:
    """Float-carried integers in the smallest signed dtype; raises if a value is no integer."""
    integers = values.astype(np.int64)
    if not np.array_equal(integers.astype(np.float64), values.astype(np.float64)):
        raise AssertionError("a quantized tensor holds a value that is not an integer")
    for dtype in (np.int8, np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= integers.min() and integers.max() <= limits.max:
            return integers.astype(dtype)
    return integers


def digest(values: Array) -> str:
    """SHA-256 of an integer array, independent of the dtype that it happens to have."""
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<i8").tobytes()).hexdigest()


def write(path: Path, dump: Dump) -> None:
    """Write `dump`, with the hash and the head of those layers whose values pack to over `FULL_LIMIT`."""
    kept: Dump = {}
    for key, values in dump.items():
        if key.endswith("|v") and _packed_size(values) > FULL_LIMIT:
            name = key.removesuffix("|v")
            kept[f"{name}|sha256"] = np.array(digest(values))
            kept[f"{name}|head"] = values.ravel()[:HEAD]
        else:
            kept[key] = values
    np.savez_compressed(path, **kept)


def _packed_size(values: Array) -> int:
    """Bytes that the values take in a compressed archive."""
    return len(zlib.compress(values.tobytes()))
