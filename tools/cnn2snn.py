"""The `cnn2snn` command, also installed as `cnn2snn-ir`.  This file declares its commands."""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnn2snn_ir import __version__
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.tools import console, device_commands, process
from cnn2snn_ir.versions import AkidaVersion

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module

app = typer.Typer(
    help="Compile quantized CNNs to Akida programs, run them bit for bit, and look at them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AllowFloatTail = Annotated[
    bool,
    typer.Option("--allow-float-tail", help="Let the host compute float layers with weights behind the last integer."),
]
NoLegalize = Annotated[
    bool, typer.Option("--no-legalize", help="Refuse what the target has no layer for, instead of rewriting it.")
]
OnnxMode = Annotated[
    str,
    typer.Option(
        "--onnx-mode",
        help="For QDQ, QOperator and QONNX models: bounded fits what the chip cannot do exactly, exact refuses it.",
    ),
]
NoValidate = Annotated[
    bool, typer.Option("--no-validate", help="Do not run the program and the model on a random input to compare them.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a report for programs.")]


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
    model: Annotated[Path, typer.Option("--model", "-m", help="Quantized model: .h5, .keras, .onnx or .c2s.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Program to write; by default the model's name with .fbz.")
    ] = None,
    target: Annotated[
        AkidaVersion | None,
        typer.Option("--target", help="Akida generation; by default CNN2SNN_TARGET_AKIDA_VERSION, else v2."),
    ] = None,
    dump_ir: Annotated[Path | None, typer.Option("--dump-ir", help="Folder for the IR after every pass.")] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", "-sc", help="Deprecated: integers a unit of a legacy model's input.")
    ] = None,
    shift: Annotated[
        float | None, typer.Option("--shift", "-sh", help="Deprecated: the integer of a legacy model's input 0.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="Typical inputs (.npz, .npy): Akida 1 gets their common levels right."),
    ] = None,
    copies: Annotated[
        int,
        typer.Option("--copies", help="Akida 1: neurons for a channel, at most; finer thresholds for more of them."),
    ] = 1,
    allow_float_tail: AllowFloatTail = False,
    no_legalize: NoLegalize = False,
    no_validate: NoValidate = False,
    onnx_mode: OnnxMode = "bounded",
) -> None:
    """Convert a quantized model to an Akida program."""
    from cnn2snn_ir.api import compile_model, program_path
    from cnn2snn_ir.backends.program import write_program
    from cnn2snn_ir.passes.legality.tail import HOST
    from cnn2snn_ir.passes.legalize.legalization import LEGALIZED
    from cnn2snn_ir.tools.samples import read_batch

    path = model.with_suffix(".fbz") if output is None else program_path(output, model.stem)
    refuse_overwriting(model, path)
    scaling = input_scaling(scale, shift)
    with console.progress(f"converting {model.name}"):
        module, context = compile_model(
            model,
            input_scaling=scaling,
            target=target,
            dump_ir=dump_ir,
            allow_float_tail=allow_float_tail,
            legalize=not no_legalize,
            validate=not no_validate,
            samples=None if samples is None else read_batch(samples),
            copies=copies,
            onnx_mode=onnx_mode,
        )
        write_program(module, path)
    console.remark(context.diagnostics, also=(HOST,))
    for done in context.diagnostics:
        if done.code == LEGALIZED:
            print(f"note: {done.message}", file=sys.stderr)
    if module.annotations.get("target") == AkidaVersion.v1:
        tell_stated(module)
    else:
        tell_bounded(module)
    console.say(f"Model successfully converted and saved as {path}.", path)


def tell_stated(module: Module) -> None:
    """Say in a line how many neurons have levels that the model has not."""
    from cnn2snn_ir.runtime.statements import neurons, stated

    if off := stated(module):
        print(
            f"note: {off} of {neurons(module)} neurons give some potentials a neighbouring level: two registers hold "
            "all their boundaries (`cnn2snn check --target v1` has the layers, `differs` in the IR the potentials; "
            "--copies puts more of them right)",
            file=sys.stderr,
        )


def tell_bounded(module: Module) -> None:
    """Say in a line how many channels of a model quantized by others are not exactly the model's."""
    from cnn2snn_ir.runtime.statements import stated

    if off := stated(module):
        print(
            f"note: {off} channels may be off by a step of the model or more, where 8 bits of scale and bias do not "
            "express it (`cnn2snn check` lists the layers, `cnn2snn compare` measures it on samples)",
            file=sys.stderr,
        )


