"""The sidecar of the text form: arrays by their hash in a zip, and a text that names some of them."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from cnn2snn_ir.text import parse_module, print_module, read_weights
from cnn2snn_ir.text.weights import packed_weights
from fuzz.readers.networks import networks
from fuzz.readers.samples import spoiled_npz


class READER:
    """Sidecars of networks, as `samples.py` spoils zips of arrays."""

    name, suffix = "weights", ".c2sw"

    def __init__(self) -> None:
        module = next(m for m in networks() if "sha256:" in print_module(m))
        self.text = print_module(module)
        self.seed = packed_weights(module)
        self.digests = re.findall("sha256:([0-9a-f]{16})", self.text)

    def make(self, random: Random) -> bytes:
        return spoiled_npz(random, [self.seed], self.digests)

    def read(self, path: Path) -> None:
        weights = read_weights(path)
        if weights.keys() & set(self.digests):
            parse_module(self.text, "<text>", weights)
