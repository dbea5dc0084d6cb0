"""The IR core: types, tensors, values, ops, graphs, locations, verifier, rewriting."""

from cnn2snn_ir.ir.fields import AttrValue, Field, Role, attr, constant, operand, operands, region
from cnn2snn_ir.ir.graph import Graph
from cnn2snn_ir.ir.location import UNKNOWN, Fused, Layer, Location, Text, Unknown, fuse
from cnn2snn_ir.ir.names import NameAuthority
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import F32, F64, ElementType, Kind, TensorType, si, ui
from cnn2snn_ir.ir.values import Use, Value

__all__ = [
    "F32",
    "F64",
    "UNKNOWN",
    "AttrValue",
    "ElementType",
    "Field",
    "Fused",
    "Graph",
    "Kind",
    "Layer",
    "Location",
    "NameAuthority",
    "Op",
    "Role",
    "Tensor",
    "TensorType",
    "Text",
    "Unknown",
    "Use",
    "Value",
    "attr",
    "constant",
    "fuse",
    "operand",
    "operands",
    "region",
    "si",
    "ui",
]
