"""The text form: parsed, verified, printed; what was printed must parse to the same text."""

from __future__ import annotations

from pathlib import Path
from random import Random

from cnn2snn_ir.dialects import all_ops
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.text import parse_module, print_module
from cnn2snn_ir.tools.loading import sources
from fuzz.mutate import encoded, exchanged, hostile, spoiled_bytes, spoiled_text
from fuzz.readers.networks import networks
from fuzz.readers.random_ir import RandomIr

FIELDS = sorted({field.name for op in all_ops().values() for field in op.fields})
WORDS = (
    *all_ops(), *FIELDS, *"{}()<>[],:=#", "->", "%x", "%0", "@m", "module", "meta", "loc", "loc(unknown)", "fused",
    "tensor<?x1xsi8>", "tensor<>", "tensor<?>", "tensor<?x-1xsi8>", "tensor<99999999999x9xf64>", "si8[1]", "si99[2]",
    "f32[99999999, 99999999]", "sha256:0123456789abcdef", "#w<", "#w<x, si8[2], 5>", "#w<x, f32[], nan>", "#blob<",
    '"x"', '"\\ud800"', '"\\u0000"', '"\\', "//", "// -----\n", "null", "true", "si8", "ui64", "same", "conv2d",
    "#w<x, si8[16384, 16384], 1>",
)  # fmt: skip


class READER:
    """Random modules, and networks, printed and spoiled."""

    name, suffix = "c2s", ".c2s"

    def __init__(self) -> None:
        texts = [print_module(m, generic=generic) for m in networks() for generic in (False, True)]
        self.texts = [text for text in texts if len(text) < 3000]

    def make(self, random: Random) -> bytes:
        if random.random() < 0.25:
            text = random.choice(self.texts)
        else:
            text = print_module(
                RandomIr(random).module(), generic=random.random() < 0.3, weights=random.choice(WEIGHTS)
            )
        way = random.random()
        if way < 0.1:
            return encoded(text)
        if way < 0.2:
            return spoiled_bytes(encoded(text), random)
        if way < 0.22:
            return encoded(nested(random))
        if way < 0.23:
            return encoded(text.replace('"', f'"{hostile(random)!s:.9999}', 1))
        if way < 0.7:
            return encoded(exchanged(text, random, WORDS))
        return encoded(spoiled_text(text, random, WORDS))

    def read(self, path: Path) -> None:
        module = sources(str(path))[0].load()
        verify(module).raise_errors()
        text = print_module(module)
        assert print_module(parse_module(text)) == text


WEIGHTS = ("elide", "inline")


def nested(random: Random) -> str:
    """Regions, lists or locations inside of each other."""
    depth = random.choice((5, 60, 500, 3000))
    inside, end = random.choice(
        (
            ('%a = qnn.block {kind = add, layer = "x"} {\n', "builtin.return\n} : tensor<?x1xsi8>\n"),
            ('"qnn.block"() ({', "}) : () -> ()"),
            ("builtin.input {shape = " + "[" * 9, "]" * 9 + "}"),
        )
    )
    value = "[" * depth + "]" * depth
    return (
        f"module @m {{ {inside * depth}{end * depth} }}" if random.random() < 0.7 else f"module @m {{a = {value}}} {{}}"
    )
