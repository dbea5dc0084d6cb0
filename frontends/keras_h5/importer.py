"""Builds a module from a quantized Keras file: walks the layers, collects every fault.

Models of QuantizeML become `qnn` modules, by the tables below; legacy models `nn` modules (`legacy.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, fail
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.files import name_as_text
from cnn2snn_ir.frontends.keras_h5.archive import Archive, LayerRecord, read_archive
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, constant, frac_bits_tensor
from cnn2snn_ir.ir import F32, ElementType, Graph, Layer, Op, Tensor, Value, si, ui

LayerImporter = Callable[["Importer", LayerRecord, list[Tracked]], Tracked]
TABLE: dict[str, LayerImporter] = {}
"""Keras class ▶ function that emits the layer."""

TailImporter = Callable[["Importer", LayerRecord, Value], Value]
TAIL: dict[str, TailImporter] = {}
"""Keras class ▶ function that emits a float layer after the last integer; filled by `tail.py`."""

LAYER_MODULES = ("weighted", "pointwise", "lookup", "temporal", "shapes", "ends", "tail")
"""The modules whose functions fill the two tables."""

QUANTIZEML_ENDS = ("InputQuantizer", "Dequantizer")
"""Classes of QuantizeML that are not called `Quantized…`."""

INPUT_TYPES = {"uint8": ui(8), "int8": si(8), "int16": si(16), "float32": F32}


class UnsupportedLayerError(Exception):
    """Raised by a layer's importer; becomes a diagnostic that names the layer."""

    def __init__(self, message: str, *, found: str = "", allowed: str = "", help: str = "", code: str = "") -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code or "KERAS-LAYER", message, found=found, allowed=allowed, help=help)


def import_keras(path: Path) -> builtin.Module:
    """Import a quantized `.h5` or `.keras` file; raises `CompileError` with every fault found."""
    fill_tables()
    archive = read_archive(path)
    check_is_quantized(archive)
    if is_legacy(archive):
        from cnn2snn_ir.frontends.keras_h5.legacy import LegacyImporter  # most models have no use for it

        return LegacyImporter(archive).run()
    return Importer(archive).run()


def fill_tables() -> None:
    """Import the modules whose functions enter themselves into `TABLE` and `TAIL`."""
    for module in LAYER_MODULES:
        import_module(f"cnn2snn_ir.frontends.keras_h5.{module}")


def check_is_quantized(archive: Archive) -> None:
    """Refuse float models, and those quantized in two ways, with a word on what to do."""
    legacy = [r for r in archive.layers if of_legacy_api(r)]
    quantizeml = [r for r in archive.layers if of_quantizeml(r)]
    if legacy and quantizeml:
        raise fail(
            "KERAS-MIXED",
            "the model has layers of QuantizeML and of the legacy cnn2snn.quantize",
            where=str(archive.path),
            found=f"{described(quantizeml[0])} and {described(legacy[0])}",
            allowed="layers of one of them",
            help="quantize the whole float model with QuantizeML",
        )
    if not legacy and not quantizeml:
        raise fail(
            "KERAS-FLOAT",
            "the model is not quantized",
            where=str(archive.path),
            found=f"{len(archive.layers)} float layers, such as {described(archive.layers[-1])}",
            help="quantize it first: cnn2snn quantize-float -m MODEL.h5",
        )


def is_legacy(archive: Archive) -> bool:
    """True for a model quantized by the legacy API."""
    return any(map(of_legacy_api, archive.layers))


def of_legacy_api(record: LayerRecord) -> bool:
    """True for a layer with a quantizer of its own, or with quantized levels: classes of both APIs share names."""
    if record.class_name == "ActivationDiscreteRelu":
        return True
    quantized = record.class_name.startswith("Quantized") and "quant_config" not in record.config
    return quantized and ("quantizer" in record.config or "bitwidth" in record.config)


def of_quantizeml(record: LayerRecord) -> bool:
    """True for a layer of QuantizeML."""
    quantized = record.class_name.startswith("Quantized") and not of_legacy_api(record)
    return quantized or record.class_name in QUANTIZEML_ENDS


def described(record: LayerRecord) -> str:
    """A layer as messages name it."""
    return f"{record.name} ({record.class_name})"


