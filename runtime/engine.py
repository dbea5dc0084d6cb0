"""The engine: a module compiled once to a list of steps, run on batches of any size, exactly.

Samples go through the whole network in chunks small enough for the cache; chunks go to threads.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.analysis.interval import Range
from cnn2snn_ir.analysis.ranges import proven_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Diagnostics, fail
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.reference.interpreter import Memory
from cnn2snn_ir.reference.semantics import meaning
from cnn2snn_ir.runtime.backend import Backend, Program
from cnn2snn_ir.runtime.buffers import Buffers, shared, spoiled
from cnn2snn_ir.runtime.given import InputCheck, Inputs, checked, checked_size, memory_of
from cnn2snn_ir.runtime.layer import Layer, prepare
from cnn2snn_ir.runtime.neurons import as_sums
from cnn2snn_ir.runtime.numpy_backend import NumpyBackend
from cnn2snn_ir.runtime.observer import Chunk, Observer
from cnn2snn_ir.runtime.parallel import Helpers, renew_after_fork
from cnn2snn_ir.runtime.step import Call, Step, shared_step
from cnn2snn_ir.runtime.storage import NO_BORDER, Array, Border, Layout, widest

BackendName = Literal["auto", "numba", "numpy"]

MAX_CHUNK = 64
"""Samples of a chunk at most: small networks still give every thread some."""

FEWEST = 8
"""Samples of a chunk that memory does not make smaller: chunks of two or three take a tenth to a quarter longer."""


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
        program = analyse(module, self.backend)
        self._compiled = [(op, self._steps(op, program)) for op in executed(module)]
        self.layouts = program.layouts
        self._dtypes = {value: value.type.element.dtype for value in self.layouts}
        self.chunk = chunk_size(module, self.layouts, self.backend.chunk_bytes)
        self._inputs = tuple(InputCheck(op) for op in module.inputs)
        self._outputs = module.outputs
        self._memory = tuple(memory_of(module))
        self.given = [*(op.result for op in module.inputs), *(cell.state.result for cell in self._memory)]
        self.last = {*self._outputs, *(cell.stored for cell in self._memory)}
        """What every run leaves behind; other values give way to later ones, unless all are asked for."""
        self._map_bytes = two_largest(module)
        self._sample_bytes: int | None = None
        self.renew()
        renew_after_fork(self)

    @property
    def steps(self) -> list[Step]:
        """The steps in the order in which they run."""
        return [step for _, steps in self._compiled for step in steps]

    def bind(self, buffers: Buffers, stale: Collection[Value]) -> tuple[Call, ...]:
        """The calls of a run in `buffers`, which write the borders of `stale` values too."""

        def borders(values: Iterable[Value]) -> list[Call]:
            return [self.backend.border(buffers[value]) for value in values if value in stale]

        calls = borders(self.given)
        for op, steps in self._compiled:
            calls += borders(op.results)
            for step in steps:
                calls.append(step.bind(buffers))
                buffers.bound()
        return self.backend.link(calls)

    def renew(self) -> None:
        """New threads, a new lock and new memory: nothing that another process or thread holds."""
        self._idle: dict[bool, list[Workspace]] = {True: [], False: []}
        self._lock = threading.Lock()
        self._helpers = Helpers(self.threads - 1)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an engine stays in its process: pickle its Model instead")

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
        batch_size = None if batch_size is None else checked_size(batch_size)
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
        spans = split(total, min(batch_size or self._frugal(total), self.chunk), self.threads)

        def work() -> None:
            while spans:
                try:
                    start, end = spans.popleft()
                except IndexError:  # another thread took the last one
                    return
                self._run_chunk(given, results, values, observer, start, end)

        others = self._helpers.start(work, min(self.threads, len(spans)) - 1)
        try:
            work()
        finally:
            spans.clear()  # after an error or a signal nobody wants the rest
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
        complete = observer is not None or not self.last.issuperset(values)
        workspace = self._take(end - start, complete)
        try:
            count = end - start
            for target, array in zip(workspace.inputs, given, strict=True):
                target[:count] = array[start:end]
            try:
                with np.errstate(over="ignore", invalid="raise"):  # a float too large is infinite, as IEEE says
                    for call in workspace.calls:
                        call(count)
            except FloatingPointError:
                message = "a float of the model is not a number: weights or samples are too large, or none themselves"
                raise fail("RUN-NAN", message, allowed="finite numbers") from None
            for result, value in zip(results, values, strict=True):
                result[start:end] = workspace.buffers[value].inside[:count]
            if observer is not None:
                observer(Chunk(start, end, workspace.buffers.values, self._twins))
        finally:
            with self._lock:
                self._idle[complete].append(workspace)

    def _frugal(self, total: int) -> int:
        """Samples of a chunk, so that the chunks in flight need no more memory than the two largest maps of a batch."""
        if self._sample_bytes is None:
            self._sample_bytes = Workspace.allocate(self, 1, complete=False).buffers.nbytes
        return max(FEWEST, total * self._map_bytes // (self.threads * self._sample_bytes))

    def _take(self, samples: int, complete: bool) -> Workspace:
        """Memory for so many samples: of all values, or of those alone that live at once."""
        with self._lock:
            idle = self._idle[complete]
            while idle:
                workspace = idle.pop()
                if workspace.buffers.samples >= samples:
                    return workspace  # those that were too small are not kept
        rounded = samples if samples < 8 else min(self.chunk, -(-samples // 8) * 8)  # the next spans may be longer
        return Workspace.allocate(self, rounded, complete)


@dataclass(frozen=True, eq=False)
class Workspace:
    """The memory of one chunk in flight, and the steps bound to it."""

    buffers: Buffers
    inputs: tuple[Array, ...]
    calls: tuple[Call, ...]

    @classmethod
    def allocate(cls, engine: Engine, samples: int, complete: bool) -> Workspace:
        """Memory for up to `samples` samples."""
        kept = engine.layouts if complete else engine.last
        numbers = shared(engine.given, executed(engine.module), engine.layouts, kept)
        buffers = Buffers.allocate(engine.layouts, numbers, samples)
        inputs = tuple(buffers[value].inside for value in engine.given)
        return cls(buffers, inputs, engine.bind(buffers, spoiled(numbers, engine.layouts)))


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


def analyse(module: builtin.Module, backend: Backend) -> Program:
    """Prove ranges, prepare layers, and lay out values."""
    proven = proven_ranges(module)
    layers: dict[Op, tuple[Layer, ...]] = {}
    for op, ranges in proven.layers.items():
        parts = prepare(op, ranges)
        others = [part for user in op.operands[0].users for part in layers.get(user, ())]
        if all(fills_agree(part, others) for part in parts):
            layers[op] = parts
    return Program(proven.values, layers, layouts(module, proven.values, layers, backend))


def fills_agree(layer: Layer, others: Iterable[Layer]) -> bool:
    """True if the border that `layer` needs around its input can be the one that its other readers need.

    Two readers with different border values share one buffer only in a module made by hand; the later of them is
    left to the reference semantics.
    """
    if layer.border == NO_BORDER:
        return True
    rivals = (o for o in others if o.x is layer.x and o.border != NO_BORDER)
    return all(bool((layer.fill == o.fill).all()) for o in rivals)


def layouts(
    module: builtin.Module, ranges: Mapping[Value, Range], layers: Mapping[Op, Sequence[Layer]], backend: Backend
) -> dict[Value, Layout]:
    """Number type and border of every value."""
    borders: dict[Value, Border] = {}
    fills: dict[Value, npt.NDArray[Any]] = {}
    for layer in chain(*layers.values()):
        if layer.border != NO_BORDER:
            borders[layer.x] = widest(borders.get(layer.x, NO_BORDER), layer.border)
            fills[layer.x] = layer.fill
    found: dict[Value, Layout] = {}
    for op in module.body:
        for value in op.results:
            element = value.type.element
            dtype = element.dtype if element.is_float else backend.carrier(ranges[value])
            fill = fills.get(value, np.zeros((), np.int64))
            found[value] = Layout(value.type.per_sample, dtype, borders.get(value, NO_BORDER), fill)
    return found


def chunk_size(module: builtin.Module, layouts: Mapping[Value, Layout], most: int) -> int:
    """How many samples go through the network together, when a layer may have `most` bytes."""
    sizes = [sum(layouts[v].sample_bytes for v in (*op.operands, *op.results)) for op in module.body]
    return int(np.clip(most // max(1, *sizes), 1, MAX_CHUNK))


def two_largest(module: builtin.Module) -> int:
    """Bytes of a sample of the two largest values, as narrow as NumPy has them."""
    values = (value.type for op in module.body for value in op.results)
    sizes = sorted(math.prod(v.per_sample) * v.element.dtype.itemsize for v in values)
    return sum(sizes[-2:])
