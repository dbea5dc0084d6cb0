"""`did you mean …?`, for a text that may be wrong in ten thousand places."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from itertools import islice

MOST_NAMES = 300
"""Names that one is compared with: comparing costs some microseconds a pair."""

LONGEST_NAME = 60

MOST_HINTS = 50
"""Faults of one text that get a hint; who made more did not misspell."""


def did_you_mean(name: str, names: Collection[str], faults: int = 0) -> str:
    """The name nearest to `name` as a question; nothing if none is near, or if there are many faults already."""
    if len(name) > LONGEST_NAME or faults >= MOST_HINTS:
        return ""
    latest = islice(reversed(list(names)), MOST_NAMES)
    near = difflib.get_close_matches(name, [n for n in latest if len(n) <= LONGEST_NAME], 1)
    return f"did you mean {near[0]}?" if near else ""
