"""The check of legacy models, under the module name of the legacy API."""

from cnn2snn_ir.keras.compatibility import check_model_compatibility

__all__ = ["check_model_compatibility"]
