"""Placing a program on a device: how layers are divided, which NPs work on them, and what is in them together."""

from cnn2snn_ir.backends.mapping.mapper import map_program
from cnn2snn_ir.backends.mapping.modes import MapMode
from cnn2snn_ir.backends.mapping.plan import Mapping, Part, PassPlan, PlacedLayer, SequencePlan

__all__ = ["MapMode", "Mapping", "Part", "PassPlan", "PlacedLayer", "SequencePlan", "map_program"]
