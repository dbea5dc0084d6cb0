"""What model files name: the classes of this package, and how to load a model that has some of them."""

from __future__ import annotations

import os
import warnings
from typing import Any

import keras

from cnn2snn_ir.keras import keras2, layers, quantizers
from cnn2snn_ir.keras.activations import ActivationDiscreteRelu, QuantizedReLU
from cnn2snn_ir.keras.constraints import MinValueConstraint
from cnn2snn_ir.keras.errors import refuse

cnn2snn_objects: dict[str, type[Any]] = {
    **quantizers.CLASSES,
    **layers.CLASSES,
    "ActivationDiscreteRelu": ActivationDiscreteRelu,
    "QuantizedReLU": QuantizedReLU,
    "MinValueConstraint": MinValueConstraint,
}
"""Class name ▶ class, for the `custom_objects` of Keras."""


def register() -> None:
    """Let Keras find these classes wherever it makes objects from configurations: in files, in clones of models.

    By their bare names, which model files hold; `register_keras_serializable` would put a package before them.
    """
    keras.saving.get_custom_objects().update(cnn2snn_objects)


def load_quantized_model(
    filepath: str | os.PathLike[str], custom_objects: dict[str, Any] | None = None, compile_model: bool = True
) -> Any:
    """Load a model with quantized layers, saved by Keras 3, or by Keras 2 as `.h5`.

    Args:
        filepath: a `.h5` or `.keras` file.
        custom_objects: classes of your own; those of this package come first where names clash.
        compile_model: also compile it for training, if the file says how; a warning tells if that is impossible.
            The optimizer of a `.h5` file starts afresh.

    Returns:
        the Keras model.

    Raises:
        QuantizationError: if there is no such file, or Keras cannot make a model of it.
    """
    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise refuse("FILE-MISSING", "there is no such file", where=path, help="check the path")
    if os.path.isdir(path):
        raise refuse("FILE-DIRECTORY", "this is a folder", where=path, help="name the file in it")
    readers = {} if path.endswith(".keras") else keras2.READERS
    known = {**readers, **(custom_objects or {}), **cnn2snn_objects}
    try:
        model = keras.models.load_model(path, custom_objects=known, compile=compile_model)
        if model.compiled and not path.endswith(".keras"):  # Keras 3 ties the optimizer of such files to no variable
            model.compile_from_config(model.get_compile_config())
        return model
    except Exception as error:  # Keras has no class of its own for files that it cannot load
        if compile_model and (model := without_training(path, known)) is not None:
            warnings.warn(f"{path}: the model is not compiled for training: {brief(error)}", stacklevel=2)
            return model
        raise refuse(
            "QUANT-LOAD",
            "Keras cannot load the model",
            where=path,
            found=brief(error),
            allowed="a .h5 or .keras file of float layers and layers quantized by this API",
        ) from error


def without_training(path: str, known: dict[str, Any]) -> Any:
    """The model of a file of which only losses, metrics or the optimizer cannot be loaded; None if it is more.

    Keras 3 does not know all that Keras 2 wrote about training, nor in `.h5` files all that it writes itself.
    """
    try:
        return keras.models.load_model(path, custom_objects=known, compile=False)
    except Exception:  # as above
        return None


def brief(error: Exception) -> str:
    """What Keras says, on one line of bearable length."""
    return " ".join(str(error).split())[:400]
