"""Record what Keras computes for the layer models, step by step where they remember.

usage: python digest_layers.py FOLDER

Needs an environment with `quantizeml` (see README.md beside this file).  For every NAME.h5 in FOLDER with its samples
in NAME.input.npz, NAME.expect.npz gets, for each layer, `LAYER|sha256` of its integers (int64, little-endian, C
order), `LAYER|fb`, `LAYER|vb`, `LAYER|scale` where it has one, and `__output__`.  For models that remember, the first
axis of the samples is time, one call a step, and so it is of what is recorded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras
from dump_keras import digest
from quantizeml.tensors import FixedPoint, QFloat

STREAMS = ("btc_888", "rec")


def tensors_of(model: keras.Model, calls: list[np.ndarray]) -> dict[str, list[object]]:
    """Every layer's output, one for each call, in graph mode."""
    inner = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    probe = keras.Model(model.inputs, [layer.output for layer in inner])
    function = tf.function(lambda batch: probe(batch, training=False))
    found = [function(call) for call in calls]
    return {layer.name: [tensors[i] for tensors in found] for i, layer in enumerate(inner)}


def main(folder: Path) -> None:
    for path in sorted(folder.glob("*.h5")):
        samples = np.load(path.with_suffix(".input.npz"))["x"]
        stream = path.stem in STREAMS
        model = keras.models.load_model(path, compile=False)
        kept: dict[str, np.ndarray] = {}
        for name, results in tensors_of(model, list(samples) if stream else [samples]).items():
            last = results[-1]
            if not isinstance(last, FixedPoint | QFloat):
                kept["__output__"] = np.stack(results) if stream else np.asarray(last)
                continue
            values = [r.values.numpy().astype(np.int64) for r in results]
            kept[f"{name}|sha256"] = np.array(digest(np.stack(values) if stream else values[0]))
            kept[f"{name}|fb"] = np.asarray(last.frac_bits, np.float32)
            kept[f"{name}|vb"] = np.int32(last.value_bits)
            if isinstance(last, QFloat):
                kept[f"{name}|scale"] = np.asarray(last.scales, np.float32)
        np.savez_compressed(path.with_suffix(".expect.npz"), **kept)
        print(f"{path.stem}: {len(kept)} entries", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
