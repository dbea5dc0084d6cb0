"""Transforms of Keras models that keep what they compute: a new model comes back, the argument is never changed."""

from cnn2snn_ir.keras.transforms.batchnorm import fold_batchnorm, invert_batchnorm_pooling
from cnn2snn_ir.keras.transforms.homogeneity import weights_homogeneity
from cnn2snn_ir.keras.transforms.reshape import reshape
from cnn2snn_ir.keras.transforms.separable import normalize_separable_layer, normalize_separable_model
from cnn2snn_ir.keras.transforms.sequentialize import sequentialize
from cnn2snn_ir.keras.transforms.syncretize import prepare_to_convert, syncretize

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