class Importer:
    """The graph under construction, and what is known of each layer's output."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.graph = Graph()
        self.found = Diagnostics()
        self.integers: dict[str, Tracked] = {}
        self.floats: dict[str, Value] = {}
        self.broken: set[str] = set()
        self.layer: LayerRecord = archive.layers[0]

    # ---- what layer importers use ---------------------------------------------------------------------------

    def emit(self, op: Op) -> Value:
        """Append an op that belongs to the current layer; returns its result."""
        self.add(op)
        return op.result

    def add(self, op: Op) -> None:
        """Append an op that belongs to the current layer."""
        op.loc = Layer(self.layer.name, self.layer.class_name, self.layer.index)
        self.graph.append(op)

    def constant(self, values: Any, element: ElementType, suffix: str) -> Tensor:
        """A constant called after the current layer."""
        try:
            return constant(values, element, f"{self.layer.name}/{suffix}")
        except ValueError:
            range_found = f"{np.min(values)} to {np.max(values)}"
            raise UnsupportedLayerError(
                f"{suffix} does not fit its {element}",
                found=range_found,
                allowed=f"{element.lo} to {element.hi}",
                code="KERAS-RANGE",
            ) from None

    def shift(self, x: Tracked, frac_bits: Any, value_bits: int, element: ElementType) -> Tracked:
        """Move to other fractional bits: rounded to the right, saturated to `element`."""
        moves = np.asarray(frac_bits - x.frac_bits).astype(np.int64)
        value = x.value
        if moves.any() or element.hi < value.type.element.hi or element.lo > value.type.element.lo:
            value = self.emit(qnn.Shift(value, self.constant(moves, si(8), "shift"), element))
        return Tracked(value, value_bits, np.asarray(frac_bits), x.scale, x.positive, x.rate)

    # ---- the walk -------------------------------------------------------------------------------------------

    def run(self) -> builtin.Module:
        """Import all layers."""
        self.check_ends()
        for record in self.archive.layers:
            self.layer = record
            if any(name in self.broken for name in record.inbound):
                self.broken.add(record.name)  # its own fault, if any, cannot be told from its input's
                self.skip(record)
                continue
            try:
                with np.errstate(divide="raise", over="raise", invalid="raise"):  # never carry an infinity or a NaN on
                    self.import_layer(record)
            except UnsupportedLayerError as error:
                self.reject(record, error.diagnostic)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
                reason = f"{type(error).__name__}: {error}"
                self.reject(record, Diagnostic("KERAS-CONFIG", "its configuration cannot be read", found=reason[:200]))
        self.found.raise_errors(f"{self.archive.path}: cannot import the model")
        return self.finish()

    def skip(self, record: LayerRecord) -> None:
        """What can be said of a layer behind a broken one."""

    def reject(self, record: LayerRecord, diagnostic: Diagnostic) -> None:
        self.broken.add(record.name)
        self.found.add(
            Diagnostic(
                diagnostic.code,
                diagnostic.message,
                where=described(record),
                found=diagnostic.found,
                allowed=diagnostic.allowed,
                help=diagnostic.help,
            )
        )

    def check_ends(self) -> None:
        """Layers have names of their own; one is the input, one the output."""
        names = [record.name for record in self.archive.layers]
        counts = Counter(names)
        for name in (*self.archive.inputs, *self.archive.outputs, *names):
            if counts[name] != 1:
                found = f"{counts[name]} layers called {name}"
                raise fail("KERAS-NAMES", "layer names do not agree", where=str(self.archive.path), found=found)
        for what, ends in (("input", self.archive.inputs), ("output", self.archive.outputs)):
            if len(ends) != 1:
                raise fail(
                    "KERAS-ENDS",
                    f"the model must have one {what}",
                    where=str(self.archive.path),
                    found=f"{len(ends)}: {', '.join(ends)}",
                )

    def import_layer(self, record: LayerRecord) -> None:
        missing = [n for n in record.inbound if n not in self.integers and n not in self.floats]
        if missing:
            raise UnsupportedLayerError(f"it reads {missing[0]}, which does not come before it", code="KERAS-ORDER")
        if record.class_name == "InputLayer":
            self.import_input(record)
        elif any(n in self.floats for n in record.inbound) and record.class_name != "InputQuantizer":
            self.import_float(record)
        elif record.class_name in TABLE:
            inputs = [self.integers[n] for n in record.inbound if n in self.integers]
            before = self.graph.last
            tracked = TABLE[record.class_name](self, record, inputs)
            self.keep(record, tracked, self.graph.last is not before)
        else:
            raise UnsupportedLayerError(*self.unknown_class(record), allowed=", ".join(sorted(TABLE)))

    def unknown_class(self, record: LayerRecord) -> tuple[str]:
        """Why a class is not in the table."""
        if record.class_name.startswith("Quantized"):
            return (f"{record.class_name} is not supported yet",)
        return (f"{record.class_name} is not a quantized layer, and stands before the model's last integer",)

    def import_input(self, record: LayerRecord) -> None:
        shape = fixed_shape(record)
        element = INPUT_TYPES.get(str(record.config["dtype"]))
        if element is None:
            raise UnsupportedLayerError(
                "unknown input type", found=str(record.config["dtype"]), allowed=", ".join(INPUT_TYPES)
            )
        readers = [r for r in self.archive.layers if record.name in r.inbound]
        if element.is_float and any(r.class_name != "InputQuantizer" for r in readers):
            element = ui(8)  # QuantizeML casts a float input to its input type, uint8 unless told otherwise
        value = self.emit(builtin.Input(shape, element, name=record.name))
        if element.is_float:
            self.floats[record.name] = value
        else:
            bits = element.bits - (element.lo < 0)
            zero = np.asarray(np.float32(0))
            self.integers[record.name] = Tracked(value, bits, zero, positive=element.lo == 0)

    def import_float(self, record: LayerRecord) -> None:
        """A layer after the last integer: the host computes it."""
        importer = TAIL.get(record.class_name)
        if importer is None or len(record.inbound) != 1:
            raise UnsupportedLayerError(
                f"{record.class_name} is a float layer that the host does not compute",
                allowed=f"after the Dequantizer: {', '.join(sorted(TAIL))}",
                help="quantize the model without this layer, or quantize the layers after it too",
                code="KERAS-FLOAT-LAYER",
            )
        value = importer(self, record, self.floats[record.inbound[0]])
        self.floats[record.name] = value
        if value.name is None:
            value.name = record.name

    def keep(self, record: LayerRecord, tracked: Tracked, emitted: bool) -> None:
        """Remember a layer's output; the op that ends the layer gets its name and its real meaning."""
        value = tracked.value
        if value.type.element.is_float:
            self.floats[record.name] = value
        else:
            self.integers[record.name] = tracked
        if emitted and value.name is None:
            value.name = record.name
            if not value.type.element.is_float:
                value.owner.annotations["frac_bits"] = frac_bits_tensor(tracked.frac_bits)
                if tracked.scale is not None:
                    value.owner.annotations["scale"] = constant(tracked.scale, F32, "scale")
                if tracked.rate is not None:
                    value.owner.annotations["rate"] = constant(tracked.rate, F32, "rate")

    def finish(self) -> builtin.Module:
        name = self.archive.outputs[0]
        output = self.floats[name] if name in self.floats else self.integers[name].value
        self.graph.append(builtin.Return((output,)))
        return builtin.Module(
            self.archive.name,
            self.graph,
            annotations={"source": name_as_text(self.archive.path), "source_sha256": self.archive.sha256},
        )


LARGEST_SIDE = 1 << 24
"""More than any dimension of a sample."""


def fixed_shape(record: LayerRecord) -> tuple[int, ...]:
    """The shape of one sample of an input layer."""
    shape = record.config.get("batch_input_shape") or record.config["batch_shape"]
    if any(not isinstance(d, int) or not 1 <= d < LARGEST_SIDE for d in shape[1:]):
        raise UnsupportedLayerError(
            "the input's shape is not fixed", found=str(shape), help="give the model an input_shape"
        )
    return tuple(shape[1:])


def registered(table: dict[str, Any], *class_names: str) -> Callable[[Any], Any]:
    """Enter the decorated function into `table` under the Keras classes it imports."""

    def register(function: Any) -> Any:
        for name in class_names:
            if name in table:
                raise CompileError(Diagnostic("INTERNAL", f"{name} has two importers"))
            table[name] = function
        return function

    return register
