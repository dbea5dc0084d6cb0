"""Archives of Keras 3: other configurations, other variables, other members, damaged bytes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from random import Random

import h5py

from fuzz.mutate import encoded, spoiled_bytes, spoiled_text
from fuzz.readers.h5 import WORDS, load_either, spoil_file, spoiled_config
from fuzz.readers.networks import FIXTURES
from fuzz.readers.samples import spoiled_zip

FILES = ("float_layers/line.keras", "float_layers/keras2/line.keras", "quantizeml/float_tail_i8_w8_a8.keras")
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


class READER:
    """Small models, in archives whose members are not compressed, so that a damaged byte is theirs."""

    name, suffix = "keras", ".keras"

    def __init__(self) -> None:
        self.seeds = [members((FIXTURES / name).read_bytes()) for name in FILES]

    def make(self, random: Random) -> bytes:
        parts = dict(random.choice(self.seeds))
        way = random.random()
        if way < 0.45:
            config = json.loads(parts[CONFIG])
            parts[CONFIG] = encoded(json.dumps(spoiled_config(config, random)))
        elif way < 0.52:
            parts[CONFIG] = encoded(spoiled_text(parts[CONFIG].decode(), random, WORDS))
        elif way < 0.65:
            parts[WEIGHTS] = spoiled_bytes(parts[WEIGHTS], random)
        elif way < 0.8:
            buffer = io.BytesIO(parts[WEIGHTS])
            with h5py.File(buffer, "r+") as file:
                spoil_file(file, random)
            parts[WEIGHTS] = buffer.getvalue()
        elif way < 0.85:
            name = random.choice(list(parts))
            parts[random.choice(("x", "../x", "/etc/x", "config.json"))] = parts.pop(name)
        elif way < 0.88:
            parts["metadata.json"] = encoded(
                random.choice(("[]", "1", "{", '{"keras_version": []}', "[" * 2000, '"x"'))
            )
        data = packed(parts, random)
        return data if way < 0.88 else spoiled_zip(data, random) if way < 0.95 else spoiled_bytes(data, random)

    def read(self, path: Path) -> None:
        load_either(path)


def members(data: bytes) -> dict[str, bytes]:
    """The members by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name in (CONFIG, WEIGHTS, "metadata.json")}


def packed(parts: dict[str, bytes], random: Random) -> bytes:
    """The archive; now and then compressed."""
    buffer = io.BytesIO()
    ways = (zipfile.ZIP_STORED,) * 8 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(buffer, "w", random.choice(ways), compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
