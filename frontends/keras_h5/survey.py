"""Imports what can be imported of a model that has faults, to find as many of them as possible at once.

Behind a layer that cannot be imported stands a *stand-in*: an input of the shape and the kind of numbers that the
layer would have given.  So the layers behind it are looked at too.  Behind a layer of an unknown class the shape is
a guess; what follows from a guess is not reported.

The module serves only to be checked; it computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.geometry import Padding, spatial
from cnn2snn_ir.frontends.keras_h5.archive import Archive, LayerRecord, read_archive
from cnn2snn_ir.frontends.keras_h5.importer import TABLE, Importer, check_is_quantizeml
from cnn2snn_ir.frontends.keras_h5.layers import pair, window_strides
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked, integer_type
from cnn2snn_ir.ir import Op, TensorType, Value

FROM_A_GUESS = ("KERAS-CONFIG", "KERAS-RANGE")
"""Faults of a layer that may be those of the shape guessed for its input."""

DEFAULT_BITS = 8


@dataclass(frozen=True)
class PartialImport:
    """A module with holes, why it has them, and the ops whose input shapes are guesses."""

    module: builtin.Module
    found: Diagnostics
    guessed: frozenset[Op]


def survey_keras(path: Path) -> PartialImport:
    """Import what can be imported; raises `CompileError` if the file as a whole is at fault."""
    from cnn2snn_ir.frontends.keras_h5 import layers, tail  # fill the tables

    del layers, tail
    archive = read_archive(path)
    check_is_quantizeml(archive)
    return Surveyor(archive).survey()


class Surveyor(Importer):
    """An importer that goes on behind a broken layer."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.guesses: set[str] = set()
        """Layers whose output shape is a guess, or follows from one."""

    def survey(self) -> PartialImport:
        """Everything that can be said."""
        try:
            module = self.run()
        except CompileError as error:
            self.found.extend(error.diagnostics)
            results = self.graph.last.results if self.graph.last is not None else ()
            self.graph.append(builtin.Return(results[:1]))
            module = builtin.Module(self.archive.name, self.graph)
        return PartialImport(module, self.found, frozenset(self.guessed_ops(module)))

    def guessed_ops(self, module: builtin.Module) -> Iterator[Op]:
        """Ops of layers that read a guess."""
        records = {record.index: record for record in self.archive.layers}
        for op in module.body:
            record = records.get(getattr(op.loc, "index", -1))
            if record is not None and self.reads_guess(record):
                yield op

    def reads_guess(self, record: LayerRecord) -> bool:
        return any(name in self.guesses for name in record.inbound)

    def import_layer(self, record: LayerRecord) -> None:
        if self.reads_guess(record):
            self.guesses.add(record.name)
        super().import_layer(record)

    def reject(self, record: LayerRecord, diagnostic: Diagnostic) -> None:
        if not (self.reads_guess(record) and diagnostic.code in FROM_A_GUESS):
            super().reject(record, diagnostic)
        sources = [self.integers[name] for name in record.inbound if name in self.integers]
        if not sources:
            self.broken.add(record.name)  # an input, or a float layer: nothing can stand in for it
            return
        if record.class_name not in TABLE:
            self.guesses.add(record.name)
        self.integers[record.name] = self.stand_in(record, sources[0])
        self.broken.discard(record.name)

    def stand_in(self, record: LayerRecord, source: Tracked) -> Tracked:
        """What the layer would have given, as an input."""
        try:
            shape = output_shape(record, source.value)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError):
            shape = source.value.type.per_sample  # its configuration does not even say that
            self.guesses.add(record.name)
        tracked = output_numbers(record, source)
        op = builtin.Input(shape, integer_type(tracked.value_bits))
        return tracked.on(self.emit(op))


def output_shape(record: LayerRecord, x: Value) -> tuple[int, ...]:
    """The shape of one sample of a layer's result, by the rules of Keras; that of its input for unknown classes."""
    shape = x.type.per_sample
    match record.class_name.removeprefix("Quantized"):
        case "Conv2D":
            kernel = record.weights["kernel"].shape
            return (*window(record, x.type, (kernel[0], kernel[1])), kernel[3])
        case "DepthwiseConv2D":
            kernel = record.weights["depthwise_kernel"].shape
            return (*window(record, x.type, (kernel[0], kernel[1])), kernel[2] * kernel[3])
        case "MaxPool2D":
            return (*window(record, x.type, pair(record.config["pool_size"])), shape[-1])
        case "Dense":
            return (*shape[:-1], record.weights["kernel"].shape[1])
        case "GlobalAveragePooling2D":
            return (1, 1, shape[-1]) if record.config.get("keepdims") else (shape[-1],)
        case "Flatten":
            return (math.prod(shape),)
    return shape


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
