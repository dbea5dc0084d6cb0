"""Layer by layer comparison of one network at several levels: does the program compute what the model computes?

Values are joined by name.  A layer that was fused into another has no value of its own below the first level; it is
listed with the value that took it in, so that what was compared and what was not is plain to see.

A network that remembers is compared step by step: every level carries memories of its own from one to the next.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir import Op, Tensor
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.passes.copies import copies_of, in_copies
from cnn2snn_ir.reference import run as interpret
from cnn2snn_ir.reference.interpreter import Memory
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.statements import beyond_statement, stated

Array = npt.NDArray[Any]

CHUNK_BYTES = 256 << 20
"""Memory for the values of one chunk of samples at one level."""

MAX_CHUNK = 256

RTOL, ATOL = 1e-5, 1e-6
"""Floats of the host's tail are equal if they are this close: their sums depend on the size of the batch."""


# ---- levels -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """One form of the network: a name, how it is run, and a function that runs it."""

    name: str
    how: str
    module: Module
    run: Callable[[Array, Memory], dict[str, Array]]
    """Samples, and what their streams remember (which it updates) ▶ the values by key."""

    @property
    def keys(self) -> dict[str, Op]:
        """The values that can be compared, each with the op that gives it."""
        return {key: op for op in self.module.body if (key := key_of(op))}


def key_of(op: Op) -> str:
    """What a value is joined by: its name; hardware layers that the compiler added go by layer and kind."""
    if isinstance(op, builtin.Input | builtin.State) or not op.results:
        return ""
    name = op.results[0].name
    if name is None and "layer" in op.annotations:
        return f"{op.annotations['layer']} ({op.op_name.rpartition('.')[2]})"
    return name or ""


def reference_level(name: str, module: Module, *, as_keras: bool = False) -> Level:
    """A module run by the reference semantics; `as_keras` rounds integers beyond 2^24 as Keras's carriers do."""

    def run(x: Array, memory: Memory) -> dict[str, Array]:
        values: dict[str, Array] = {}

        def observe(op: Op, array: Array) -> None:
            if key := key_of(op):
                values[key] = array

        interpret(module, x, observe, memory, float32_carriers=as_keras)
        return values

    how = "reference semantics, integers carried in float32" if as_keras else "reference semantics"
    return Level(name, how, module, run)


def engine_level(name: str, model: Model) -> Level:
    """A program run by the engine."""
    keys = {key: op.results[0] for op in model.module.body if (key := key_of(op))}

    def run(x: Array, memory: Memory) -> dict[str, Array]:
        return dict(zip(keys, model.engine.run_values(x, list(keys.values()), memory=memory), strict=True))

    return Level(name, f"{model.engine.backend.name} engine", model.module, run)


# ---- results ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class First:
    """The first element that differs: sample (of a stream: its number, and the step), index, expected and found."""

    step: int
    sample: int
    index: tuple[int, ...]
    expected: float
    found: float


@dataclass
class Difference:
    """How far one value at one level is from the same value at the first level that has it."""

    level: str
    against: str
    elements: int = 0
    differing: int = 0
    largest: float = 0
    first: First | None = None
    histogram: Counter[str] = field(default_factory=Counter)
    """Steps of the last bit ▶ elements; empty for floats."""

    def update(self, expected: Array, found: Array, step: int, offset: int) -> None:
        """Count one chunk of a step, whose first sample is number `offset`."""
        shape = found.shape
        expected, found = expected.reshape(len(expected), -1), found.reshape(len(found), -1)
        self.elements += found.size
        if expected.dtype.kind == "f" or found.dtype.kind == "f":
            far = ~np.isclose(found, expected, RTOL, ATOL, equal_nan=True)
        else:
            far = found != expected
        if not far.any():
            return
        self.differing += int(np.count_nonzero(far))
        sample, place = (int(i) for i in np.argwhere(far)[0])
        if self.first is None:
            index = tuple(int(i) for i in np.unravel_index(place, shape[1:]))
            values = expected[sample, place].item(), found[sample, place].item()
            self.first = First(step, offset + sample, index, *values)
        steps = found[far].astype(np.float64) - expected[far].astype(np.float64)
        self.largest = max(self.largest, float(np.abs(steps).max()))
        if found.dtype.kind != "f":
            for step, count in zip(*np.unique(steps.astype(np.int64), return_counts=True), strict=True):
                self.histogram[bucket(int(step))] += int(count)


def bucket(step: int) -> str:
    """Which bar of the histogram a difference belongs to: `-1`, `+2`, `+3..4`, `+5..8`, …"""
    sign, size = "-" if step < 0 else "+", abs(step)
    if size <= 2:
        return f"{sign}{size}"
    end = 1 << (size - 1).bit_length()
    return f"{sign}{end // 2 + 1}..{end}"


