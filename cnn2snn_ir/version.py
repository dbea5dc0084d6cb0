"""The version of the installed distribution, for manifests, dumps and reproducers."""

from __future__ import annotations

from functools import cache


@cache
def tool_version() -> str:
    """`cnn2snn-ir 0.1.0`; without a number when the package runs from a bare checkout."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, rarely needed

    try:
        return f"cnn2snn-ir {version('cnn2snn-ir')}"
    except PackageNotFoundError:
        return "cnn2snn-ir"
