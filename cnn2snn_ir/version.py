"""The version: here, and nowhere else."""

__version__ = "0.1.0"

TOOL = f"cnn2snn-ir {__version__}"
"""How manifests, dumps and reproducers name their maker."""
