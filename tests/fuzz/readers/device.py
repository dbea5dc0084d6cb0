"""Device files, read and used: the constants of what is accepted are numbers."""

from __future__ import annotations

import copy
import json
import math
import tomllib
from pathlib import Path
from random import Random
from typing import Any

from cnn2snn_ir.device import load_device
from fuzz.mutate import encoded, hostile, spoil_tree, spoiled_bytes, spoiled_text

FOLDER = Path(__file__).resolve().parents[3] / "runtime" / "devices"
WORDS = (
    *"[]{}=,.\"'#\n", "[chip]", "[[stated_errors]]", "[energy]", "value", "source", "confidence", "extends",
    '"AKD1500"', '"AKD1000"', '"x.toml"', '"../x.toml"', '""', '"\\ud800"', '"\\u0000"', "inf", "-inf", "nan", "-0.0",
    "0x7fffffffffffffff", "1979-05-27", "1e400", "9" * 400, "9" * 5000, "true", "false", "[[[[", "'''", '"""',
    "timing.", "a" * 300,
)  # fmt: skip


class READER:
    """The devices of the package, and small ones that build on them."""

    name, suffix = "device", ".toml"

    def __init__(self) -> None:
        self.texts = [
            "name = 'mine'\nextends = 'AKD1500'\n[chip]\n"
            "clock_mhz = { value = 200, source = 'my board', confidence = 'measured' }\n",
            "name = 'mine'\nextends = 'SixNodesIPv2'\nenergy = false\n[limits]\n",
        ]
        tables = [
            tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8")) for name in ("_akida1", "_akida2", "AKD1000")
        ]
        self.trees = [short(tree) for tree in tables]
        self.trees += [tomllib.loads(text) for text in self.texts]

    def make(self, random: Random) -> bytes:
        way = random.random()
        if way < 0.2:
            return encoded(spoiled_text(random.choice(self.texts), random, WORDS))
        if way < 0.25:
            return spoiled_bytes(encoded(random.choice(self.texts)), random)
        if way < 0.26:
            return encoded("a = " + "[" * random.choice((10, 400, 3000)) + "]" * random.choice((0, 10, 400)))
        if way < 0.27:
            return encoded(".".join("a" * random.choice((10, 400, 3000))) + " = 1")
        tree = copy.deepcopy(random.choice(self.trees))
        if random.random() < 0.5:  # at a constant, not anywhere
            section = random.choice([v for v in tree.values() if isinstance(v, dict)] or [tree])
            section[random.choice([*section, "more"])] = {
                "value": hostile(random),
                "source": "s",
                "confidence": "fitted",
            }
        return encoded(
            "".join(toml_lines(spoil_tree(tree, random, random.choice((0, 1, 2))) if random.random() < 0.8 else tree))
        )

    def read(self, path: Path) -> None:
        device = load_device(str(path))
        assert device.nps > 0
        assert device.clock_hz >= 0
        assert all(math.isfinite(c.value) for c in device.constants().values() if isinstance(c.value, int | float))


def short(tree: Any) -> Any:
    """The tree with short texts: their words are not what is tried."""
    if isinstance(tree, dict):
        return {key: short(value) for key, value in tree.items()}
    return tree[:12] if isinstance(tree, str) and len(tree) > 30 else tree


def toml_lines(tree: Any) -> list[str]:
    """Tables as TOML; what TOML cannot say is written as something near."""
    if not isinstance(tree, dict):
        return [f"{toml(tree)}\n"]
    plain = [
        f"{json.dumps(k)} = {toml(v)}\n" for k, v in tree.items() if not isinstance(v, dict) or "value" in v or not v
    ]
    tables = [(k, v) for k, v in tree.items() if isinstance(v, dict) and "value" not in v and v]
    return [*plain, *(line for k, v in tables for line in (f"[{json.dumps(k)}]\n", *inline(v)))]


def inline(table: dict[Any, Any]) -> list[str]:
    return [f"{json.dumps(k)} = {toml(v)}\n" for k, v in table.items()]


def toml(value: Any, depth: int = 0) -> str:
    """A value."""
    if depth > 300:
        return "0"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v, depth + 1)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v, depth + 1) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else json.dumps("" if value is None else str(value))
