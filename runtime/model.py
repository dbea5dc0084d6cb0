"""`Model`: a compiled program with the methods that users of Akida's own runtime know.

model = Model("kws.fbz")
model.summary()
potentials = model.forward(x)
accuracy = model.evaluate(x, y)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Op, Tensor, Value
from cnn2snn_ir.ir.fields import Role
from cnn2snn_ir.reference.interpreter import Memory
from cnn2snn_ir.runtime.given import checked_size
from cnn2snn_ir.runtime.parallel import renew_after_fork
from cnn2snn_ir.runtime.storage import Array

if TYPE_CHECKING:
    from cnn2snn_ir.backends.mapping import MapMode
    from cnn2snn_ir.backends.mapping import Mapping as MappingPlan
    from cnn2snn_ir.device import Device
    from cnn2snn_ir.runtime.engine import BackendName, Engine
    from cnn2snn_ir.runtime.events import EventCounter
    from cnn2snn_ir.runtime.statistics import Statistics
    from cnn2snn_ir.runtime.timing.result import Simulation


WEIGHTS = ("in_weights", "weights", "weights_pw")
"""The variables that are weights."""

EVALUATED_BYTES = 32 << 20
"""Of samples whose predictions are in memory together, so that a memory map of any length can be evaluated."""


class Layer:
    """One layer of a program, read-only: its name, its type, its parameters, its variables."""

    def __init__(self, op: Op) -> None:
        self.op = op

    @property
    def name(self) -> str:
        """The name of the main source layer: of the convolution, not of the ReLU fused behind it; or of a FIFO."""
        result = self.op.results[0]
        if isinstance(self.op, akida2.FifoPush):  # its source layer is that of the convolution, which bears the name
            memories = [user.sym_name for user in result.users if isinstance(user, builtin.Store)]
            return memories[0] if memories else self.type.lower()
        return str(self.op.annotations.get("layer") or result.name or self.type.lower())

    @property
    def output_name(self) -> str:
        """The source layer whose output this layer's output is: the last of those fused here."""
        return self.op.results[0].name or self.name

    @property
    def type(self) -> str:
        """The kind of layer, such as `InputConv2D`."""
        return type(self.op).__name__

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Everything that is not a tensor, by name: `stride`, `padding`, `activation`, …"""
        return {k: v for k, v in self._attributes() if not isinstance(v, Tensor) and v is not None}

    @property
    def variables(self) -> Mapping[str, Array]:
        """The constant tensors by name, read-only arrays: `weights`, `bias`, `output_scales`, …"""
        return {k: v.array for k, v in self._attributes() if isinstance(v, Tensor)}

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of one sample of every operand."""
        return tuple(v.type.per_sample for v in self.op.operands)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the first operand; of a model's input, its own."""
        return self.input_shapes[0] if self.input_shapes else self.output_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the result."""
        return self.op.results[0].type.per_sample

    @property
    def weights_bits(self) -> int | None:
        """Bits of one weight; None for a layer without weights."""
        weights = self.op.attributes.get("weights")
        return weights.type.element.bits if isinstance(weights, Tensor) else None

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights, packed."""
        return sum(packed_bytes(tensor) for name, tensor in self._attributes() if name in WEIGHTS)

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for field in self.op.fields:
            if field.role is Role.ATTR:
                yield field.name, self.op.attributes[field.name]

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}: {self.input_shape} -> {self.output_shape}>"


