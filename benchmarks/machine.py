"""What a benchmark says of the machine that it ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


IDLE = 0.7
"""The load, in the last minute, up to which ratios mean something: some of the second core is left."""


def load() -> str:
    """How much other work there is as a benchmark begins."""
    found = os.getloadavg()[0]
    return f"load {found:.1f}" + ("" if found <= IDLE else ": other work runs here, and the ratios say little")
