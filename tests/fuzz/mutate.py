"""Ways to spoil bytes, texts and trees of plain data, all drawn from one `random.Random`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 4096, 65535, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53,
    2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400, 0.0, -0.0, 0.5, -1.5, 1e-45, 1e-320, 1e38, 1e39, 1e300,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
TEXTS = (
    "", " ", "a", "0", "-1", "\0", "a\0b", "\n", "a\nerror: b", "\ud800", "é", "\u202e", "\x1b[31m", "x" * 300,
    "/", "..", "../../etc/passwd",
    "/etc/passwd", "%s%n", "a/b", ".", "none", "null", "float32", "linear", "valid", "same", "relu", "Lambda",
    "__import__('os').system('false')",
)  # fmt: skip


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def hostile(random: Random) -> Any:
    """A value that nobody expects."""
    way = random.random()
    if way < 0.45:
        return random.choice(NUMBERS)
    if way < 0.75:
        return random.choice(TEXTS)
    if way < 0.80:
        return random.choice((deep(3), deep(40), deep(random.choice((200, 600)))))
    return random.choice(
        (None, True, False, [], {}, [[]], [0], [1, 1], [None], {"a": 1}, [1] * 70, {"class_name": "X"})
    )


# ---- bytes ----------------------------------------------------------------------------------------------------------


def spoiled_bytes(data: bytes, random: Random) -> bytes:
    """Bytes with one to eight faults."""
    spoiled = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if not spoiled:
            break
        at = random.randrange(len(spoiled))
        match random.randrange(8):
            case 0 | 1:
                spoiled[at] ^= 1 << random.randrange(8)
            case 2:
                spoiled[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 3:
                width = random.choice((2, 4, 8))
                number = random.choice(
                    (0, 1, 255, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, len(data), random.getrandbits(64))
                )
                spoiled[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, random.choice(("little", "big")))
            case 4:
                del spoiled[at : at + random.choice((1, 1, 2, 4, 16, 256))]
            case 5:
                spoiled[at:at] = bytes(random.getrandbits(8) for _ in range(random.choice((1, 1, 4, 32))))
            case 6:
                other = random.randrange(len(spoiled))
                length = random.choice((1, 4, 8, 64))
                spoiled[at : at + length] = spoiled[other : other + length]
            case _:
                if random.random() < 0.3:
                    del spoiled[at:]
    return bytes(spoiled)


# ---- texts ----------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[A-Za-z0-9_.%@$]+|\s+|.', re.DOTALL)


def spoiled_text(text: str, random: Random, words: Sequence[str]) -> str:
    """A text with one to six of its tokens changed, dropped, repeated or exchanged; `words` are the language's own."""
    tokens = TOKEN.findall(text)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        if not tokens:
            return random.choice(words)
        at = random.randrange(len(tokens))
        match random.randrange(9):
            case 0:
                del tokens[at]
            case 1:
                tokens[at:at] = tokens[at : at + random.randrange(1, 20)]
            case 2:
                other = random.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3 | 4:
                tokens[at] = random.choice(words)
            case 5:
                tokens[at] = number_text(random)
            case 6:
                tokens[at] = spoiled_word(tokens[at], random)
            case 7:
                numbers = [i for i, token in enumerate(tokens) if token[:1].isdigit()]
                if numbers:
                    tokens[random.choice(numbers)] = number_text(random)
            case _:
                tokens[at] = random.choice(tokens)
    return "".join(tokens)


KINDS = tuple(
    map(
        re.compile,
        (
            r"[0-9.]+\Z",
            r"%",
            r"[a-z0-9_]+\.[a-z0-9_]+\Z",
            r"\"",
            r"tensor|[su]i[0-9]+|f[36][24]",
            r"[A-Za-z_]",
            r"[^\s\w]",
        ),
    )
)


def exchanged(text: str, random: Random, words: Sequence[str]) -> str:
    """A text with one to three tokens exchanged for others of their kind, so that it often means something still."""
    tokens = TOKEN.findall(text)
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(tokens))
        kind = next((k for k in KINDS[:6] if k.match(tokens[at])), None)
        if kind is None:
            continue
        if kind is KINDS[0] and random.random() < 0.7:
            tokens[at] = random.choice(
                ("0", "1", "2", "3", "4", "5", "7", "8", "16", "64", "-1", "1.5", number_text(random))
            )
        else:
            others = [t for t in (*tokens, *words) if kind.match(t)]
            tokens[at] = random.choice(others)
    return "".join(tokens)


def number_text(random: Random) -> str:
    """A number, some of them absurd."""
    return random.choice(
        (*map(repr, NUMBERS[:-3]), "inf", "nan", "-inf", "9" * 40, "1e999", "0x10", "1_000", "00", "-", "9" * 5000)
    )


def spoiled_word(word: str, random: Random) -> str:
    """A word with another character."""
    at = random.randrange(len(word) + 1)
    return (
        word[:at]
        + random.choice((*TEXTS[:13], "\\", '"', "\t", "\r", "{", "}", "<", ">", "\ufeff"))
        + word[at + random.randrange(2) :]
    )


def encoded(text: str) -> bytes:
    """The text as a file has it; lone surrogates stay, as bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


# ---- trees ----------------------------------------------------------------------------------------------------------


def spoil_tree(tree: Any, random: Random, times: int = 0) -> Any:
    """Change dictionaries and lists in place, in one to three spots; returns the tree, which may be another."""
    for _ in range(times or random.choice((1, 1, 2, 3))):
        spots = [(tree, None, None)]
        collect(tree, spots)
        _, parent, key = random.choice(spots)
        if parent is None:
            if random.random() < 0.05:
                return hostile(random)
            continue
        spoil_member(parent, key, random, spots)
    return tree


def collect(node: Any, spots: list[Any], depth: int = 0) -> None:
    """Every member of every container, with the container and its key; not those far below."""
    if depth > 30:
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        spots.append((value, node, key))
        collect(value, spots, depth + 1)


def spoil_member(parent: Any, key: Any, random: Random, spots: list[Any]) -> None:
    """Change one member of a container."""
    match random.randrange(7):
        case 0:
            del parent[key]
        case 1 | 2:
            parent[key] = hostile(random)
        case 3:
            value = random.choice(spots)[0]
            parent[key] = value if not isinstance(value, dict | list) else hostile(random)  # never a circle
        case 4 if isinstance(parent, list):
            parent.insert(key, parent[key])
        case 4:
            parent[random.choice((*TEXTS, "extra"))] = hostile(random)
        case 5:
            parent[key] = nudged(parent[key], random)
        case _:
            parent[key] = random.choice(([parent[key]], {"value": parent[key]}, text_of(parent[key])))


def text_of(value: Any) -> str:
    """A value as text, unless it is a container, which may be deep."""
    return "container" if isinstance(value, dict | list) else str(value)[:100]


def nudged(value: Any, random: Random) -> Any:
    """A value of the same kind, but another."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice((value + 1, value - 1, -value, value * 2, *NUMBERS))
    if isinstance(value, str):
        return spoiled_word(value, random)
    if isinstance(value, list):
        return random.choice((value[1:], value[::-1], value * 2, value[:1] * 40))
    return hostile(random)
