"""The public functions: `convert` and `load`.

This file stands above all layers: it is the one place of the core that may call frontends, passes, backends
and the runtime.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cnn2snn_ir.diagnostics import CompileError, Diagnostics, fail
from cnn2snn_ir.files import is_standard_output
from cnn2snn_ir.versions import AkidaVersion, get_akida_version, parse_version

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module
    from cnn2snn_ir.passes.base import Array, PassContext
    from cnn2snn_ir.passes.pipeline import Pipeline
    from cnn2snn_ir.runtime.model import Model

PIPELINES = {AkidaVersion.v1: "akida1-default", AkidaVersion.v2: "akida2-default"}
"""The named pipeline of each generation."""


@runtime_checkable
class Saveable(Protocol):
    """A live Keras model, of either Keras: it can save itself."""

    name: str

    def save(self, filepath: Any) -> Any:
        """Write the model to a file."""


def convert(
    model: str | os.PathLike[str] | Module | Saveable,
    file_path: str | os.PathLike[str] | None = None,
    input_scaling: tuple[float, float] | None = None,
    *,
    target: AkidaVersion | str | None = None,
    dump_ir: str | os.PathLike[str] | None = None,
    allow_float_tail: bool = False,
    legalize: bool = True,
    validate: bool = True,
    samples: Array | None = None,
    copies: int = 1,
    onnx_mode: str = "bounded",
) -> Model:
    """Compile a quantized model to an Akida program.

    Args:
        model: a `.h5`, `.keras` or `.onnx` file, a dump of the IR (`.c2s`), a module that `quantize_float` made, or a
            live Keras model (it is saved to a temporary file first).
        file_path: also write the program here; without a suffix it gets `.fbz`, and a folder gets the model's name.
        input_scaling: (scale, shift) of the integers `scale · x + shift` that the program reads, where the model reads
            x; for models quantized by the legacy API that have no Rescaling layer.
        target: the Akida generation; by default the one of `get_akida_version()`, and v1 for legacy models.
        dump_ir: a folder for the IR after every pass.
        allow_float_tail: let the host compute float layers with weights (Dense, …) behind the last integer.
        legalize: rewrite what the target has no layer for, where that is exact, instead of refusing it.
        validate: run the model and the program on a random input, and refuse a program that differs.
        samples: a batch of typical inputs; Akida 1 gets the levels right that are common among them.
        copies: how often a layer of Akida 1 may have each of its neurons, so that the thresholds of the next are finer
            and more of its levels right, or all; of the numbers up to this, each layer gets the smallest that does.
        onnx_mode: for models quantized by others than QuantizeML: `bounded` fits what the chip cannot do exactly and
            states the differences, `exact` refuses it.

    Returns:
        the program, ready to run.

    Raises:
        CompileError: with every reason why the model cannot be converted.
    """
    from cnn2snn_ir.runtime.model import Model

    module, context = compile_model(
        model,
        input_scaling=input_scaling,
        target=target,
        dump_ir=dump_ir,
        allow_float_tail=allow_float_tail,
        legalize=legalize,
        validate=validate,
        samples=samples,
        copies=copies,
        onnx_mode=onnx_mode,
    )
    for ignored in context.diagnostics:
        if ignored.code == "INPUT-SCALING":
            warnings.warn(ignored.message, stacklevel=2)
    program = Model(module)
    if file_path is not None:
        program.save(program_path(file_path, module.sym_name))
    return program


def load(path: str | os.PathLike[str]) -> Model:
    """Load a program file; raises `CompileError` if it is not a valid one."""
    from cnn2snn_ir.runtime.model import Model

    return Model(path)


def compile_model(
    model: str | os.PathLike[str] | Module | Saveable,
    *,
    input_scaling: tuple[float, float] | None = None,
    target: AkidaVersion | str | None = None,
    dump_ir: str | os.PathLike[str] | None = None,
    allow_float_tail: bool = False,
    legalize: bool = True,
    validate: bool = True,
    samples: Array | None = None,
    copies: int = 1,
    onnx_mode: str = "bounded",
) -> tuple[Module, PassContext]:
    """Import, compile and validate; returns the module of the target and what the passes had to say."""
    from cnn2snn_ir.passes.base import PassContext
    from cnn2snn_ir.passes.instruments import Instrument, PassFaultError, VerifyEach, WholeTrial
    from cnn2snn_ir.passes.legacy_input import as_scaling, ignored_scaling
    from cnn2snn_ir.passes.legality.tail import tail_diagnostics
    from cnn2snn_ir.passes.manager import PassManager

    scaling = as_scaling(input_scaling)
    notes = Diagnostics()
    module = import_any(model, notes)
    version = version_for(module, target)
    pipeline = pipeline_for(module, version, legalize, scaling, onnx_mode, copies)
    tail = Diagnostics(tail_diagnostics(module, allow_float_tail))
    if tail.errors:
        raise every_problem(module, pipeline, tail)
    tail.extend([*notes, *ignored_scaling(module, scaling)])
    context = PassContext(tail, samples=samples)
    trial = WholeTrial(module) if validate else None
    instruments: list[Instrument] = [*([trial] if trial else []), VerifyEach()]
    if dump_ir is not None:
        from cnn2snn_ir.passes.instruments import DumpTree

        instruments.insert(0, DumpTree(Path(dump_ir)))
    try:
        PassManager(pipeline, instruments).run(module, context)
    except PassFaultError:
        raise  # a bug of the compiler
    except CompileError as error:
        raise every_problem(import_any(model), pipeline, Diagnostics(error.diagnostics)) from None
    left = Diagnostics(tail_diagnostics(module, allow_float_tail))  # what could not become integers, too
    left.raise_errors(f"{module.sym_name}: cannot convert the model")
    if trial is not None:
        trial.check(module, PIPELINES[version])
    module.annotations["pipeline"] = str(pipeline)
    return module, context


def version_for(module: Module, target: AkidaVersion | str | None) -> AkidaVersion:
    """The generation to compile for; legacy models are for Akida 1, whatever the default."""
    from cnn2snn_ir.passes.kinds import is_legacy

    current = get_akida_version()  # a wrong value in the environment is an error, whoever decides
    wanted = None if target is None else parse_version(target, "target")
    if not is_legacy(module):
        return wanted or current
    if wanted not in (None, AkidaVersion.v1):
        message = "models quantized by the legacy API run on Akida 1 only"
        raise fail("TARGET", message, where=module.sym_name, found=str(wanted), allowed="v1")
    return AkidaVersion.v1


def pipeline_for(
    module: Module,
    version: AkidaVersion,
    legalize: bool = True,
    scaling: tuple[float, float] | None = None,
    onnx_mode: str = "bounded",
    copies: int = 1,
) -> Pipeline:
    """From the module as imported to a program; `scaling` is that of a legacy model's input.

    Raises `CompileError` for a float model, and for copies that a target does not have.
    """
    from cnn2snn_ir.passes.kinds import Kind, kind_of, not_quantized
    from cnn2snn_ir.passes.pipeline import Pipeline
    from cnn2snn_ir.passes.registry import find_pipeline

    kind = kind_of(module)
    pipeline = find_pipeline(PIPELINES[version], legalize=legalize, **copies_for(version, copies))
    assert not isinstance(pipeline, str)
    if kind is Kind.FLOAT:
        raise not_quantized(module)
    if kind is Kind.INTEGER:
        return pipeline
    if kind is Kind.LEGACY:
        from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn  # most models have no use for it

        front = legacy_to_qnn(scaling)
    else:
        from cnn2snn_ir.passes.quantization_pipelines import quantized_to_qnn

        front = quantized_to_qnn(version, onnx_mode)
    return Pipeline(pipeline.anchor, (*front.items, *pipeline.items))


def copies_for(version: AkidaVersion, copies: int) -> dict[str, int]:
    """The choice of a pipeline for so many copies of neurons, which Akida 1 alone has a use for."""
    if copies == 1:
        return {}
    from cnn2snn_ir.passes.copies import MOST_COPIES  # seldom asked for

    if version is not AkidaVersion.v1:
        message = "copies of neurons are for the thresholds of Akida 1"
        raise fail("COPIES", message, found=f"{copies} for {version}", allowed="1", help="leave the option out")
    if not 1 <= copies <= MOST_COPIES:
        message = "a layer cannot have so many neurons for each of its channels"
        raise fail("COPIES", message, found=str(copies), allowed=f"1 to {MOST_COPIES}")
    return {"copies": copies}


def every_problem(module: Module, pipeline: Pipeline, found: Diagnostics) -> CompileError:
    """The error for a model that cannot be converted: what was found, and what the passes would have said."""
    from cnn2snn_ir.passes.legality.survey import survey

    found.extend(survey(module, pipeline))
    return CompileError(list(found), f"{module.sym_name}: cannot convert the model")


def import_any(model: str | os.PathLike[str] | Module | Saveable, notes: Diagnostics | None = None) -> Module:
    """Import a file or a live model; a module is copied.  What a frontend remarks goes to `notes`."""
    from cnn2snn_ir.dialects.builtin import Module
    from cnn2snn_ir.frontends import load_model

    if isinstance(model, Module):
        return model.clone()
    return saved(model, lambda path: load_text(path) if path.suffix == ".c2s" else load_model(path, notes))


def saved(model: str | os.PathLike[str] | Saveable, read: Callable[[Path], Module]) -> Module:
    """What `read` makes of a file; a live model is saved to one first."""
    if isinstance(model, (str, os.PathLike)):
        return read(Path(model))
    if not isinstance(model, Saveable):
        raise fail(
            "MODEL-TYPE",
            "this is neither a path nor a model",
            found=type(model).__name__,
            allowed="a path to a .h5, .keras, .onnx or .c2s file, a Keras model, or a module",
        )
    import tempfile  # files need none

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{Path(model.name).name or 'model'}.h5"
        save_quietly(model, path)
        try:
            return read(path)
        except CompileError as error:  # the file is ours: its user knows the model only
            told = [replace(d, where=d.where.replace(f"{folder}{os.sep}", "")) for d in error.diagnostics]
            raise CompileError(told, error.title.replace(f"{folder}{os.sep}", "")) from None


def save_quietly(model: Saveable, path: Path) -> None:
    """Save a model to a file that nobody sees, so Keras's advice about its format is for nobody."""
    loggers = [logging.getLogger("absl")] if "absl" in logging.root.manager.loggerDict else []  # absl makes it itself
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
            model.save(str(path))
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def load_text(path: Path) -> Module:
    """A module from its text and the weights beside it."""
    from cnn2snn_ir.files import read_text
    from cnn2snn_ir.text import parse_module, read_weights, weights_beside

    sidecar = weights_beside(path)
    return parse_module(read_text(str(path)), str(path), read_weights(sidecar) if sidecar else None)


def program_path(file_path: str | os.PathLike[str], name: str) -> Path:
    """Where a program goes: a folder gets the model's name, a bare name gets `.fbz`."""
    text = os.fspath(file_path)
    path = Path(text)
    if text.endswith(("/", os.sep)) or path.is_dir():
        return path / f"{name}.fbz"
    written_into = is_standard_output(path) or (path.exists() and not path.is_file())  # /dev/null, a pipe
    return path if path.suffix or written_into else path.with_suffix(".fbz")
