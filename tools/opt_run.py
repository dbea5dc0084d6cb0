"""What `cnn2snn-opt` does with its flags."""

from __future__ import annotations

import sys
from pathlib import Path

from cnn2snn_ir.diagnostics import CompileError, Diagnostics, fail
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes import instruments
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.instruments import Instrument, PassFaultError
from cnn2snn_ir.passes.manager import PassCrashError, PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.passes.pipeline_parser import nearest
from cnn2snn_ir.passes.registry import pass_names
from cnn2snn_ir.text import print_module, write_weights
from cnn2snn_ir.tools.expectations import unmet
from cnn2snn_ir.tools.loading import PROGRAM_SUFFIX, SEPARATOR, Source, sources
from cnn2snn_ir.tools.opt import INTERNAL_ERROR, OK, USER_ERROR, Settings, Weights
from cnn2snn_ir.tools.samples import read_batch


def optimize(settings: Settings) -> int:
    """Do everything the flags ask for; returns the exit code."""
    check_pass_names([*(settings.print_ir_before or ()), *(settings.print_ir_after or ())])
    weights_file = None if settings.weights is Weights.SIDECAR else settings.weights_file  # else it is an output
    if settings.run_reproducer is not None:
        text, ir = instruments.read_reproducer(settings.run_reproducer)
        inputs = [Source(str(settings.run_reproducer), ir, weights_file)]
    else:
        text, inputs = settings.pass_pipeline, []
    pipeline = parse_pipeline(text)
    if settings.dump_pass_pipeline:
        print(pipeline)
        return OK
    inputs = inputs or sources(settings.file, weights_file, settings.split_input_file)
    if settings.verify_diagnostics:
        return check_expectations(inputs, pipeline, settings)
    return transform(inputs, pipeline, settings)


def check_pass_names(names: list[str]) -> None:
    """A misspelt name would silently print nothing."""
    for name in names:
        if name not in pass_names():
            raise fail("OPT-PASS", f"no pass is called {name}", where="--print-ir", help=nearest(name, pass_names()))


def transform(inputs: list[Source], pipeline: Pipeline, settings: Settings) -> int:
    """Run the pipeline on every input and write what comes out; inputs with errors are left out."""
    done: list[Module] = []
    code = OK
    for source in inputs:
        found = Diagnostics()
        try:
            done.append(process(source, pipeline, settings, found))
        except PassCrashError as crash:
            code = INTERNAL_ERROR
            print(f"internal error while running {crash}{advice(crash)}", file=sys.stderr)
        except PassFaultError as error:
            code = INTERNAL_ERROR
            print(f"{error.render()}{advice(error)}", file=sys.stderr)
        except CompileError as error:
            code = code or USER_ERROR
            found.extend(error.diagnostics)
        if found:
            print(found.render(), file=sys.stderr)
    if done:
        write(done, settings)
    return code


def process(source: Source, pipeline: Pipeline, settings: Settings, found: Diagnostics) -> Module:
    """Read, verify and transform one module; warnings are added to `found`."""
    module = source.load()
    if settings.verify_each:
        verify(module).raise_errors()
    context = PassContext(samples=None if settings.samples is None else read_batch(settings.samples))
    try:
        PassManager(pipeline, instruments_for(settings)).run(module, context)
    finally:
        found.extend(context.diagnostics)
    return module


def check_expectations(inputs: list[Source], pipeline: Pipeline, settings: Settings) -> int:
    """Compare the diagnostics with the comments of the inputs."""
    problems = Diagnostics()
    for source in inputs:
        found = Diagnostics()
        try:
            process(source, pipeline, settings, found)
        except CompileError as error:
            found.extend(error.diagnostics)
        problems.extend(unmet(found, source.text or "", source.file))
    if problems:
        print(problems.render(), file=sys.stderr)
    return USER_ERROR if problems else OK


def instruments_for(settings: Settings) -> list[Instrument]:
    """The instruments that the flags ask for; see `Instrument` for what their order means."""
    s = settings
    printer = instruments.PrintIR(
        sys.stderr,
        before=s.print_ir_before or (),
        after=s.print_ir_after or (),
        before_all=s.print_ir_before_all,
        after_all=s.print_ir_after_all,
        after_change=s.print_ir_after_change,
        diff=s.print_ir_diff,
        generic=s.generic,
        locations=s.print_loc,
    )
    chosen: list[Instrument] = [instruments.Reproducer(s.reproducer), instruments.PrintAfterFailure(sys.stderr)]
    if s.validate_each is not None:
        chosen.append(instruments.ValidateEach(s.validate_each))
    if s.verify_roundtrip:
        chosen.append(instruments.VerifyRoundTrip())
    if s.verify_each:
        chosen += [instruments.CheckChanged(), instruments.VerifyEach()]
    chosen.append(printer)
    if s.print_ir_tree_dir is not None:
        chosen.append(instruments.DumpTree(s.print_ir_tree_dir))
    if s.pass_statistics:
        chosen.append(instruments.Statistics(sys.stderr))
    if s.timing:
        chosen.append(instruments.Timing(sys.stderr))
    return chosen


def write(modules: list[Module], settings: Settings) -> None:
    """Print the modules, or write them to the output file with their weights where the flags say."""
    output = settings.output
    if output is not None and output.suffix == PROGRAM_SUFFIX:
        from cnn2snn_ir.backends.program import write_program

        if len(modules) > 1:
            raise fail("OPT-OUTPUT", "a program file holds one module", where=str(output), found=str(len(modules)))
        write_program(modules[0], output)
        return
    weights = "inline" if settings.weights is Weights.INLINE else "elide"
    texts = [
        print_module(
            module,
            generic=settings.generic,
            weights=weights,
            locations=settings.print_loc,
            annotations=not settings.no_annotations,
        )
        for module in modules
    ]
    text = f"{SEPARATOR}\n".join(texts)
    if settings.weights is Weights.SIDECAR:
        write_sidecar(modules, settings)
    if output is None:
        sys.stdout.write(text)
    else:
        atomic_write(output, text.encode())


def write_sidecar(modules: list[Module], settings: Settings) -> None:
    """Write the weights beside the output, or where `--weights-file` says."""
    path = settings.weights_file or (settings.output.with_suffix(".c2sw") if settings.output else None)
    if path is None or len(modules) > 1:
        raise fail(
            "OPT-SIDECAR",
            "a sidecar needs one module and a name",
            found=f"{len(modules)} modules, {'no name' if path is None else path}",
            help="give -o FILE.c2s or --weights-file FILE.c2sw",
        )
    write_weights(path, modules[0])


def advice(error: PassCrashError | PassFaultError) -> str:
    """Where the reproducer is."""
    path: Path | None = error.reproducer
    if path is None:
        return ""
    return f"\n    help: please report this with {path}; cnn2snn-opt --run-reproducer {path} replays it"
