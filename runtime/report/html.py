"""A simulation as one page for a browser, complete in itself: the record as JSON, and the styles and scripts of
`page/`, which draw everything from it.

The page asks nothing of a network, and its content security policy forbids that it could: only the style and the script
that are written here, known by their hashes, may act.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from importlib import resources

from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.runtime.timing.result import Simulation

SCRIPTS = (
    "core.js",
    "header.js",
    "graph.js",
    "layers.js",
    "densities.js",
    "provenance.js",
    "mesh.js",
    "roofline.js",
    "timeline.js",
    "constants.js",
    "main.js",
)
"""In the order in which they are joined: what is used at the top level of a file stands in one before it."""

PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_report(simulation: Simulation, path: str | os.PathLike[str]) -> None:
    """Write the page; raises `CompileError` if the file cannot be written."""
    # A path may hold what UTF-8 cannot say: bytes of another encoding, which Python keeps as lone surrogates.
    atomic_write(path, report_html(simulation).encode("utf-8", "xmlcharrefreplace"))


def report_html(simulation: Simulation) -> str:
    """The page as text."""
    style = _read("style.css")
    script = '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "title": html.escape(f"{simulation.model} on {simulation.device.name}"),
        "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}",
        "style": style,
        "script": script,
        "data": _embedded(simulation),
    }
    return PLACE.sub(lambda place: parts[place[1]], _read("page.html"))  # once: names in the data are not places


def _embedded(simulation: Simulation) -> str:
    """The record as JSON that no HTML parser finds an end of a script or a comment in."""
    text = json.dumps(simulation.as_json(), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(text: str) -> str:
    """A text as a source of the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (resources.files("cnn2snn_ir.runtime.report") / "page" / name).read_text("utf-8")
