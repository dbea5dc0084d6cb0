"""`cnn2snn quantize`: quantize a Keras model by the legacy API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cnn2snn_ir.diagnostics import Diagnostics
from cnn2snn_ir.tools import keras_models

WIDTHS = re.compile(r"_iq\d+_wq\d+_aq\d+$")
"""What this command appends to names; it is replaced at the end of a name only."""


def quantized_path(model: Path, inputs: int, weights: int, activations: int) -> Path:
    """Where the quantized model goes: beside the model, the widths in the name."""
    return model.parent / f"{WIDTHS.sub('', model.stem)}_iq{inputs}_wq{weights}_aq{activations}.h5"


def quantize(path: Path, inputs: int, weights: int, activations: int, fold_batchnorm: bool) -> tuple[Any, Diagnostics]:
    """The quantized model of a file, and warnings about what is left in float; raises `CompileError`."""
    model = keras_models.load(path)
    from cnn2snn_ir.keras.quantize import quantize_and_tell

    return quantize_and_tell(model, weights, activations, inputs, fold_batchnorm)
