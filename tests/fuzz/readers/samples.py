"""Samples and labels, for the commands that run and those that calibrate."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

import numpy as np

from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.tools.calibrate import read_samples as read_calibration
from cnn2snn_ir.tools.sample_streams import opened_samples
from cnn2snn_ir.tools.samples import read_batch, read_samples
from fuzz.mutate import encoded, spoiled_bytes, spoiled_text
from fuzz.readers.networks import networks

DTYPES = (
    "|u1",
    "<f4",
    "<f8",
    "<i8",
    ">i2",
    "|b1",
    "<c8",
    "|O",
    "|S5",
    "<U3",
    "<M8[ns]",
    "|V9",
    "<f2",
    "<f16",
    "|x1",
    "",
)
SHAPES = (
    "(2, 2)",
    "()",
    "(0,)",
    "(-1,)",
    "(2,)",
    "(99999999999,)",
    "(9223372036854775807, 2)",
    "(2, 2",
    "[2]",
    "'a'",
    "(1,)" * 3,
    "(1, " * 90,
)
WORDS = (
    *DTYPES, *SHAPES, *"{}(),:'", "'descr'", "'fortran_order'", "'shape'", "True", "False", "None", "0", "-1",
    "9" * 30, "1e9", "x", "[('a', '<f4')]", "[" * 200, "__import__('os')", "(" * 300, "-" * 300 + "1", "9" * 6000,
)  # fmt: skip


RECORD = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x05\x06)")
"""What the records of a zip file begin with."""


def npy(random: Random) -> bytes:
    """An array as a file, sometimes with a header that lies."""
    shape = random.choice(((2, 2), (3,), (), (0, 4), (1, 6, 6, 1), (2, 1, 4)))
    array = np.zeros(shape, random.choice(("u1", "f4", "i8", "?", "c8", "S3", "f2")))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, random.choice(((1, 0), (2, 0), (3, 0))))
    data = buffer.getvalue()
    way = random.random()
    if way < 0.3:
        return data
    if way < 0.45:
        return spoiled_bytes(data, random)
    body = array.tobytes()
    header = f"{{'descr': {random.choice(DTYPES)!r}, 'fortran_order': False, 'shape': {random.choice(SHAPES)}, }}"
    if way < 0.7:
        header = f"{{'descr': '<f4', 'fortran_order': {random.random() < 0.5}, 'shape': {shape}, }}"
        header = spoiled_text(header, random, WORDS)
    raw = encoded(header)
    if random.random() < 0.05:
        raw += b" " * random.choice((9000, 70000))
    version = random.choice((1, 1, 2, 3, 4))
    size = struct.pack("<H", len(raw) & 0xFFFF) if version == 1 else struct.pack("<I", len(raw))
    return b"\x93NUMPY" + bytes((version, 0)) + size + raw + body


def spoiled_npz(random: Random, seeds: list[bytes], names: list[str]) -> bytes:
    """A zip of arrays: spoiled members, or spoiled as a whole."""
    way = random.random()
    if seeds and way < 0.2:
        return spoiled_bytes(random.choice(seeds), random)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in dict.fromkeys(random.choices(names, k=random.randrange(4))):
            if name in archive.namelist():
                continue
            info = zipfile.ZipInfo(name + random.choice((".npy", ".npy", ".npy", "", "/", "\n.npy")))
            info.compress_type = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
            archive.writestr(info, npy(random))
    data = buffer.getvalue()
    return spoiled_zip(data, random) if way < 0.6 else data


def spoiled_zip(data: bytes, random: Random) -> bytes:
    """A zip with a number of its directory changed: flags, method, sizes, checksum, offsets."""
    spoiled = bytearray(data)
    starts = [match.start() for match in RECORD.finditer(data)]
    if not starts or random.random() < 0.2:
        return spoiled_bytes(data, random)
    at = random.choice(starts) + random.randrange(4, 46)
    number = random.choice((0, 1, 8, 9, 12, 14, 93, 99, 0xFF, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, random.getrandbits(32)))
    width = random.choice((1, 2, 4))
    spoiled[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(spoiled)


class READER:
    """Arrays alone and in zips."""

    name, suffix = "samples", ".npz"

    def __init__(self) -> None:
        modules = networks()
        self.module = modules[0]
        self.streams = next(m for m in modules if m.states)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, x=np.zeros((2, 3), "u1"), y=np.zeros(2))
        self.seeds = [buffer.getvalue()]

    def make(self, random: Random) -> bytes:
        way = random.random()
        if way < 0.4:
            return npy(random)
        if way < 0.41:
            return b"PK\3\4" + zlib.compress(bytes(random.choice((1, 1000))))
        return spoiled_npz(random, self.seeds, ["x", "y", "x", "z", "", "a/b"])

    def read(self, path: Path) -> None:
        ways = (
            lambda: read_batch(path),
            lambda: read_samples(path, self.module),
            lambda: read_samples(path, self.streams),
            lambda: read_calibration(path),
            lambda: read_blocks(path, self.module),
            lambda: read_blocks(path, self.streams),
        )
        ways[path.stat().st_size % len(ways)]()


def read_blocks(path: Path, module: builtin.Module) -> None:
    """As the command that runs data sets of any size."""
    with opened_samples(path, module) as samples:
        for _ in samples.blocks:
            pass
