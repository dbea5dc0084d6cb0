"""Which Akida generation to compile for: an argument, a context manager, an environment variable, or Akida 2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

from cnn2snn_ir.diagnostics import fail

VARIABLE = "CNN2SNN_TARGET_AKIDA_VERSION"
"""The environment variable that the vendor's tools read too."""


class AkidaVersion(StrEnum):
    """A generation of the Akida architecture."""

    v1 = "v1"
    v2 = "v2"


_CURRENT: ContextVar[AkidaVersion | None] = ContextVar("akida_version", default=None)


def get_akida_version() -> AkidaVersion:
    """The version in force: that of the innermost `set_akida_version`, the environment's, or v2.

    Raises `CompileError` if the environment variable holds anything else.
    """
    current = _CURRENT.get()
    return current if current is not None else parse_version(os.environ.get(VARIABLE, "v2"), VARIABLE)


@contextmanager
def set_akida_version(version: AkidaVersion | str) -> Iterator[AkidaVersion]:
    """`with set_akida_version(AkidaVersion.v1): …` compiles for that version inside the block."""
    chosen = parse_version(version, "set_akida_version")
    token = _CURRENT.set(chosen)
    try:
        yield chosen
    finally:
        _CURRENT.reset(token)


def parse_version(text: str, where: str) -> AkidaVersion:
    """`v1` or `v2`; raises `CompileError` otherwise."""
    if text in list(AkidaVersion):
        return AkidaVersion(text)
    raise fail("TARGET", "unknown Akida version", where=where, found=repr(text), allowed="v1, v2")
