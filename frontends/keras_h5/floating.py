"""Float models: Keras's own layers, as they were trained, become `nn` ops.  Branches are allowed.

Layers of integers have no place here, and a layer that Keras may know but this table does not is refused by name, all
of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.frontends.keras_h5.activations import apply
from cnn2snn_ir.frontends.keras_h5.archive import Archive, LayerRecord, read_archive
from cnn2snn_ir.frontends.keras_h5.importer import (
    INPUT_TYPES,
    Importer,
    TailImporter,
    UnsupportedLayerError,
    described,
    fixed_shape,
    of_legacy_api,
    of_quantizeml,
)
from cnn2snn_ir.ir import Value

FLOAT: dict[str, TailImporter] = {}
"""Keras class of one input ▶ function that emits the layer."""

MergeImporter = Callable[[Importer, LayerRecord, list[Value]], Value]
MERGES: dict[str, MergeImporter] = {}
"""Keras class of several inputs ▶ function that emits the layer."""

INSTEAD = {
    "Multiply": "train the model without squeeze-and-excitation, and its activations as layers: no hardware layer "
    "multiplies two values",
    "Lambda": "use layers of Keras: code in a file is not run",
    "TFOpLambda": "use layers of Keras instead of TensorFlow's functions",
    "Cropping2D": "crop the samples, or let the convolution in front pad less",
    "Functional": "only models with one input and one output can be layers",
    "Conv1D": "use Conv2D on maps of one row",
    "ThresholdedReLU": "use ReLU",
}
"""What to do about classes that have no importer."""

LAYER_MODULES = ("float_weighted", "float_layers")
"""The modules whose functions fill the two tables."""


def import_float_keras(path: Path) -> builtin.Module:
    """Import a float `.h5` or `.keras` file as an `nn` module; raises `CompileError` with every fault found."""
    archive = read_archive(path)
    check_is_float(archive)
    for module in LAYER_MODULES:
        import_module(f"cnn2snn_ir.frontends.keras_h5.{module}")
    return FloatImporter(archive).run()


def check_is_float(archive: Archive) -> None:
    """Refuse models that are quantized already."""
    quantized = [r for r in archive.layers if of_legacy_api(r) or of_quantizeml(r)]
    if quantized:
        raise fail(
            "KERAS-QUANTIZED",
            "the model is quantized already",
            where=str(archive.path),
            found=f"{len(quantized)} quantized layers, such as {described(quantized[0])}",
            help="convert it as it is: cnn2snn convert -m MODEL",
        )


class FloatImporter(Importer):
    """Builds an `nn` module; every value but an integer input is a float."""

    def import_layer(self, record: LayerRecord) -> None:
        if record.class_name == "InputLayer":
            self.import_input(record)
            return
        missing = [name for name in record.inbound if name not in self.floats]
        if missing:
            raise UnsupportedLayerError(f"it reads {missing[0]}, which does not come before it", code="KERAS-ORDER")
        before = self.graph.last
        value = self.emit_layer(record, [self.floats[name] for name in record.inbound])
        self.floats[record.name] = value
        if self.graph.last is not before and value.name is None:
            value.name = record.name

    def import_input(self, record: LayerRecord) -> None:
        """An input; of integers, layers read the reals that these are."""
        element = INPUT_TYPES.get(str(record.config.get("dtype", "float32")))
        if element is None:
            found, allowed = str(record.config["dtype"]), ", ".join(INPUT_TYPES)
            raise UnsupportedLayerError("unknown input type", found=found, allowed=allowed)
        value = self.emit(builtin.Input(fixed_shape(record), element, name=record.name))
        self.floats[record.name] = value if element.is_float else self.emit(nn.InputScaling(value))

    def emit_layer(self, record: LayerRecord, inputs: list[Value]) -> Value:
        """Emit a layer; raises `UnsupportedLayerError` if there is no way."""
        if record.calls > 1:
            message = "the model calls it more than once"
            found = f"{record.calls} calls"
            raise UnsupportedLayerError(message, found=found, allowed="one call", code="KERAS-SHARED")
        if record.class_name in MERGES:
            return MERGES[record.class_name](self, record, inputs)
        importer = self.importer(record)
        if len(inputs) != 1:
            raise UnsupportedLayerError(
                "it reads one value", found=", ".join(record.inbound) or "nothing", code="KERAS-BRANCH"
            )
        return importer(self, record, inputs[0])

    def importer(self, record: LayerRecord) -> TailImporter:
        """The function for a layer's class; raises `UnsupportedLayerError` if there is none."""
        if record.class_name not in FLOAT:
            message, instead = f"{record.class_name} is not supported", INSTEAD.get(record.class_name, "")
            raise UnsupportedLayerError(message, allowed=", ".join(supported_classes()), help=instead)
        return FLOAT[record.class_name]

    def skip(self, record: LayerRecord) -> None:
        """Of a layer behind a broken one at least the class can be judged."""
        if record.class_name not in MERGES:
            try:
                self.importer(record)
            except UnsupportedLayerError as error:
                self.reject(record, error.diagnostic)


def supported_classes() -> list[str]:
    """The classes with an importer, each function's under the first of its names."""
    return sorted({function: name for name, function in reversed((FLOAT | MERGES).items())}.values())


def activated(imp: Importer, record: LayerRecord, x: Value) -> Value:
    """The activation built into a layer: a name, or a layer of its own."""
    activation: Any = record.config.get("activation")
    if isinstance(activation, dict) and activation.get("class_name") in FLOAT:
        inner = LayerRecord(activation["class_name"], record.name, dict(activation["config"]), (), record.index)
        return FLOAT[inner.class_name](imp, inner, x)
    return apply(imp, activation, x)


def refuse(message: str, found: object, allowed: str, help: str = "") -> UnsupportedLayerError:
    """The error for a setting that no op has."""
    return UnsupportedLayerError(message, found=str(found)[:200], allowed=allowed, help=help)
