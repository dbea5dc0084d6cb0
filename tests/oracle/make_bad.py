"""Make the .h5 files that a frontend must refuse with a proper message.

usage: python make_bad.py OUTDIR

Needs the same environment as `make_models.py`.

* `float.h5`: a float network, never quantized.
* `lambda.h5`: a quantized network whose configuration also holds a Lambda layer with serialized Python
  code. Whoever runs that code creates the file `lambda_was_executed` in the current folder.
* `unsupported_layer.h5`: a quantized network in which one layer has a class that nobody knows.
* `unsupported_mid.h5`: QuantizeML stopped at an UpSampling2D in the middle; float layers follow it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import tensorflow as tf
import tf_keras as keras
from architectures import RELU6, conv, dense, global_pool
from quantizeml.models import quantize
from tf_keras import layers

SHAPE = (8, 8, 3)
SNEAKY_CODE = "lambda x: (open('lambda_was_executed', 'w').close(), x)[1]"
LayerConfig = dict[str, Any]


def network(middle: Callable[[Any], Any] | None = None) -> keras.Model:
    """Two convolutions and a classifier on a small uint8 image, with `middle` between them."""
    inputs = keras.Input(SHAPE, dtype="uint8", name="input")
    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = conv(x, "c0", 4, relu=RELU6, pool=2)
    if middle:
        x = middle(x)
    x = conv(x, "c1", 5, relu=RELU6)
    x = dense(global_pool(x), "classes", 3)
    return keras.Model(inputs, layers.Softmax(name="probabilities")(x), name="bad")


def quantized(model: keras.Model) -> keras.Model:
    """8-bit quantization, calibrated on seeded noise."""
    samples = np.random.default_rng(1).integers(0, 256, (32, *SHAPE), dtype=np.uint8)
    return quantize(model, samples=samples, num_samples=len(samples), batch_size=16)


def edit_layers(path: Path, edit: Callable[[list[LayerConfig]], None]) -> None:
    """Change the list of layers in the `model_config` of a saved model; weights stay as they are."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)


def insert_lambda(layer_configs: list[LayerConfig]) -> None:
    """Put a Lambda layer behind the first ReLU."""
    # compiled from text, because serialized code names the file that it comes from
    function = eval(compile(SNEAKY_CODE, "sneaky.py", "eval"))
    config = {
        "class_name": "Lambda",
        "config": layers.Lambda(function, name="sneaky").get_config(),
        "name": "sneaky",
        "inbound_nodes": [[["c0_relu", 0, 0, {}]]],
    }
    index = next(i for i, layer in enumerate(layer_configs) if layer["name"] == "c0_relu")
    layer_configs[index + 1]["inbound_nodes"] = [[["sneaky", 0, 0, {}]]]
    layer_configs.insert(index + 1, config)


def rename_class(layer_configs: list[LayerConfig]) -> None:
    """Give the second convolution a class that does not exist."""
    layer = next(layer for layer in layer_configs if layer["name"] == "c1")
    layer["class_name"] = "Custom>QuantizedFancy"


def make(outdir: Path) -> None:
    """Write all files."""
    keras.utils.set_random_seed(1)
    plain = network()
    plain.save(outdir / "float.h5")
    model = quantized(plain)
    for name, edit in (("lambda", insert_lambda), ("unsupported_layer", rename_class)):
        model.save(outdir / f"{name}.h5")
        edit_layers(outdir / f"{name}.h5", edit)
    stopped = quantized(network(layers.UpSampling2D(2, name="up")))
    stopped.save(outdir / "unsupported_mid.h5")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("outdir", type=Path)
    options = parser.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    make(options.outdir)


if __name__ == "__main__":
    main()
