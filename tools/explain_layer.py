"""`cnn2snn explain --layer NAME MODEL`: what became of a layer, from the model file to the chip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cnn2snn_ir.api import pipeline_for, version_for
from cnn2snn_ir.diagnostics import CompileError, Diagnostics, fail
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.frontends import KERAS_SUFFIXES
from cnn2snn_ir.ir import Layer, Op, Tensor, TensorType
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.legality.survey import survey
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.runtime.model import packed_bytes, table
from cnn2snn_ir.text import print_module
from cnn2snn_ir.tools.check import import_all
from cnn2snn_ir.tools.console import did_you_mean


def explain_layer(model: str, name: str) -> str:
    """The story of a layer; raises `CompileError` if the model has none of this name."""
    imported = import_all(Path(model))
    if imported.module is None:
        raise CompileError(imported.found)
    layer = find_layer(Path(model), imported.module, name)
    lines = [f"{layer} is layer {layer.index} of {Path(model).name}", "", *as_imported(imported.module, layer)]
    problems = Diagnostics(imported.found)
    if not problems.errors:
        lines += compiled(imported.module, layer, problems)
    mine = [d for d in problems if d.where.startswith(f"{name} (")]
    if problems.errors:
        others = "" if mine else "; none of the problems is about this layer (`cnn2snn check` lists them)"
        lines += ["", f"not converted{others}"]
    return "\n".join([*lines, *(line for d in mine for line in ("", d.render()))])


def find_layer(path: Path, module: Module, name: str) -> Layer:
    """The layer called `name`, even if no op is left of it."""
    known = {layer.name: layer for layer in all_layers(path, module)}
    if name in known:
        return known[name]
    near = did_you_mean(name, known) or f"its layers are {', '.join(known)}"
    raise fail("EXPLAIN-LAYER", "the model has no such layer", where=str(path), found=name, help=near)


def all_layers(path: Path, module: Module) -> Iterator[Layer]:
    """The layers of the file, or those that a module remembers."""
    if path.suffix.lower() not in KERAS_SUFFIXES:
        yield from (layer for op in module.body for layer in layers(op.loc))
        return
    from cnn2snn_ir.frontends.keras_h5.archive import read_archive

    yield from (Layer(record.name, record.class_name, record.index) for record in read_archive(path).layers)


def belonging(ops: Iterable[Op], layer: Layer) -> list[Op]:
    """The ops that come from a layer."""
    return [op for op in ops if any(origin.name == layer.name for origin in layers(op.loc))]


def as_imported(module: Module, layer: Layer) -> Iterator[str]:
    """The ops of the layer as imported."""
    texts = print_module(module, annotations=False).splitlines()[1:-1]
    mine = set(belonging(module.body, layer))
    if layer.kind != "InputLayer":  # other inputs stand in for layers that cannot be imported
        mine -= set(module.inputs)
    if not mine:
        yield "no op is its own: it could not be imported, or changes no integer (as Dropout and Rescaling)"
        return
    yield "imported as"
    yield from (text for op, text in zip(module.body, texts, strict=True) if op in mine)


def compiled(module: Module, layer: Layer, problems: Diagnostics) -> Iterator[str]:
    """The block and the hardware layers, as far as the model can be converted; adds to `problems`."""
    target = version_for(module, None)
    pipeline = pipeline_for(module, target)
    fusion, conversion = parts(pipeline)
    problems.extend(survey(module, fusion))
    for block in belonging(module.body, layer):
        if isinstance(block, qnn.Block):
            sources = ", ".join(map(str, layers(block.loc)))
            yield from ("", f"fused into the block {block.layer} ({block.kind}) of {sources}")
    if problems.errors:
        return
    problems.extend(survey(module, conversion))
    for op in belonging(module.body, layer):
        if isinstance(op, builtin.State):
            yield from ("", f"remembers {op.sym_name}: {sample(op.result.type)} for each stream")
        elif op.results:
            yield from ("", *hardware(op, f"Akida {str(target)[1:]}"))


def parts(pipeline: Pipeline) -> tuple[Pipeline, Pipeline]:
    """What leads to blocks, and what makes hardware layers of them."""
    ends = (i for i, item in enumerate(pipeline.items) if isinstance(item, Pass) and leaves_qnn(item))
    end = next(ends, len(pipeline.items))
    return Pipeline(MODULE, pipeline.items[:end]), Pipeline(MODULE, pipeline.items[end:])


def leaves_qnn(item: Pass) -> bool:
    """True for the conversion to a target."""
    return item.ensures not in (None, Level.NN, Level.QNN)


# ---- the hardware layer ---------------------------------------------------------------------------------------------


def hardware(op: Op, chip: str) -> Iterator[str]:
    """What a layer of the program is: place, shapes, parameters, variables, accumulator."""
    place = "the host" if op.op_name.startswith("nn.") else chip
    shapes = " and ".join(dict.fromkeys(sample(v.type) for v in op.operands))
    yield f"on {place}: {type(op).__name__}, {shapes or 'input'} ▶ {sample(op.results[0].type)}"
    parameters = [f"{k} {text(v)}" for k, v in op.attributes.items() if not isinstance(v, Tensor) and v is not None]
    if parameters:
        yield f"  {', '.join(parameters)}"
    match op.annotations.get("range"):
        case (int(low), int(high)):
            yield f"  accumulator proven to lie in {low:,} to {high:,} ({op.annotations.get('bits')} bits)"
    rows = [row(name, value) for name, value in op.attributes.items() if isinstance(value, Tensor)]
    if rows:
        lines = table([("variable", "shape", "bits", "bytes", "values"), *rows]).splitlines()
        yield from (f"  {line}" for line in lines)


def sample(type: TensorType) -> str:
    """The shape of one sample and the element type, such as `7x7x32 si8`."""
    return f"{'x'.join(map(str, type.per_sample))} {type.element}"


def text(value: object) -> str:
    """A parameter; pairs as 2x2."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def row(name: str, tensor: Tensor) -> tuple[str, ...]:
    """A line of the table of variables; bytes are packed."""
    shape, bits = tensor.type.shape, tensor.type.element.bits
    values = "" if tensor.is_opaque else f"{tensor.array.min()} to {tensor.array.max()}"
    if tensor.splat is not None:
        values = str(tensor.splat)
    return name, "x".join(map(str, shape)) or "1", str(bits), f"{packed_bytes(tensor):,}", values
