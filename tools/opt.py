"""`cnn2snn-opt`: reads IR, runs passes, prints IR.  This file has the flags; `opt_run.py` does the work.

Exit codes: 0 done, 1 something is wrong with the input or the flags, 70 something is wrong with the compiler.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.tools import process

OK, USER_ERROR, INTERNAL_ERROR = 0, 1, 70


class Weights(StrEnum):
    """Where the bytes of large constants go."""

    ELIDE = "elide"
    INLINE = "inline"
    SIDECAR = "sidecar"


def flag(*names: str, help: str, panel: str | None = None, **more: Any) -> Any:
    """One command-line option, in a panel of the help."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


show = partial(flag, panel="Look inside")
check = partial(flag, panel="Check")
stop = partial(flag, panel="List and stop")


VALIDATE = "Run before and after every pass on N random inputs, and compare."


@dataclass(frozen=True)
class Settings:
    """Run passes on IR text (.c2s), a program (.fbz) or a model (.h5, .keras), and print the result.

    cnn2snn-opt model.h5 --pass-pipeline='canonicalize,fuse-blocks' --print-ir-diff
    """

    file: Annotated[str, typer.Argument(help="Input file; - is standard input.")] = "-"
    pass_pipeline: Annotated[str, flag("--pass-pipeline", "-p", help="Passes: 'a,b{option=1},qnn.block(c)'.")] = ""
    output: Annotated[Path | None, flag("-o", help="Output, text or .fbz; default is standard output.")] = None
    generic: Annotated[bool, flag("--generic", help="Print the generic form.")] = False
    weights: Annotated[Weights, flag("--weights", help="Bytes of large constants.")] = Weights.ELIDE
    weights_file: Annotated[Path | None, flag("--weights-file", help="Sidecar; an output if --weights=sidecar.")] = None
    samples: Annotated[Path | None, flag("--samples", help="Typical inputs, .npz or .npy.")] = None
    print_loc: Annotated[bool, flag("--print-loc", help="Print where ops come from.")] = False
    no_annotations: Annotated[bool, flag("--no-annotations", help="Print no proven ranges and other notes.")] = False
    split_input_file: Annotated[bool, flag("--split-input-file", help="Inputs are parted by '// -----'.")] = False

    print_ir_before: Annotated[list[str] | None, show("--print-ir-before", help="Print before a pass.")] = None
    print_ir_after: Annotated[list[str] | None, show("--print-ir-after", help="Print after a pass.")] = None
    print_ir_before_all: Annotated[bool, show("--print-ir-before-all", help="Before every pass.")] = False
    print_ir_after_all: Annotated[bool, show("--print-ir-after-all", help="After every pass.")] = False
    print_ir_after_change: Annotated[bool, show("--print-ir-after-change", help="If the pass changed it.")] = False
    print_ir_diff: Annotated[bool, show("--print-ir-diff", help="What every pass changed.")] = False
    print_ir_tree_dir: Annotated[Path | None, show("--print-ir-tree-dir", help="Folder for a dump a pass.")] = None
    timing: Annotated[bool, show("--timing", help="Time by pass.")] = False
    pass_statistics: Annotated[bool, show("--pass-statistics", help="What the rules did, and why not.")] = False

    verify_each: Annotated[bool, check("--verify-each/--no-verify-each", help="After every pass (default).")] = True
    verify_roundtrip: Annotated[bool, check("--verify-roundtrip", help="Print and parse after every pass.")] = False
    validate_each: Annotated[int | None, check("--validate-each", metavar="N", min=0, help=VALIDATE)] = None
    verify_diagnostics: Annotated[bool, check("--verify-diagnostics", help="Check '// expected-error {{…}}'.")] = False
    reproducer: Annotated[Path, check("--reproducer", help="Where a crash leaves its input.")] = Path("repro.c2s")
    run_reproducer: Annotated[Path | None, check("--run-reproducer", help="Replay such a file.")] = None

    list_passes: Annotated[bool, stop("--list-passes", help="All passes and their options.")] = False
    list_pipelines: Annotated[bool, stop("--list-pipelines", help="All named pipelines.")] = False
    dump_pass_pipeline: Annotated[bool, stop("--dump-pass-pipeline", help="The pipeline, expanded.")] = False


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code and never raises."""
    return run_command(argv) if argv is not None else process.protected(lambda: run_command(None))


def run_command(argv: list[str] | None) -> int:
    """What `main` does in a process that is ready for it."""
    try:
        settings = parse(argv)
        if isinstance(settings, int):
            return settings
        return run(settings)
    except CompileError as error:
        print(error.render(), file=sys.stderr)
        return USER_ERROR
    except OSError as error:
        print(process.unwritten(error).render(), file=sys.stderr)
        return USER_ERROR
    except Exception as error:
        print(f"internal error: {type(error).__name__}: {error}\n    help: please report this", file=sys.stderr)
        return INTERNAL_ERROR


def run(settings: Settings) -> int:
    """Do it.  Imports come as late as they can: `--help` needs none of the compiler, lists little of it."""
    if settings.list_passes or settings.list_pipelines:
        from cnn2snn_ir.tools.listing import list_passes, list_pipelines

        print(list_passes() if settings.list_passes else list_pipelines())
        return OK
    from cnn2snn_ir.tools.opt_run import optimize

    return optimize(settings)


def parse(argv: list[str] | None) -> Settings | int:
    """The flags, or an exit code if there is nothing more to do."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(Settings)
    try:
        parsed: Settings | int = typer.main.get_command(app).main(argv, "cnn2snn-opt", standalone_mode=False)
    except Exception as error:
        # Typer carries its own copy of click, older ones need click itself: known by what they can do.
        if not hasattr(error, "format_message"):
            raise
        print(f"error: {error.format_message()}\n    help: cnn2snn-opt --help", file=sys.stderr)
        return USER_ERROR
    return parsed


if __name__ == "__main__":
    from cnn2snn_ir.tools.opt import main as imported  # there is one class `Weights`, not another in `__main__`

    sys.exit(imported())