def input_scaling(scale: float | None, shift: float | None) -> tuple[float, float] | None:
    """The deprecated options as `convert` takes them."""
    if scale is None and shift is None:
        return None
    if scale is None or shift is None:
        raise typer.BadParameter("--scale and --shift go together", param_hint="--scale")
    layer = f"Rescaling(scale={1 / scale:g}, offset={(0 - shift) / scale:g})" if scale else "Rescaling"
    print(f"note: --scale and --shift are deprecated; put a {layer} layer at the model's input", file=sys.stderr)
    return scale, shift


def refuse_overwriting(model: Path, path: Path) -> None:
    """The output must not be the input."""
    if path.exists() and model.exists() and path.samefile(model):
        raise fail("FILE-SAME", "the output would overwrite the model", where=str(path), help="choose another -o")


@app.command()
def quantize(
    model: Annotated[Path, typer.Option("--model", "-m", help="Keras model, float or quantized: .h5 or .keras.")],
    weights: Annotated[
        int, typer.Option("--weight_quantization", "-wq", help="Bits of weights: 2, 4 or 8; 0 leaves them in float.")
    ] = 4,
    activations: Annotated[
        int, typer.Option("--activ_quantization", "-aq", help="Bits of activations: 1, 2 or 4; 0 leaves floats.")
    ] = 4,
    inputs: Annotated[
        int, typer.Option("--input_weight_quantization", "-iq", help="Bits of weights of the first layer; -1: as -wq.")
    ] = -1,
    no_fold_bn: Annotated[
        bool, typer.Option("--no-fold-BN", help="Do not fold batch normalization into the weights.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Model to write; by default with the bits in its name.")
    ] = None,
) -> None:
    """Quantize a Keras model by the legacy API (deprecated)."""
    from cnn2snn_ir.tools import keras_models
    from cnn2snn_ir.tools.quantize import quantize, quantized_path

    keras_models.deprecate("quantize", "quantize of QuantizeML (`pip install quantizeml`) for new models")
    first = weights if inputs == -1 else inputs
    path = output or quantized_path(model, first, weights, activations)
    refuse_overwriting(model, path)
    with console.progress(f"quantizing {model.name}"):
        quantized, remarks = quantize(model, first, weights, activations, not no_fold_bn)
        keras_models.save(quantized, path)
    console.remark(remarks)
    console.say(f"Model successfully quantized and saved as {path}.", path)


@app.command("quantize-float")
def quantize_float(
    model: Annotated[Path, typer.Argument(help="Float model: .onnx, .h5 or .keras.")],
    samples: Annotated[
        Path | None,
        typer.Option("--samples", "-s", help="Typical inputs: .npz with x, or .npy; without them, random ones."),
    ] = None,
    scheme: Annotated[
        str, typer.Option("--scheme", help="Bits of first weights, weights, activations: 8/8/8, 8/4/8, 8/4/4; akida1.")
    ] = "8/8/8",
    input_dtype: Annotated[
        str | None,
        typer.Option("--input-dtype", help="What the program reads: uint8, int8, float32; by default as the samples."),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", help="Shape of a sample where an ONNX file leaves it open: 3,224,224."),
    ] = None,
    no_equalize: Annotated[
        bool, typer.Option("--no-equalize", help="Leave the ranges of channels as they are.")
    ] = False,
    power_of_two: Annotated[
        bool, typer.Option("--power-of-two", help="Only steps that are powers of two between integers.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Model to write (.c2s); by default named after the scheme."),
    ] = None,
) -> None:
    """Quantize a float model, and show what it cost, layer by layer."""
    from cnn2snn_ir.tools import quantize_float as tool

    path = output or tool.quantized_path(model, scheme)
    shape = tool.shape_of(input_shape)
    with console.progress(f"quantizing {model.name}"):
        module, context, errors = tool.quantize(
            model, samples, scheme, input_dtype, shape, not no_equalize, power_of_two
        )
        tool.save(module, path)
    console.remark(context.diagnostics)
    assert context.samples is not None
    console.say(tool.render(errors, len(context.samples)), path)
    console.say(f"Model successfully quantized and saved as {path}.", path)


