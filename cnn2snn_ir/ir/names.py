"""The one owner of unique value names in a module."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"(.*)_(\d+)\Z", re.DOTALL)


class NameAuthority:
    """Hands out names that nobody else holds: `conv`, then `conv_1`, `conv_2`, …"""

    def __init__(self) -> None:
        self._taken: set[str] = set()  # membership only, never iterated: order cannot leak
        self._next: dict[str, int] = {}

    def claim(self, wanted: str) -> str:
        """Take `wanted`, or the first free `wanted_N`."""
        name = wanted
        if name in self._taken or not name or name.isdigit():
            match = _NUMBERED.match(wanted)
            stem = match[1] if match else (wanted if wanted and not wanted.isdigit() else f"v{wanted}")
            number = self._next.get(stem, 1)
            while (name := f"{stem}_{number}") in self._taken:
                number += 1
            self._next[stem] = number + 1
        self._taken.add(name)
        return name

    def release(self, name: str) -> None:
        """Give a name back."""
        self._taken.discard(name)
