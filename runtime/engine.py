"""The engine: a module compiled once to a list of steps, run on batches of any size, exactly.

Samples go through the whole network in chunks small enough for the cache; chunks go to threads.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, fail
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.reference.interpreter import Memory
from cnn2snn_ir.reference.semantics import meaning
from cnn2snn_ir.runtime.backend import Backend, Program
from cnn2snn_ir.runtime.given import InputCheck, Inputs, checked, memory_of
from cnn2snn_ir.runtime.layer import Layer, prepare
from cnn2snn_ir.runtime.neurons import as_sums
from cnn2snn_ir.runtime.numpy_backend import BlasStep, NumpyBackend
from cnn2snn_ir.runtime.observer import Chunk, Observer
from cnn2snn_ir.runtime.parallel import single_threaded_blas
from cnn2snn_ir.runtime.step import Call, Step, shared_step
from cnn2snn_ir.runtime.storage import NO_BORDER, Array, Border, Buffer, Layout, widest

BackendName = Literal["auto", "numba", "numpy"]

CHUNK_BYTES = 1 << 20
"""Memory of one chunk's largest layer, input and result: about the second-level cache of one core."""

MAX_CHUNK = 64
"""Samples of a chunk at most: small networks still give every thread some."""


class Engine:
    """Runs one `akida1` or `akida2` module.  Any number of threads may call `run` at once."""

    def __init__(self, module: builtin.Module, backend: BackendName = "auto", threads: int | None = None) -> None:
        """Compile `module`; raises `CompileError` naming every op that cannot be executed.

        `threads` is how many chunks run at once; by default one for each core this process may use.
        """
        check_executable(module)
        self.source = module
        """As it was given: its values are those that `run_values` and observers take."""
        module, self._twins = as_sums(module)
        self.module = module
        self.backend = choose(backend)
        self.threads = threads or available_cores()
        program = analyse(module)
        self.steps = [step for op in executed(module) for step in self._steps(op, program)]
        self.layouts = layouts(module, program, self.backend)
        self._dtypes = {value: value.type.element.dtype for value in self.layouts}
        self.chunk = chunk_size(module, self.layouts)
        self._inputs = tuple(InputCheck(op) for op in module.inputs)
        self._outputs = module.outputs
        self._memory = tuple(memory_of(module))
        self._idle: list[Workspace] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1), "cnn2snn-engine")  # starts threads when there is work

    def _steps(self, op: Op, program: Program) -> tuple[Step, ...]:
        return self.backend.steps(op, program) or (shared_step(op),)

    def run(self, inputs: Inputs, batch_size: int | None = None) -> tuple[Array, ...]:
        """The module's outputs for a batch, each of its value's own type.

        `inputs` is the array of the only input, batch first, or one array for each input by name.  `batch_size` is
        the number of samples that go through the network together; by default as many as fit in the cache.
        """
        return self.run_values(inputs, self._outputs, batch_size)

    def run_values(
        self,
        inputs: Inputs,
        values: Sequence[Value],
        batch_size: int | None = None,
        memory: Memory | None = None,
        observer: Observer | None = None,
    ) -> tuple[Array, ...]:
        """Any values of the module, intermediate ones included, for a batch.

        A module that remembers takes the batch as so many streams: `memory` is what each of them stored at its last
        call, and is updated; an empty one, or none, begins with zeros.  `observer` sees every value of every sample
        on the way, and costs no memory.
        """
        given = checked(self._inputs, inputs)
        values = [self._twins.get(value, value) for value in values]
        if not self._memory:
            return self._run(given, values, batch_size, observer)
        memory = {} if memory is None else memory
        before = [cell.recall(memory, len(given[0])) for cell in self._memory]
        stored = [cell.stored for cell in self._memory]
        results = self._run([*given, *before], [*values, *stored], batch_size, observer)
        memory.update(zip((cell.name for cell in self._memory), results[len(values) :], strict=True))
        return results[: len(values)]

    def _run(
        self, given: Sequence[Array], values: Sequence[Value], batch_size: int | None, observer: Observer | None
    ) -> tuple[Array, ...]:
        total = len(given[0])
        if observer is not None:
            observer.begin(total)
        results = tuple(np.empty((total, *self.layouts[v].shape), self._dtypes[v]) for v in values)
        spans = split(total, min(batch_size or self.chunk, self.chunk), self.threads)

        def work() -> None:
            while spans:
                try:
                    start, end = spans.popleft()
                except IndexError:  # another thread took the last one
                    return
                self._run_chunk(given, results, values, observer, start, end)

        if len(spans) <= 1 or self.threads == 1:
            work()
            return results
        with self._alone():
            others = [self._pool.submit(work) for _ in range(min(self.threads, len(spans)) - 1)]
            try:
                work()
            finally:
                wait(others)
        for other in others:
            other.result()
        return results

    def _run_chunk(
        self,
        given: Sequence[Array],
        results: Sequence[Array],
        values: Sequence[Value],
        observer: Observer | None,
        start: int,
        end: int,
    ) -> None:
        workspace = self._take()
        try:
            count = end - start
            for target, array in zip(workspace.inputs, given, strict=True):
                target[:count] = array[start:end]
            for call in workspace.calls:
                call(count)
            for result, value in zip(results, values, strict=True):
                result[start:end] = workspace.buffers[value].inside[:count]
            if observer is not None:
                observer(Chunk(start, end, workspace.buffers, self._twins))
        finally:
            with self._lock:
                self._idle.append(workspace)

    def _take(self) -> Workspace:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Workspace.allocate(self, self.chunk)

    def _alone(self) -> AbstractContextManager[None]:
        """While our threads run, BLAS must not start its own."""
        uses_blas = any(isinstance(step, BlasStep) for step in self.steps)
        return single_threaded_blas() if uses_blas else nullcontext()


