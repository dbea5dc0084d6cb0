"""Post-training quantization of float models, and whether a float model has a way to a program.

This file stands beside `api.py`, above all layers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, Severity, fail
from cnn2snn_ir.versions import AkidaVersion, get_akida_version

if TYPE_CHECKING:
    from cnn2snn_ir.api import Saveable
    from cnn2snn_ir.dialects.builtin import Module
    from cnn2snn_ir.passes.base import PassContext
    from cnn2snn_ir.passes.instruments import Instrument

Array = npt.NDArray[Any]

INPUT_TYPES = {"uint8": "ui8", "int8": "si8", "float32": ""}
"""What a program may read: integers that are the model's inputs, or floats that it quantizes itself."""

RANDOM_SAMPLES = 8
"""Samples drawn where the user gives none."""


def quantize_float(
    model: str | os.PathLike[str] | Module | Saveable,
    samples: Array | None = None,
    scheme: str = "8/8/8",
    *,
    input_dtype: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    equalize: bool = True,
    power_of_two: bool = False,
) -> Module:
    """Quantize a float model; the result is a `qnn` module for `convert`.

    Args:
        model: a float `.h5`, `.keras` or `.onnx` file, a live Keras model, or an `nn` module.
        samples: typical inputs [samples, …], channels last (or in ONNX's order), of any size from a handful to
            thousands; without them ranges are guessed from random ones, which costs accuracy.
        scheme: bits of the first layer's weights, of the others', and of activations: `8/8/8`, `8/4/8`, `8/4/4`, or
            `akida1`.
        input_dtype: what the program reads: `uint8` or `int8`, which are the numbers that the model reads, or
            `float32`; by default as the samples are.
        input_shape: the shape of a sample in ONNX's order, where the file leaves it open.
        equalize: even out the ranges of channels before anything is quantized.
        power_of_two: only steps that are powers of two.

    Raises:
        CompileError: with everything that prevents it.
    """
    return quantize_and_tell(model, samples, scheme, input_dtype, input_shape, equalize, power_of_two)[0]


def quantize_and_tell(
    model: str | os.PathLike[str] | Module | Saveable,
    samples: Array | None = None,
    scheme: str = "8/8/8",
    input_dtype: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    equalize: bool = True,
    power_of_two: bool = False,
    instruments: tuple[Instrument, ...] = (),
) -> tuple[Module, PassContext]:
    """Quantize a float model; also what the passes had to say."""
    from cnn2snn_ir.passes.base import PassContext
    from cnn2snn_ir.passes.instruments import VerifyEach
    from cnn2snn_ir.passes.kinds import Kind, kind_of
    from cnn2snn_ir.passes.manager import PassManager
    from cnn2snn_ir.passes.quantization_pipelines import quantize_float as pipeline_of

    context = PassContext()
    module = import_float(model, input_shape, context.diagnostics)
    if kind_of(module) is not Kind.FLOAT:
        where = str(module.annotations.get("source", module.sym_name))
        raise fail("MODEL-QUANTIZED", "the model is quantized already", where=where, help="convert it as it is")
    reads = input_type(input_dtype, samples)
    context.samples = sampled(module, samples, reads, context.diagnostics)
    scaled = INPUT_TYPES[reads] if module.inputs[0].element.is_float else ""  # else it reads integers already
    pipeline = pipeline_of(scheme, scaled, equalize, power_of_two)
    PassManager(pipeline, [*instruments, VerifyEach()]).run(module, context)
    module.annotations["quantized"] = str(pipeline)
    return module, context


def check_model_compatibility(
    model: str | os.PathLike[str] | Module | Saveable, device: str | None = None, input_dtype: str = "uint8"
) -> None:
    """Whether a float model can be quantized and converted for the current Akida version (`set_akida_version`).

    Args:
        model: a float `.h5`, `.keras` or `.onnx` file, a live Keras model, or an `nn` module.
        device: place the program on this device too, whole: its name or a device file.
        input_dtype: what the program would read: `uint8`, `int8` or `float32`.

    Raises:
        CompileError: with every reason why not.
    """
    from cnn2snn_ir.api import compile_model

    version = get_akida_version()
    found = Diagnostics()
    try:
        scheme = "akida1" if version is AkidaVersion.v1 else "8/8/8"
        module, _ = quantize_and_tell(model, None, scheme, input_dtype)
        program, _ = compile_model(module, target=version, validate=False)
        found.extend(() if device is None else device_problems(program, device))
    except CompileError as error:
        found.extend(error.diagnostics)
    problems = Diagnostics(d for d in found if d.code != "QUANTIZE-RANDOM")
    problems.raise_errors("the model cannot become an Akida program")


def device_problems(program: Module, device: str) -> list[Diagnostic]:
    """Why a program cannot be on a device as a whole; empty if it can."""
    from cnn2snn_ir.backends.mapping import map_program
    from cnn2snn_ir.device import load_device

    try:
        map_program(program, load_device(device), "minimal", hw_only=True)
    except CompileError as error:
        return error.diagnostics
    return []


def import_float(
    model: str | os.PathLike[str] | Module | Saveable,
    input_shape: tuple[int, ...] | None,
    notes: Diagnostics | None = None,
) -> Module:
    """An `nn` module of a float model."""
    from cnn2snn_ir.api import saved
    from cnn2snn_ir.dialects.builtin import Module
    from cnn2snn_ir.frontends import load_float_model

    if isinstance(model, Module):
        return model.clone()
    return saved(model, lambda path: load_float_model(path, input_shape, notes))


# ---- samples --------------------------------------------------------------------------------------------------------


def input_type(wanted: str | None, samples: Array | None) -> str:
    """What the program reads; raises `CompileError` for what no program does."""
    if wanted is None:
        wanted = "float32" if samples is None else str(samples.dtype)
        return wanted if wanted in INPUT_TYPES else "float32"
    if wanted not in INPUT_TYPES:
        message = "a program does not read this type"
        raise fail("QUANTIZE-INPUT", message, found=wanted, allowed=", ".join(INPUT_TYPES))
    return wanted


def sampled(module: Module, samples: Array | None, reads: str, found: Diagnostics) -> Array:
    """Samples as the module reads them, channels last; random ones, with a warning, if there are none."""
    (source,) = module.inputs
    if samples is None:
        found.add(
            Diagnostic(
                "QUANTIZE-RANDOM",
                "ranges are taken from random samples, which costs accuracy",
                module.sym_name,
                help="give typical inputs (--samples)",
                severity=Severity.WARNING,
            )
        )
        return random_samples(source.shape, reads)
    if samples.shape[1:] != source.shape and np.moveaxis(samples, 1, -1).shape[1:] == source.shape:
        samples = np.moveaxis(samples, 1, -1)
    if samples.shape[1:] != source.shape or not len(samples):
        raise fail(
            "QUANTIZE-SAMPLES",
            "the samples do not have the shape of the model's input",
            where=source.result.name or "input",
            found=str(samples.shape),
            allowed=f"(samples, {', '.join(map(str, source.shape))})",
        )
    if not np.isfinite(samples).all():
        raise fail("QUANTIZE-SAMPLES", "the samples hold numbers that are not finite", found="NaN or infinity")
    return samples


def random_samples(shape: tuple[int, ...], reads: str) -> Array:
    """Uniform samples of the type that a program reads; floats from 0 to 1."""
    draw = np.random.default_rng(0)
    size = (RANDOM_SAMPLES, *shape)
    if reads == "float32":
        return draw.random(size, np.float32)
    info = np.iinfo(reads)
    return draw.integers(info.min, info.max, size, reads, endpoint=True)
