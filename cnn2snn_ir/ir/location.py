"""Where an op came from: model file, layer, class; fused by the rewriter when ops merge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """No origin known (built by hand)."""

    def __str__(self) -> str:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the imported model: its name, its class and its index in the file."""

    name: str
    kind: str = ""
    index: int = -1

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})" if self.kind else self.name


@dataclass(frozen=True, slots=True)
class Text:
    """A line and column of an IR text."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Fused:
    """Several origins: the op does the work of all of them."""

    parts: tuple[Layer | Text, ...]

    def __str__(self) -> str:
        return " + ".join(str(p) for p in self.parts)


Location = Unknown | Layer | Text | Fused
UNKNOWN = Unknown()


def fuse(*locations: Location) -> Location:
    """Merge origins, keeping order and dropping repeats; unknown parts vanish."""
    parts: dict[Layer | Text, None] = {}
    for loc in locations:
        if isinstance(loc, Fused):
            parts.update(dict.fromkeys(loc.parts))
        elif not isinstance(loc, Unknown):
            parts[loc] = None
    if not parts:
        return UNKNOWN
    return next(iter(parts)) if len(parts) == 1 else Fused(tuple(parts))


def layers(loc: Location) -> list[Layer]:
    """The source layers behind a location."""
    if isinstance(loc, Layer):
        return [loc]
    if isinstance(loc, Fused):
        return [p for p in loc.parts if isinstance(p, Layer)]
    return []
