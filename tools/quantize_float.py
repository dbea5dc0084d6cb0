"""`cnn2snn quantize-float`: from a float model to a quantized one, with a table of what it cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.passes.instruments.base import Instrument, PassRun
from cnn2snn_ir.post_training import import_float, quantize_and_tell
from cnn2snn_ir.runtime.floats.fidelity import Fidelity, quantization_errors
from cnn2snn_ir.runtime.model import table
from cnn2snn_ir.text import print_module, write_weights
from cnn2snn_ir.tools.samples import read_batch

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module
    from cnn2snn_ir.passes.base import PassContext

SUFFIX = ".c2s"
"""Quantized models are IR text, with the weights beside it."""


class Told(Instrument):
    """Names every pass on standard error, if somebody watches."""

    def before_pass(self, run: PassRun) -> None:
        if sys.stderr.isatty():
            print(f"  {run.pass_.name}", file=sys.stderr)


def quantized_path(model: Path, scheme: str) -> Path:
    """Where the quantized model goes: beside the model, the scheme in the name."""
    return model.with_name(f"{model.stem}_{scheme.replace('/', '_')}{SUFFIX}")


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """The shape that a user writes as `3,224,224`; raises `CompileError` for anything else."""
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise fail("QUANTIZE-SHAPE", "this is no shape", where="--input-shape", found=text, allowed="such as 3,224,224")
    return tuple(map(int, parts))


def quantize(
    model: Path,
    samples: Path | None,
    scheme: str,
    input_dtype: str | None,
    input_shape: tuple[int, ...] | None,
    equalize: bool,
    power_of_two: bool,
) -> tuple[Module, PassContext, list[Fidelity]]:
    """The quantized model, what the passes said, and the error of every layer on the samples."""
    given = None if samples is None else read_batch(samples)
    options = (scheme, input_dtype, input_shape, equalize, power_of_two)
    module, context = quantize_and_tell(model, given, *options, instruments=(Told(),))
    assert context.samples is not None
    return module, context, quantization_errors(import_float(model, input_shape), module, context.samples)


def save(module: Module, path: Path) -> None:
    """Write a module as text and its weights beside it."""
    if path.suffix != SUFFIX:
        raise fail("FILE-FORMAT", "quantized models are IR text", where=str(path), allowed=SUFFIX)
    try:
        write_weights(path.with_suffix(".c2sw"), module)
        atomic_write(path, print_module(module, locations=True).encode())
    except OSError as error:
        raise fail("FILE-ACCESS", "cannot write the file", where=str(path), found=str(error.strerror)) from None


def render(errors: list[Fidelity], count: int) -> str:
    """The table for a reader."""
    rows = [(row.layer, f"{row.sqnr:.1f}", f"{row.largest:.4g}", f"{row.peak:.4g}") for row in errors]
    return f"error of each layer on {count} samples, against the float model:\n" + table(
        [("layer", "SQNR dB", "largest error", "largest value"), *rows]
    )
