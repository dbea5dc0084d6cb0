"""Programs: other records, other bytes below a valid checksum, other bytes; what loads and is small runs."""

from __future__ import annotations

import dataclasses
import math
import pickle
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cnn2snn_ir.backends.program import dumps, loads, schema
from cnn2snn_ir.backends.program.container import wrap
from cnn2snn_ir.backends.program.encode import encode
from cnn2snn_ir.backends.program.pack import pack
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import all_ops
from cnn2snn_ir.runtime.model import Model
from fuzz.mutate import spoiled_bytes
from fuzz.readers.networks import networks
from fuzz.readers.random_ir import RandomIr

INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    16,
    63,
    64,
    127,
    128,
    255,
    1000,
    2**31 - 1,
    2**31,
    -(2**31),
    2**40,
    2**63 - 1,
    -(2**63),
)
REALS = (0.0, -0.0, 0.5, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "x",
    "7",
    "\0",
    "\n",
    "é",
    "a" * 300,
    "si8",
    "ui4",
    "si63",
    "f32",
    "f64",
    "si1",
    "same",
    "valid",
    "relu",
    "max",
)
MOST_VALUES = 20_000
"""Elements of all values of one sample, up to which a program is run."""


class READER:
    """Small networks at every level, and random modules."""

    name, suffix = "fbz", ".fbz"

    def __init__(self) -> None:
        self.files = sorted(map(dumps, networks()), key=len)[:8]
        self.records = [pickle.dumps(encode(loads(file))) for file in self.files]
        self.payloads = [pack(pickle.loads(record)) for record in self.records]
        self.names = (*all_ops(), *TEXTS)

    def make(self, random: Random) -> bytes:
        way = random.random()
        if way < 0.1:
            return spoiled_bytes(random.choice(self.files), random)
        if way < 0.4:
            return wrap(spoiled_bytes(random.choice(self.payloads), random))
        if way < 0.5:
            return wrap(pack(encode(RandomIr(random).module())))
        program = pickle.loads(random.choice(self.records))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            self.spoil(program, random)
        try:
            return wrap(pack(program))
        except CompileError:  # a text that no file can hold
            return random.choice(self.files)

    def spoil(self, program: Any, random: Random) -> None:
        """Change one slot of one record, somewhere below the program."""
        record = program
        for _ in range(10):
            inner = records_in(record.module if record is program and random.random() < 0.6 else None) or [
                r for slot in dataclasses.fields(record) for r in records_in(getattr(record, slot.name))
            ]
            if not inner or (record is not program and random.random() < 0.15):
                break
            record = random.choice(inner)
        slot = random.choice(dataclasses.fields(record))
        setattr(record, slot.name, self.other(slot, getattr(record, slot.name), random))

    def other(self, slot: Any, value: Any, random: Random) -> Any:
        """A value that the slot can hold."""
        wire = slot.metadata["wire"]
        if isinstance(wire, schema.Choice):
            return random.choice(list(wire.of))
        if isinstance(wire, schema.Text):
            return random.choice(self.names)
        if isinstance(wire, schema.Table):
            return value if slot.metadata["required"] or random.random() < 0.5 else None
        if isinstance(wire, schema.Scalar):
            return number(wire, random)
        if isinstance(wire, schema.Vector) and wire.of is schema.UBYTE:
            return spoiled_bytes(bytes(value), random)
        return self.other_list(wire, list(value), random)

    def other_list(self, wire: schema.Vector, values: list[Any], random: Random) -> tuple[Any, ...]:
        """A list with a member more, less, changed or moved."""
        if not values:
            return (number(wire.of, random),) if isinstance(wire.of, schema.Scalar) else ()
        at = random.randrange(len(values))
        match random.randrange(4):
            case 0:
                del values[at]
            case 1:
                values.insert(at, values[at])
            case 2:
                random.shuffle(values)
            case _:
                if isinstance(wire.of, schema.Scalar):
                    values[at] = number(wire.of, random)
                elif isinstance(wire.of, schema.Text):
                    values[at] = random.choice(TEXTS)
                else:
                    values[at] = random.choice(values)
        return tuple(values)

    def read(self, path: Path) -> None:
        model = Model(path, backend="numpy")
        types = [value.type for op in model.module.walk() for value in op.results]
        if sum(math.prod(d or 1 for d in t.shape) for t in types) > MOST_VALUES:
            return
        for op in model.module.inputs:
            dtype = np.float32 if op.element.is_float else op.element.dtype
            samples = np.zeros((1, *op.shape), dtype)
            model.forward(samples[None] if model.module.states else samples)


def number(wire: schema.Scalar, random: Random) -> int | float:
    """A number that the wire can carry."""
    if wire is schema.DOUBLE:
        return random.choice(REALS)
    value = random.choice(INTEGERS)
    return value if wire is schema.LONG else abs(value) % (1 << 32)


def records_in(value: Any) -> list[Any]:
    """The records that a slot has."""
    if isinstance(value, tuple):
        return [v for v in value if dataclasses.is_dataclass(v)]
    return [value] if dataclasses.is_dataclass(value) and not isinstance(value, IntEnum) else []
