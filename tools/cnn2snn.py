"""The `cnn2snn` command, also installed as `cnn2snn-ir`: convert, run, summary."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnn2snn_ir import __version__
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.tools import console
from cnn2snn_ir.versions import AkidaVersion

app = typer.Typer(
    help="Compile quantized CNNs to Akida programs, run them bit for bit, and look at them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"cnn2snn-ir {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile quantized CNNs to Akida programs, run them bit for bit, and look at them."""


@app.command()
def convert(
    model: Annotated[Path, typer.Option("--model", "-m", help="Quantized model: .h5 or .keras.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Program to write; by default the model's name with .fbz.")
    ] = None,
    target: Annotated[
        AkidaVersion | None,
        typer.Option("--target", help="Akida generation; by default CNN2SNN_TARGET_AKIDA_VERSION, else v2."),
    ] = None,
    dump_ir: Annotated[Path | None, typer.Option("--dump-ir", help="Folder for the IR after every pass.")] = None,
) -> None:
    """Convert a quantized model to an Akida program."""
    from cnn2snn_ir.api import compile_model, program_path
    from cnn2snn_ir.backends.program import write_program

    path = model.with_suffix(".fbz") if output is None else program_path(output, model.stem)
    refuse_overwriting(model, path)
    with console.progress(f"converting {model.name}"):
        module, context = compile_model(model, target=target, dump_ir=dump_ir)
        write_program(module, path)
    console.remark(context.diagnostics)
    print(f"Model successfully converted and saved as {path}.")


def refuse_overwriting(model: Path, path: Path) -> None:
    """The output must not be the input."""
    if path.exists() and model.exists() and path.samefile(model):
        raise fail("FILE-SAME", "the program would overwrite the model", where=str(path), help="choose another -o")


@app.command()
def run(
    program: Annotated[Path, typer.Argument(help="Program file (.fbz).")],
    inputs: Annotated[Path, typer.Option("--inputs", "-i", help="Samples: .npz with x (and labels y), or .npy.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the predictions as .npy.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", "-b", min=1, help="Samples at a time.")] = None,
) -> None:
    """Run a program on samples; print its accuracy where labels are given."""
    from cnn2snn_ir.runtime.model import Model
    from cnn2snn_ir.tools.samples import read_samples, write_array

    samples, labels = read_samples(inputs)
    with console.progress(f"running {program.name}"):
        model = Model(program)
        predictions = model.predict(samples, batch_size=batch)
    if output is not None:
        write_array(output, predictions)
    print(f"{len(samples)} samples, output shape {tuple(predictions.shape[1:])}")
    if labels is not None:
        hits = predictions.reshape(len(samples), -1).argmax(axis=1) == labels
        print(f"accuracy {hits.mean():.4f} ({hits.sum()} of {len(samples)})" if len(samples) else "no samples")
    elif output is None:
        classes = predictions.reshape(len(samples), -1).argmax(axis=1)
        print("classes " + " ".join(map(str, classes[:32])) + (" …" if len(classes) > 32 else ""))


@app.command()
def summary(program: Annotated[Path, typer.Argument(help="Program file (.fbz).")]) -> None:
    """Print the layers of a program."""
    from cnn2snn_ir.runtime.model import Model

    Model(program).summary()


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    if Path(sys.argv[0]).name != "cnn2snn" and (sentence := console.shadowed()):
        print(sentence, file=sys.stderr)
    return console.run(app, "cnn2snn", argv)


if __name__ == "__main__":
    raise SystemExit(main())
