"""`cnn2snn reshape`: another input size for a Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnn2snn_ir.tools import keras_models


def reshaped_path(model: Path, width: int, height: int) -> Path:
    """Where the model goes: beside the one that was read, the size in the name, width first."""
    return model.parent / f"{model.stem}_{width}_{height}.h5"


def reshape(path: Path, width: int, height: int) -> Any:
    """The model of a file for images of another size; raises `CompileError`."""
    model = keras_models.load(path)
    from cnn2snn_ir.keras.transforms import reshape

    return reshape(model, height, width)
