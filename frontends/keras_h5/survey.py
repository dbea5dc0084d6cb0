"""Imports what can be imported of a model that has faults, to find as many of them as possible at once.

Behind a layer that cannot be imported stands a *stand-in*: an input of the shape and the kind of numbers that the
layer would have given.  So the layers behind it are looked at too.  Behind a layer of an unknown class the shape is
a guess; what follows from a guess is not reported.

The module serves only to be checked; it computes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.geometry import Padding, spatial
from cnn2snn_ir.frontends.keras_h5.archive import Archive, LayerRecord, read_archive
from cnn2snn_ir.frontends.keras_h5.importer import (
    TAIL,
    Importer,
    UnsupportedLayerError,
    check_is_quantized,
    fill_tables,
    is_legacy,
)
from cnn2snn_ir.frontends.keras_h5.legacy import LegacyImporter
from cnn2snn_ir.frontends.keras_h5.steps import pair, window_strides
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import Op, TensorType, Value

FROM_A_GUESS = ("KERAS-CONFIG", "KERAS-RANGE")
"""Faults of a layer that may be those of the shape guessed for its input.  Nor does anybody know then whether a float
layer stands behind the last integer."""

DEFAULT_BITS = 8
LARGEST = 1 << 16
"""No side of a map, and no number of channels, is larger; one that seems so is a fault."""


@dataclass(frozen=True)
class PartialImport:
    """A module with holes, and why it has them.

    It returns its output, if that could be imported, and every value that nothing reads because of a hole.
    """

    module: builtin.Module
    found: Diagnostics
    broken: frozenset[str]
    """Layers that could not be imported, or only in part."""
    guessed: frozenset[str]
    """Layers that read a value of which the shape is a guess."""


def survey_keras(path: Path) -> PartialImport:
    """Import what can be imported; raises `CompileError` if the file as a whole is at fault."""
    fill_tables()
    archive = read_archive(path)
    check_is_quantized(archive)
    if is_legacy(archive):  # what stands behind a hole in a straight line is nothing to judge
        return PartialImport(LegacyImporter(archive).run(), Diagnostics(), frozenset(), frozenset())
    return Surveyor(archive).survey()


class Surveyor(Importer):
    """An importer that goes on behind a broken layer."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.guesses: set[str] = set()
        """Layers whose output shape is a guess, or follows from one."""
        self.rejected: set[str] = set()

    def survey(self) -> PartialImport:
        """Everything that can be said."""
        try:
            self.run()
        except CompileError as error:
            self.found.extend(error.diagnostics)
        values = [value for op in self.graph for value in op.results]
        for user in [user for value in values for user in value.users if user.graph is None]:
            user.drop_operands()  # an op that could not be made
        unread = [value for value in values if not value.uses]
        self.graph.append(builtin.Return(tuple(unread)))
        guessed = {record.name for record in self.archive.layers if self.reads_guess(record)}
        module = builtin.Module(self.archive.name, self.graph)
        return PartialImport(module, self.found, frozenset(self.rejected), frozenset(guessed))

    def reads_guess(self, record: LayerRecord) -> bool:
        return any(name in self.guesses for name in record.inbound)

    def import_layer(self, record: LayerRecord) -> None:
        if not self.reads_guess(record):
            super().import_layer(record)
            return
        self.guesses.add(record.name)
        before = self.graph.last
        super().import_layer(record)
        if self.drop_misfits(before):
            raise UnsupportedLayerError("it does not fit the shape guessed for its input", code=FROM_A_GUESS[0])

    def drop_misfits(self, before: Op | None) -> bool:
        """Erase the ops behind `before` from the first on that does not fit its operands; True if there is one."""
        added: list[Op] = []
        while self.graph.last is not None and self.graph.last is not before:
            added.append(self.graph.remove(self.graph.last))
        misfit = False
        for op in reversed(added):
            misfit = misfit or any(op.verify())
            if misfit:
                continue
            self.graph.append(op)
        for op in added:
            if op.graph is None:
                op.erase()
        return misfit

    def reject(self, record: LayerRecord, diagnostic: Diagnostic) -> None:
        self.rejected.add(record.name)
        doubtful = diagnostic.code in FROM_A_GUESS or record.class_name in TAIL
        if not (self.reads_guess(record) and doubtful):
            super().reject(record, diagnostic)
        integers = [self.integers[name] for name in record.inbound if name in self.integers]
        floats = [self.floats[name] for name in record.inbound if name in self.floats]
        if integers:
            self.integers[record.name] = self.stand_in(record, integers[0])
        elif floats:
            self.floats[record.name] = floats[0]
            self.guesses.add(record.name)
        else:  # nothing can stand in for an input
            self.broken.add(record.name)
            return
        self.broken.discard(record.name)

    def stand_in(self, record: LayerRecord, source: Tracked) -> Tracked:
        """What the layer would have given, as an input."""
        try:
            shape = output_shape(record, source.value)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError):
            shape = None  # its configuration does not even say that
        if shape is None or not all(1 <= d <= LARGEST for d in shape):
            shape = source.value.type.per_sample
            self.guesses.add(record.name)
        tracked = output_numbers(record, source)
        op = builtin.Input(shape, integer_type(tracked.value_bits))
        return tracked.on(self.emit(op))


