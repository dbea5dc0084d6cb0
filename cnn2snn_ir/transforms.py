"""The transforms of Keras models, under the module name of the legacy API."""

from cnn2snn_ir.keras.transforms import (
    fold_batchnorm,
    invert_batchnorm_pooling,
    normalize_separable_layer,
    normalize_separable_model,
    prepare_to_convert,
    reshape,
    sequentialize,
    syncretize,
    weights_homogeneity,
)

__all__ = [
    "fold_batchnorm",
    "invert_batchnorm_pooling",
    "normalize_separable_layer",
    "normalize_separable_model",
    "prepare_to_convert",
    "reshape",
    "sequentialize",
    "syncretize",
    "weights_homogeneity",
]