@dataclass
class Row:
    """One value: where it exists, what it was fused into, and how it differs."""

    name: str
    levels: tuple[str, ...]
    fused_into: str = ""
    copies: int = 1
    """How often the program has each of its channels."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """True if any level has another value."""
        return any(d.differing for d in self.differences)

    @property
    def first(self) -> Difference:
        """The difference that came first: in the earliest step, at the earliest level."""
        return min((d for d in self.differences if d.first), key=lambda d: d.first.step if d.first else 0)


@dataclass
class Comparison:
    """What was compared, and what came out."""

    levels: tuple[Level, ...]
    rows: list[Row]
    samples: int = 0
    steps: int | None = None
    """Of networks that remember, whose samples are streams."""
    stated: int = 0
    """Neurons of the program that say that they may be off."""
    beyond: set[str] = field(default_factory=set)
    """Layers of it that are off by more than they say, given what the model computes before them."""

    @property
    def compared(self) -> list[Row]:
        """Values that the last level has, and another one."""
        return [row for row in self.rows if row.differences and row.levels[-1] == self.levels[-1].name]

    @property
    def fused(self) -> list[Row]:
        """Layers without a value of their own in the last level, because another layer does their work."""
        return [row for row in self.rows if row.fused_into]

    @property
    def missing(self) -> list[Row]:
        """Values without a counterpart that nothing explains."""
        known = [*self.compared, *self.fused]
        return [row for row in self.rows if not any(row is other for other in known)]

    @property
    def different(self) -> list[Row]:
        """Values that differ, in order."""
        return [row for row in self.rows if row.differs]

    @property
    def first_different(self) -> Row | None:
        """Where to look: the first layer that differs, of those that differ in the earliest step."""
        return min(self.different, key=lambda row: row.first.first.step if row.first.first else 0, default=None)

    @property
    def equal(self) -> bool:
        """True if every layer was compared or is accounted for, and no value differs."""
        return bool(self.compared) and not self.different and not self.missing

    @property
    def as_stated(self) -> bool:
        """True if every layer is accounted for, and none is off by more than it says."""
        return self.equal or bool(self.compared and self.stated and not self.beyond and not self.missing)


# ---- comparing ----------------------------------------------------------------------------------------------------


def compare_levels(levels: Sequence[Level], x: Array) -> Comparison:
    """Run every level on the samples, in chunks, and compare each value with the first level that has it.

    `x` is `[samples, …]`, or `[steps, streams, …]` if the network remembers.
    """
    remembers = any(level.module.states for level in levels)
    steps = x if remembers else x[np.newaxis]
    program = levels[-1].module
    result = Comparison(
        tuple(levels), rows_of(levels), steps.shape[1], len(steps) if remembers else None, stated(program)
    )
    chunk = min(chunk_size(level.module) for level in levels)
    starts = range(0, result.samples, chunk)
    memories: dict[tuple[int, str], Memory] = {(start, level.name): {} for start in starts for level in levels}
    for step, samples in enumerate(steps):
        for start in starts:
            part = samples[start : start + chunk]
            values = {level.name: level.run(part, memories[start, level.name]) for level in levels}
            if result.stated:
                result.beyond.update(beyond_statement(program, values[levels[0].name], part))
            for row in result.rows:
                for difference in row.differences:
                    expected, found = values[difference.against][row.name], values[difference.level][row.name]
                    difference.update(in_copies(expected, row.copies, found.size), found, step, start)
    return result


def rows_of(levels: Sequence[Level]) -> list[Row]:
    """All values in the order of the levels, those of later levels where their neighbours stand."""
    keys = [level.keys for level in levels]
    into = fusions(levels[-1])
    rows = []
    for name in merged([list(k) for k in keys]):
        having = [(level.name, k[name]) for level, k in zip(levels, keys, strict=True) if name in k]
        sizes = {math.prod(op.results[0].type.per_sample) // copies_of(op) for _, op in having}
        row = Row(name, tuple(level for level, _ in having), copies=copies_of(having[-1][1]))
        if len(sizes) == 1:  # a value of another size is not the same value
            row.differences = [Difference(level, having[0][0]) for level, _ in having[1:]]
        if having[-1][0] != levels[-1].name:
            origins = (into[layer.name] for layer in layers(having[0][1].loc) if layer.name in into)
            row.fused_into = next(origins, "")
        rows.append(row)
    return rows


def merged(lists: Sequence[list[str]]) -> list[str]:
    """One order of all names: each new one stands behind the name that it follows in its own list."""
    result: list[str] = []
    for names in lists:
        before = -1
        for name in names:
            if name not in result:
                result.insert(before + 1, name)
            before = result.index(name)
    return result


def fusions(level: Level) -> Mapping[str, str]:
    """Source layer ▶ the value of the level that its work went into."""
    found: dict[str, str] = {}
    named_first = sorted(level.keys.items(), key=lambda item: item[1].results[0].name is None)
    for key, op in named_first:  # the layer itself before what the compiler added for it
        for layer in layers(op.loc):
            found.setdefault(layer.name, key)
    return found


def chunk_size(module: Module) -> int:
    """How many samples fit in the memory set aside for one chunk."""
    return int(np.clip(CHUNK_BYTES // max(1, sample_bytes(module)), 1, MAX_CHUNK))


def sample_bytes(module: Module) -> int:
    """Memory of the reference semantics for one sample: every value, and the windows of the largest convolution."""
    values = sum(math.prod(v.type.per_sample) for op in module.walk() for v in op.results)
    return 8 * (values + max(window_elements(module), default=0))


def window_elements(module: Module) -> Iterator[int]:
    """How many integers the windows of each convolution hold, for one sample."""
    for op in module.walk():
        weights = op.attributes.get("weights")
        if isinstance(weights, Tensor) and weights.type.rank > 2 and op.results:
            shape = op.operands[0].type.per_sample
            yield math.prod(shape) * math.prod(d or 1 for d in weights.type.shape[:2])