def output_shape(record: LayerRecord, x: Value) -> tuple[int, ...] | None:
    """The shape of one sample of a layer's result, by the rules of Keras; None for classes not listed here."""
    shape = x.type.per_sample
    match record.class_name.removeprefix("Quantized"):
        case "Conv2D":
            return (*window(record, x.type, pair(record.config["kernel_size"])), units(record, "filters"))
        case "DepthwiseConv2D":
            kernel = record.weights["depthwise_kernel"].shape
            return (*window(record, x.type, (kernel[0], kernel[1])), kernel[2] * kernel[3])
        case "MaxPool2D":
            return (*window(record, x.type, pair(record.config["pool_size"])), shape[-1])
        case "Dense":
            return (*shape[:-1], units(record, "units"))
        case "GlobalAveragePooling2D":
            return (1, 1, shape[-1]) if record.config.get("keepdims") else (shape[-1],)
        case "Flatten":
            return (math.prod(shape),)
        case "ReLU" | "Activation" | "Add" | "Rescaling" | "Dropout":
            return shape
    return None


def units(record: LayerRecord, key: str) -> int:
    """Channels of a result: those of the kernel, or what the configuration says if there is none."""
    kernel = record.weights.get("kernel")
    return int(record.config[key]) if kernel is None else kernel.shape[-1]


def window(record: LayerRecord, x: TensorType, kernel: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns behind a layer that slides a window."""
    strides = pair(record.config["strides"]) if record.config.get("strides") else kernel
    if record.class_name.endswith("Conv2D"):
        strides = window_strides(record)
    rows, columns = spatial(x, kernel, strides, Padding(record.config["padding"]))
    return max(rows, 1), max(columns, 1)


def output_numbers(record: LayerRecord, source: Tracked) -> Tracked:
    """The kind of numbers that a layer gives: those of its output quantizer, or an accumulator's, or its input's."""
    config = record.config.get("quant_config")
    config = config if isinstance(config, dict) else {}
    quantizer, zero = config.get("output_quantizer"), np.zeros((), np.float32)
    if isinstance(quantizer, dict):
        bits = quantizer.get("bitwidth")
        value_bits = (bits if type(bits) is int and 1 < bits <= 32 else DEFAULT_BITS) - 1
        return Tracked(source.value, value_bits, zero, None, not quantizer.get("signed", True))
    if "weight_quantizer" in config:
        return Tracked(source.value, 27, zero, np.ones((), np.float32))
    return source
