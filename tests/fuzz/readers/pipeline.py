"""Pipelines as text: parsed, printed, and parsed again to the same."""

from __future__ import annotations

from pathlib import Path
from random import Random

from cnn2snn_ir.files import read_text
from cnn2snn_ir.passes import registry
from cnn2snn_ir.passes.options import options_of
from cnn2snn_ir.passes.pipeline import parse_pipeline
from fuzz.mutate import encoded, exchanged, spoiled_bytes, spoiled_text

VALUES = (
    "1",
    "true",
    "none",
    '"none"',
    "v2",
    "[a, b]",
    "[]",
    "0.5",
    "-1",
    "nan",
    "inf",
    "1e999",
    "9" * 50,
    '"\\u0000"',
    '"\\ud800"',
)


class READER:
    """Random pipelines of known passes and options, spoiled."""

    name, suffix = "pipeline", ".txt"

    def __init__(self) -> None:
        self.options = {name: list(options_of(registry.find_pass(name))) for name in registry.pass_names()}
        self.names = [*self.options, *registry.PIPELINES]
        options = sorted({option for names in self.options.values() for option in names})
        self.words = (
            *self.names, *options, *VALUES, *"{}()[],= ", "builtin.module", "qnn.block", "builtin.module(", "\\", '"',
        )  # fmt: skip

    def make(self, random: Random) -> bytes:
        if random.random() < 0.01:
            depth = random.choice((10, 100, 2000))
            return encoded("qnn.block(" * depth + ")" * random.choice((0, depth)))
        text = ", ".join(self.item(random) for _ in range(random.randrange(1, 5)))
        text = f"builtin.module({text})" if random.random() < 0.3 else text
        way = random.random()
        if way < 0.1:
            return encoded(text)
        if way < 0.55:
            return encoded(exchanged(text, random, self.words))
        return spoiled_bytes(encoded(text), random) if way < 0.65 else encoded(spoiled_text(text, random, self.words))

    def item(self, random: Random) -> str:
        if random.random() < 0.15:
            return f"qnn.block({self.item(random)})"
        name = random.choice(self.names)
        options = self.options.get(name, ())
        if not options or random.random() < 0.4:
            return name
        given = [f"{random.choice(options)}={random.choice(VALUES)}" for _ in range(random.randrange(3))]
        return f"{name}{{{' '.join(given)}}}"

    def read(self, path: Path) -> None:
        pipeline = parse_pipeline(read_text(path))
        assert str(parse_pipeline(str(pipeline))) == str(pipeline)
