"""A model over time that Akida 2 has layers for: the recorded one with a signed input, and frames for it."""

import json
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
from generators.recorded import FIXTURES

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.frontends import load_model

MODEL = FIXTURES / "layers" / "btc_888.h5"

with np.load(MODEL.with_suffix(".input.npz")) as archive:
    FRAMES = archive["x"] // 2
    """[steps, streams, 6, 6, 2]."""


def write_signed(path):
    """The model file, but with signed frames."""
    shutil.copy(MODEL, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (entry,) = (layer for layer in config["config"]["layers"] if layer["class_name"] == "InputLayer")
        entry["config"]["dtype"] = "int8"
        file.attrs["model_config"] = json.dumps(config)
    return path


def signed_stream():
    """The model as imported."""
    with tempfile.TemporaryDirectory() as folder:
        return load_model(write_signed(Path(folder) / "signed.h5"))


def streaming_program():
    """The model compiled."""
    with tempfile.TemporaryDirectory() as folder:
        return compile_model(write_signed(Path(folder) / "signed.h5"))[0]