class Model:
    """A program at the `akida1` or `akida2` level, from a file or from a module.

    The engine is compiled at the first run.  Any number of threads may use one model, and processes: it survives a
    fork, and can be pickled and copied.  A model that remembers has one set of streams of its own, for which calls
    wait for each other; threads that have their own streams give their own `memory`.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | builtin.Module,
        *,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        """Open a `.fbz` file or wrap a module; raises `CompileError` for a file that is not a valid program."""
        if isinstance(source, builtin.Module):
            self.module = source
        else:
            from cnn2snn_ir.backends.program import read_program

            self.module = read_program(Path(source))
        if not self.module.inputs or not self.module.outputs:
            raise fail("RUN-ENDS", "a model has an input and an output", where=self.module.sym_name)
        self._backend, self._threads = backend, threads
        self._compiled: Engine | None = None
        self._memory: Memory = {}
        self._mapped: tuple[Any, ...] | None = None
        self.mapping: MappingPlan | None = None
        """Where the layers run, after `map`."""
        self._counter: EventCounter | None = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """New locks: nothing that another process holds."""
        self._lock = threading.Lock()
        self._own_streams = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """As it was opened, mapped where it was, with the memory of its streams; what ran is not counted."""
        from cnn2snn_ir.backends.program import dumps

        return restored, (dumps(self.module), self._backend, self._threads, self._mapped, dict(self._memory))

    @property
    def engine(self) -> Engine:
        """The compiled module."""
        with self._lock:
            if self._compiled is None:
                from cnn2snn_ir.runtime.engine import Engine

                self._compiled = Engine(self.module, self._backend, self._threads)
            return self._compiled

    # ---- structure -------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The model's name."""
        return self.module.sym_name

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of the chip in order of execution."""
        return [Layer(op) for op in self.module.body if op.op_name.startswith(("akida1.", "akida2."))]

    @cached_property
    def tail(self) -> list[Layer]:
        """The float layers behind them, which the host computes."""
        return [Layer(op) for op in self.module.body if op.op_name.startswith("nn.")]

    def get_layer(self, name: str) -> Layer:
        """The layer called `name`; raises `CompileError` with all names if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise fail("RUN-NO-LAYER", "the model has no such layer", found=name, allowed=known)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.module.inputs[0].shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the (first) output."""
        return self.module.outputs[0].type.per_sample

    def summary(self) -> None:
        """Print a table of the layers."""
        print(self.describe())

    def describe(self) -> str:
        """The table that `summary` prints."""
        rows = [("layer", "type", "output", "kernel", "weights", "bytes")]
        for layer in [*self.layers, *self.tail]:
            weights = layer.variables.get("weights")
            kernel = "x".join(map(str, weights.shape)) if weights is not None else ""
            bits = f"{layer.weights_bits} bits" if layer.weights_bits else ""
            size = f"{layer.weights_bytes:,}" if layer.weights_bytes else ""
            kind = layer.type if layer in self.layers else f"{layer.type} (host)"
            rows.append((layer.name, kind, "x".join(map(str, layer.output_shape)), kernel, bits, size))
        total = sum(layer.weights_bytes for layer in self.layers)
        shape = "x".join(map(str, self.input_shape))
        return f"{self.name}: input {shape}, {len(self.layers)} layers, {total:,} bytes of weights\n\n{table(rows)}"

    # ---- execution -------------------------------------------------------------------------------------------

    # A model that remembers (convolutions over time) takes a batch as so many streams, one frame of each a call.
    # Without `memory` the model keeps that of its one set of streams, until `reset`; with a dictionary of their own,
    # any number of sets of streams go through one model, from any thread, and can be saved and restored.

    def forward(self, x: Array, batch_size: int | None = None, memory: Memory | None = None) -> Array:
        """The last integers, before any dequantizer: the potentials of the output layer, batch first."""
        return self._run(x, [self._last_integers], batch_size, memory)[0]

    def predict(self, x: Array, batch_size: int | None = None, memory: Memory | None = None) -> Array:
        """What the model returns: floats if it ends in a dequantizer, its float tail included."""
        return self._run(x, self.module.outputs, batch_size, memory)[0]

    def reset(self) -> None:
        """Forget what the model's own streams remember."""
        self._memory.clear()

    def _run(
        self, x: Array, values: Sequence[Value], batch_size: int | None = None, memory: Memory | None = None
    ) -> tuple[Array, ...]:
        if memory is None and self.module.states:
            with self._own_streams:  # one frame after the other, whoever brings them
                return self._run(x, values, batch_size, self._memory)
        if self.mapping is None:
            return self.engine.run_values(x, values, batch_size, memory)
        from cnn2snn_ir.runtime.events import EventCounter

        counter = EventCounter(self.engine)
        found = self.engine.run_values(x, values, batch_size, memory, counter)
        self._counter = counter
        return found

    def evaluate(self, x: Array, y: Array, batch_size: int | None = None) -> float:
        """Accuracy: the fraction of samples whose largest output is at the index `y`, one integer a sample."""
        labels = np.asarray(y).reshape(-1)
        message = "evaluate needs one label for each sample"
        if len(labels) != len(x):
            raise fail("RUN-LABELS", message, found=f"{len(x)} samples, {len(labels)} labels")
        if len(labels) and (labels.dtype.kind not in "biuf" or (labels != np.floor(labels)).any()):
            raise fail("RUN-LABELS", message, found=str(labels.dtype), allowed="integers")
        hits, rows = 0, max(1, len(labels) if self.module.states else EVALUATED_BYTES // max(1, x[:1].nbytes))
        for start in range(0, len(labels), rows):
            outputs = self.predict(x[start : start + rows], batch_size)
            best = outputs.reshape(len(outputs), -1).argmax(axis=1)
            hits += int(np.sum(best == labels[start : start + rows]))
        return hits / len(labels) if len(labels) else 0.0

    def intermediates(self, x: Array, memory: Memory | None = None) -> dict[str, Array]:
        """Every layer's output by `output_name`, for comparison bit for bit; the host's tail included."""
        layers = [*self.layers, *self.tail]
        results = self._run(x, [layer.op.results[0] for layer in layers], memory=memory)
        return {layer.output_name: result for layer, result in zip(layers, results, strict=True)}

    # ---- on a device -----------------------------------------------------------------------------------------

    def map(
        self,
        device: str | os.PathLike[str] | Device,
        mode: MapMode | str = "all-nps",
        *,
        hw_only: bool = False,
        passes: int | None = None,
    ) -> MappingPlan:
        """Place the layers on a device: its name, a file, or a `Device`; from then on runs count events.

        Raises `CompileError` if the device is unknown or of another generation, and with `hw_only` if the host would
        have to compute layers.  `passes` is the most passes that the mode `hw-pr` uses.
        """
        from cnn2snn_ir.backends.mapping import map_program
        from cnn2snn_ir.device import load_device

        self._counter = None
        chosen = load_device(device)
        self.mapping = map_program(self.module, chosen, mode, hw_only=hw_only, passes=passes)
        self._mapped = chosen, mode, hw_only, passes
        return self.mapping

    @property
    def statistics(self) -> Statistics:
        """What the last run costs on the device; raises `CompileError` before `map`, and before a run."""
        from cnn2snn_ir.runtime.statistics import Statistics

        return Statistics(self._simulation(self._counter, 1, None))

    def simulate(
        self,
        x: Array | None = None,
        *,
        batch: int = 1,
        density: float | Sequence[float] | None = None,
        handoff: str | None = None,
        batch_size: int | None = None,
    ) -> Simulation:
        """Time and energy on the device that the model is mapped to, from the events of `x`.

        `x` are samples, or `[steps, streams, …]` for a model that remembers.  `batch` frames follow each other
        through the chip.  Without `x`, `density` is assumed instead, one for the inputs of all layers or one for each:
        a what-if, and marked as one.
        """
        checked_size(batch)
        if density is not None:
            return self._simulation(None, batch, handoff, density)
        if x is None:
            raise fail("RUN-NO-SAMPLES", "a simulation needs samples", help="give samples, or a density to assume")
        from cnn2snn_ir.runtime.events import EventCounter

        counter, memory = EventCounter(self.engine), Memory()
        for step in x if self.module.states else [x]:
            self.engine.run_values(step, self.module.outputs, batch_size, memory, counter)
        return self._simulation(counter, batch, handoff)

    def _simulation(
        self,
        counter: EventCounter | None,
        batch: int,
        handoff: str | None,
        density: float | Sequence[float] | None = None,
    ) -> Simulation:
        from cnn2snn_ir.runtime.timing.activity import assumed, counted, mean_of
        from cnn2snn_ir.runtime.timing.simulate import simulate

        if self.mapping is None:
            raise fail("RUN-NOT-MAPPED", "the model is on no device", where=self.name, help='model.map("AKD1500")')
        if density is not None:
            activity = assumed(self.mapping, density)
            return simulate(self.mapping, activity, batch=batch, handoff=handoff, what_if=mean_of(density))
        if counter is None or not len(next(iter(counter.counts.values())).rows):
            raise fail("RUN-NO-SAMPLES", "nothing has run since the model was mapped", where=self.name)
        return simulate(self.mapping, counted(self.mapping, counter.counts), batch=batch, handoff=handoff)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program file."""
        from cnn2snn_ir.backends.program import write_program

        write_program(self.module, Path(path))

    @property
    def _last_integers(self) -> Value:
        """The integer value that the (first) output is computed from."""
        value = self.module.outputs[0]
        while value.type.element.is_float and value.owner.operands:
            value = value.owner.operands[0]
        return value

    def __repr__(self) -> str:
        return f"<Model {self.name}: {self.input_shape} -> {self.output_shape}, {len(self.layers)} layers>"


def restored(
    program: bytes, backend: BackendName, threads: int | None, mapped: tuple[Any, ...] | None, memory: Memory
) -> Model:
    """The model of `Model.__reduce__`."""
    from cnn2snn_ir.backends.program import loads

    model = Model(loads(program), backend=backend, threads=threads)
    model._memory.update(memory)
    if mapped is not None:
        device, mode, hw_only, passes = mapped
        model.map(device, mode, hw_only=hw_only, passes=passes)
    return model


def packed_bytes(tensor: Tensor) -> int:
    """Bytes of a constant whose elements follow each other without gaps."""
    return -(-int(np.prod([d or 0 for d in tensor.type.shape])) * tensor.type.element.bits // 8)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