@app.command()
def reshape(
    model: Annotated[Path, typer.Option("--model", "-m", help="Keras model, float or quantized: .h5 or .keras.")],
    width: Annotated[int, typer.Option("--input_width", "-iw", help="Width of the images.")],
    height: Annotated[int, typer.Option("--input_height", "-ih", help="Height of the images.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Model to write; by default with the size in its name.")
    ] = None,
) -> None:
    """Give a Keras model another input size (deprecated)."""
    from cnn2snn_ir.tools import keras_models
    from cnn2snn_ir.tools.reshape import reshape, reshaped_path

    keras_models.deprecate("reshape", "quantizeml.models.reshape (`pip install quantizeml`) for new models")
    path = output or reshaped_path(model, width, height)
    refuse_overwriting(model, path)
    with console.progress(f"reshaping {model.name}"):
        keras_models.save(reshape(model, width, height), path)
    console.say(f"Model input successfully reshaped and saved as {path}.", path)


calibrate = typer.Typer(
    help="Calibrate a quantized Keras model by the legacy API (deprecated).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(calibrate, name="calibrate")

QuantizedModel = Annotated[Path, typer.Option("--model", "-m", help="Quantized Keras model: .h5 or .keras.")]
Samples = Annotated[
    Path, typer.Option("--samples", "-sa", help="Samples: .npz; its arrays are put together, but for labels y.")
]
BatchSize = Annotated[int | None, typer.Option("--batch_size", "-bs", help="Samples at a time; by default all.")]
CalibratedModel = Annotated[
    Path | None, typer.Option("--output", "-o", help="Model to write; by default with the method in its name.")
]


@calibrate.command("bc")
def bias_correction(
    model: QuantizedModel, samples: Samples, batch_size: BatchSize = None, output: CalibratedModel = None
) -> None:
    """Correct the biases, so that every channel has the mean that its float weights give."""
    from cnn2snn_ir.tools import keras_models
    from cnn2snn_ir.tools.calibrate import calibrate_by_bias_correction, calibrated_path

    keras_models.deprecate("calibrate", "quantizeml.models.calibrate (`pip install quantizeml`) for new models")
    path = output or calibrated_path(model, "bc")
    refuse_overwriting(model, path)
    with console.progress(f"calibrating {model.name}"):
        keras_models.save(calibrate_by_bias_correction(model, samples, batch_size), path)
    console.say(f"Model successfully calibrated with Bias Correction method and saved as {path}.", path)


@calibrate.command()
def adaround(
    model: QuantizedModel,
    samples: Samples,
    batch_size: BatchSize = None,
    epochs: Annotated[int, typer.Option("--epochs", "-e", help="How often each layer sees all samples.")] = 10,
    learning_rate: Annotated[float, typer.Option("--learning_rate", "-lr", help="That of the optimizer, Adam.")] = 0.01,
    include_activation: Annotated[
        bool, typer.Option("--include_activation", "-act", help="Compare layers behind their activations.")
    ] = False,
    output: CalibratedModel = None,
) -> None:
    """Learn which weights to round up and which down."""
    from cnn2snn_ir.tools import keras_models
    from cnn2snn_ir.tools.calibrate import calibrate_by_adaround, calibrated_path

    keras_models.deprecate("calibrate", "quantizeml.models.calibrate (`pip install quantizeml`) for new models")
    path = output or calibrated_path(model, "adaround")
    refuse_overwriting(model, path)
    with console.progress(f"calibrating {model.name}"):
        calibrated = calibrate_by_adaround(model, samples, batch_size, epochs, learning_rate, include_activation)
        keras_models.save(calibrated, path)
    console.say(f"Model successfully calibrated with AdaRound method and saved as {path}.", path)


@app.command()
def run(
    program: Annotated[Path, typer.Argument(help="Program file (.fbz).")],
    inputs: Annotated[
        Path, typer.Option("--inputs", "-i", help="Samples: .npz with x (and labels y), .npy, or a folder of images.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the predictions as .npy.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", "-b", min=1, help="Samples at a time.")] = None,
) -> None:
    """Run a program on samples, or on streams if it remembers; print its accuracy where labels are given."""
    from cnn2snn_ir.tools.run import run

    with console.progress(f"running {program.name}"):
        lines = run(program, inputs, output, batch)
    console.say("\n".join(lines), output)


@app.command()
def summary(program: Annotated[Path, typer.Argument(help="Program file (.fbz).")]) -> None:
    """Print the layers of a program."""
    from cnn2snn_ir.runtime.model import Model

    Model(program).summary()


@app.command()
def check(
    model: Annotated[Path, typer.Argument(help="Quantized model: .h5, .keras, .onnx or .c2s.")],
    target: Annotated[
        list[AkidaVersion] | None,
        typer.Option("--target", help="Akida generation, any number of times; by default as in convert."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Also place it on a device: its name, or a .toml file.")
    ] = None,
    json: AsJson = False,
    allow_float_tail: AllowFloatTail = False,
    no_legalize: NoLegalize = False,
    onnx_mode: OnnxMode = "bounded",
) -> None:
    """List every problem that a model has with a target; exit code 0 if it can be converted, 1 if not."""
    from cnn2snn_ir.tools.check import check, render, to_json

    with console.progress(f"checking {model.name}"):
        report = check(model, target or (), device, allow_float_tail, not no_legalize, onnx_mode)
    print(to_json(report) if json else render(report))
    raise typer.Exit(0 if report.convertible else 1)


@app.command()
def explain(
    subject: Annotated[str | None, typer.Argument(help="A code, such as AK2-CONV-01; with --layer, a model.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Name of a layer of the model.")] = None,
) -> None:
    """Explain a code, or what became of a layer; without arguments, list all codes."""
    if layer is None:
        from cnn2snn_ir.tools.explain_code import describe, listing

        print(listing() if subject is None else describe(subject))
        return
    if subject is None:
        raise typer.BadParameter("--layer needs the model", param_hint="SUBJECT")
    from cnn2snn_ir.tools.explain_layer import explain_layer

    with console.progress(f"compiling {subject}"):
        text = explain_layer(subject, layer)
    print(text)


@app.command()
def compare(
    model: Annotated[Path, typer.Argument(help="Quantized model: .h5, .keras, .onnx or .c2s.")],
    program: Annotated[Path, typer.Argument(help="Program made from it (.fbz).")],
    inputs: Annotated[Path, typer.Option("--inputs", "-i", help="Samples: .npz with x, or .npy.")],
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Use so many samples, or steps of streams; by default all.")
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--float", help="Also measure the error of each layer against this float model.")
    ] = None,
    as_keras: Annotated[
        bool, typer.Option("--as-keras", help="Run the model as Keras does, in float32: it rounds beyond 2^24.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare a program with its model, layer by layer; exit code 0 if all integers are equal, 1 if not.

    Neurons of Akida 1 may be off by what their layers state.
    """
    from cnn2snn_ir.tools import floats
    from cnn2snn_ir.tools.compare import compare, render, to_json

    with console.progress(f"comparing {program.name} with {model.name}"):
        fidelity = floats.measure_float(model, original, inputs, count) if original else None
        report = compare(model, program, inputs, count, as_keras)
        other = floats.measure_onnx(model, program, inputs, count)
    if json:
        print(to_json(report, floats.as_data(fidelity) if fidelity else None, floats.as_data(other) if other else None))
    else:
        more = [*([floats.render(fidelity)] if fidelity else []), *([floats.render_onnx(other)] if other else [])]
        print("\n\n".join([render(report), *more]))
    raise typer.Exit(0 if report.as_stated else 1)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="Program (.fbz), dump (.c2s) or model.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """List the layers that differ between two programs or dumps; exit code 0 if none does, 1 otherwise."""
    from cnn2snn_ir.tools.diff import diff, render

    with console.progress(f"comparing {first.name} and {second.name}"):
        difference = diff(first, second)
    print(render(difference))
    raise typer.Exit(1 if difference.changes else 0)


device_commands.declare(app)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    if argv is not None:
        return run_command(argv)
    gc.disable()  # a short process that makes many objects and few cycles: collecting takes a tenth of its time
    atexit.register(gc.freeze)  # and the last collection, which would visit every object before all are gone
    return process.protected(lambda: run_command(None))


def run_command(argv: list[str] | None) -> int:
    """What `main` does in a process that is ready for it."""
    if Path(sys.argv[0]).name != "cnn2snn" and (sentence := console.shadowed()):
        print(sentence, file=sys.stderr)
    return console.run(app, "cnn2snn", argv)


if __name__ == "__main__":
    raise SystemExit(main())
