"""The constraint for batch normalization, under the name of the module that scripts import it from."""

from cnn2snn_ir.keras.constraints import MinValueConstraint

__all__ = ["MinValueConstraint"]
