"""Keras's HDF5 files: other configurations, other trees of groups and variables, damaged bytes."""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
from generators import legacy

from cnn2snn_ir.frontends import load_float_model, load_model
from fuzz.mutate import TEXTS, encoded, spoil_tree, spoiled_bytes, spoiled_text
from fuzz.readers.networks import FIXTURES

FILES = (
    "layers/mlp_i8.h5",
    "quantizeml/named_stages_i8_w8_a8.h5",
    "float_layers/line.h5",
    "float_layers/keras2/line.h5",
)
WORDS = (
    "null",
    "NaN",
    "Infinity",
    "-1",
    "1e999",
    '"x"',
    '"\\ud800"',
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    '""',
    "[" * 2000,
    "[" * 900 + "]" * 900,
    "[" * 99999 + "]" * 99999,
    "9" * 5000,
    "true",
)
NAMES = ("vars", "kernel:0", "bias:0", "model_weights", "x" * 300, "é", "a/b", ".")
DTYPES = ("f4", "f8", "f2", "i8", "u1", "S4", "O", "c8", "?", ">f4", [("a", "f4")])
CONFIG = "model_config"


class READER:
    """Small models of both APIs, and floats."""

    name, suffix = "h5", ".h5"

    def __init__(self) -> None:
        self.seeds = [repacked((FIXTURES / name).read_bytes()) for name in FILES]
        with tempfile.TemporaryDirectory() as folder:
            for keras3, functional in ((False, False), (True, True)):
                path = legacy.write_h5(legacy.vector_mlp(), Path(folder) / "m.h5", keras3, functional)
                self.seeds.append(repacked(path.read_bytes()))
        self.configs = [config_of(seed) for seed in self.seeds]

    def make(self, random: Random) -> bytes:
        number = random.randrange(len(self.seeds))
        seed = self.seeds[number]
        way = random.random()
        if way < 0.25:
            return spoiled_bytes(seed, random)
        buffer = io.BytesIO(seed)
        with h5py.File(buffer, "r+") as file:
            if way < 0.75:
                text = config_text(self.configs[number], random)
                with suppress(OSError):  # more than 64 KiB
                    file.attrs[CONFIG] = np.bytes_(text) if random.random() < 0.5 and text else np.void(text or b"\0")
            if way > 0.65:
                for _ in range(random.choice((1, 1, 2))):
                    spoil_file(file, random)
        return buffer.getvalue()

    def read(self, path: Path) -> None:
        load_either(path)


def load_either(path: Path) -> None:
    """As a quantized model, or as a float model, whichever it looks like."""
    (load_model if b"Quantize" in path.read_bytes() else load_float_model)(path)


def config_of(seed: bytes) -> str:
    with h5py.File(io.BytesIO(seed), "r") as file:
        text = file.attrs[CONFIG]
        return text.decode() if isinstance(text, bytes) else str(text)


def repacked(data: bytes) -> bytes:
    """The same content with no gaps: damaged bytes shall matter."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data), "r") as old, h5py.File(buffer, "w") as new:
        for name in old.attrs:
            value = old.attrs[name]
            new.attrs[name] = np.bytes_(value) if isinstance(value, bytes | str) and value else value
        old.copy("model_weights", new)
    return buffer.getvalue()


def config_text(config: str, random: Random) -> bytes:
    """The configuration with other members, or another text."""
    if random.random() < 0.15:
        return encoded(spoiled_text(config, random, WORDS))
    if random.random() < 0.05:
        return spoiled_bytes(encoded(config), random)
    return encoded(json.dumps(spoiled_config(json.loads(config), random)))


def spoiled_config(config: Any, random: Random) -> Any:
    """One to three members changed, most of them in layers."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if random.random() < 0.8 and layers:
        spoil_tree(random.choice(layers), random)
        return config
    return spoil_tree(config, random)


def spoil_file(file: Any, random: Random) -> None:
    """Change one group, variable, attribute or link; what HDF5 refuses to write stays out."""
    with suppress(OSError, KeyError, ValueError, RuntimeError, TypeError):
        spoil_place(file, random)


def spoil_place(file: Any, random: Random) -> None:
    places: list[str] = []
    file.visit(places.append)
    if not places:
        return
    place = random.choice(places)
    node = file[place]
    match random.randrange(9):
        case 0:
            del file[place]
        case 1:
            file.move(place, place + random.choice(NAMES))
        case 2:
            attributes = node.attrs if random.random() < 0.7 else file.attrs
            name = random.choice([*attributes, "weight_names", "layer_names", "weight_names0", "keras_version"])
            spoil_attribute(attributes, name, random)
        case 3:
            del file[place]
            file[place] = random.choice((
                h5py.SoftLink("/" + place), h5py.SoftLink("/"), h5py.ExternalLink("/etc/passwd", "/"),
                h5py.SoftLink("/none"), h5py.ExternalLink("x.h5", "/" + place),
            ))  # fmt: skip
        case 4:
            del file[place]
            file[place] = file["/"]
        case 5:
            del file[place]
            file.create_group(place)
        case _:
            variables = [p for p in places if isinstance(file.get(p, getlink=False), h5py.Dataset)]
            if variables:
                replace_variable(file, random.choice(variables), random)


def spoil_attribute(attributes: Any, name: str, random: Random) -> None:
    """Another value, of another type or shape."""
    texts = [t.encode("utf-8", "surrogatepass").replace(b"\0", b"?") or b"x" for t in TEXTS]
    attributes[name] = random.choice((
        np.array(random.choices(texts, k=random.randrange(1, 4))), 5, np.float32(0.5), np.zeros((2, 2)), "text",
        h5py.Empty("f4"), np.array([]), np.bytes_(b"x"), np.array([1, 2]), np.array([["a"]], "S1"),
        np.void(b"\xff\xfe"),
    ))  # fmt: skip


def replace_variable(file: Any, place: str, random: Random) -> None:
    """A variable of another shape, type or storage."""
    shape = file[place].shape if file[place].size < 1 << 20 else (4,)  # it may be a huge one, of a spoiling before
    del file[place]
    other = random.choice((shape, shape[::-1], (*shape, 1), shape[:-1], (0,), (), (1,), tuple(d + 1 for d in shape)))
    dtype = random.choice(DTYPES)
    match random.randrange(8):
        case 0:
            file.create_dataset(
                place, random.choice(((1 << 40,), (1 << 20, 1 << 19), (1 << 28,), (100,))), "f4", chunks=True
            )
        case 1:
            file.create_dataset(place, data=np.full(other, random.choice((np.nan, np.inf, 1e38, -0.0, 1e-45)), "f8"))
        case 2:
            options = random.choice(
                (
                    {"compression": "gzip"},
                    {"compression": "lzf"},
                    {"shuffle": True},
                    {"fletcher32": True},
                    {"scaleoffset": 3},
                )
            )
            file.create_dataset(place, data=np.zeros(other or (1,), "i4"), chunks=True, **options)
        case 3:
            file.create_dataset(place, other, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
        case 4:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("x.h5", "y", (4,))
            file.create_virtual_dataset(place, layout)
        case 5:
            file.create_dataset(place, data=h5py.Empty("f4"))
        case _:
            kind = h5py.string_dtype() if dtype == "O" else dtype
            file.create_dataset(place, other, kind)