@dataclass(frozen=True, eq=False)
class Workspace:
    """The memory of one chunk in flight, and the steps bound to it."""

    buffers: Mapping[Value, Buffer]
    inputs: tuple[Array, ...]
    calls: tuple[Call, ...]

    @classmethod
    def allocate(cls, engine: Engine, samples: int) -> Workspace:
        """Memory for up to `samples` samples."""
        buffers = {value: layout.allocate(samples) for value, layout in engine.layouts.items()}
        given = [*engine.module.inputs, *(cell.state for cell in memory_of(engine.module))]
        inputs = tuple(buffers[op.result].inside for op in given)
        calls = engine.backend.link(step.bind(buffers, samples) for step in engine.steps)
        return cls(buffers, inputs, calls)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(total: int, chunk: int, threads: int) -> deque[tuple[int, int]]:
    """Spans of at most `chunk` samples, as equal as possible, as many for each thread."""
    rounds = -(-total // (chunk * threads))
    size = max(1, -(-total // (rounds * threads))) if total else 1
    return deque((start, min(start + size, total)) for start in range(0, total, size))


def choose(name: BackendName) -> Backend:
    """The backend called `name`; `auto` is numba where it works.  Imports numba here, not before."""
    if name == "numpy":
        return NumpyBackend()
    try:
        from cnn2snn_ir.runtime.numba_backend import NumbaBackend

        return NumbaBackend()
    except Exception as error:  # a broken installation fails with anything, from ImportError to an LLVM error
        if name == "auto":
            return NumpyBackend()
        raise fail(
            "RUN-NO-NUMBA",
            "the numba backend does not work here",
            found=f"{type(error).__name__}: {error}",
            help="install numba, or use the numpy backend",
        ) from error


def executed(module: builtin.Module) -> Iterable[Op]:
    """The ops that compute something, in order."""
    given = builtin.Input | builtin.State | builtin.Store | builtin.Return
    return (op for op in module.body if not isinstance(op, given))


def check_executable(module: builtin.Module) -> None:
    """Raise `CompileError` for ops that are not executable, all at once."""
    problems = Diagnostics()
    for op in executed(module):
        if meaning(type(op)) is None:
            where = (op.results[0].name if op.results else None) or op.op_name
            hint = "lower the module to the akida1 or akida2 level first" if op.op_name.startswith("qnn.") else ""
            problems.add(Diagnostic("RUN-NO-SEMANTICS", f"{op.op_name} cannot be executed", where=where, help=hint))
    problems.raise_errors("this module cannot run")


def analyse(module: builtin.Module) -> Program:
    """Prove ranges and prepare layers."""
    ranges = value_ranges(module)
    layers: dict[Op, tuple[Layer, ...]] = {}
    for op in module.body:
        if isinstance(op, akida2.NeuralLayer):
            parts = prepare(op, ranges[op.operands[0]])
            if all(fills_agree(part, chain(*layers.values())) for part in parts):
                layers[op] = parts
    return Program(ranges, layers)


def fills_agree(layer: Layer, others: Iterable[Layer]) -> bool:
    """True if the border that `layer` needs around its input can be the one that other readers need.

    Two readers with different border values share one buffer only in a module made by hand; the later of them is
    left to the reference semantics.
    """
    if layer.border == NO_BORDER:
        return True
    rivals = (o for o in others if o.x is layer.x and o.border != NO_BORDER)
    return all(bool((layer.fill == o.fill).all()) for o in rivals)


def layouts(module: builtin.Module, program: Program, backend: Backend) -> dict[Value, Layout]:
    """Number type and border of every value."""
    borders: dict[Value, Border] = {}
    fills: dict[Value, npt.NDArray[Any]] = {}
    for layer in chain(*program.layers.values()):
        if layer.border != NO_BORDER:
            borders[layer.x] = widest(borders.get(layer.x, NO_BORDER), layer.border)
            fills[layer.x] = layer.fill
    found: dict[Value, Layout] = {}
    for op in module.body:
        for value in op.results:
            element = value.type.element
            dtype = element.dtype if element.is_float else backend.carrier(program.ranges[value])
            fill = fills.get(value, np.zeros((), np.int64))
            found[value] = Layout(value.type.per_sample, dtype, borders.get(value, NO_BORDER), fill)
    return found


def chunk_size(module: builtin.Module, layouts: Mapping[Value, Layout]) -> int:
    """How many samples go through the network together."""
    sizes = [sum(layouts[v].sample_bytes for v in (*op.operands, *op.results)) for op in module.body]
    return int(np.clip(CHUNK_BYTES // max(1, *sizes), 1, MAX_CHUNK))
