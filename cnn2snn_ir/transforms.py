"""The transforms of Keras models, under the module name of the legacy API."""

from cnn2snn_ir.keras.transforms import *  # noqa: F403
from cnn2snn_ir.keras.transforms import __all__ as __all__
