"""What is written reads back the same: ops of every dialect, attributes of every kind, locations, annotations."""

import enum
import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.backends.program import dumps, loads, read_manifest, read_program, write_program
from cnn2snn_ir.backends.program.decode import decode
from cnn2snn_ir.backends.program.encode import encode
from cnn2snn_ir.backends.program.fbs import print_schema
from cnn2snn_ir.backends.program.pack import pack
from cnn2snn_ir.backends.program.unpack import unpack
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import akida2, all_ops, builtin
from cnn2snn_ir.ir import (
    UNKNOWN,
    ElementType,
    Field,
    Fused,
    Graph,
    Kind,
    Layer,
    Role,
    Tensor,
    TensorType,
    Text,
    Value,
    ui,
)

# ---- modules from the op tables -----------------------------------------------------------------------------

int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
elements = st.one_of(
    st.builds(ElementType, st.just(Kind.SIGNED), st.integers(2, 63)),
    st.builds(ElementType, st.just(Kind.UNSIGNED), st.integers(1, 63)),
    st.builds(ElementType, st.just(Kind.FLOAT), st.sampled_from([32, 64])),
)
types = st.builds(TensorType, st.lists(st.none() | st.integers(0, 99), min_size=1, max_size=4).map(tuple), elements)
layers = st.builds(Layer, texts, texts, st.integers(-1, 999))
lines = st.builds(Text, texts, st.integers(1, 999), st.integers(1, 999))
fused = st.lists(layers | lines, min_size=2, max_size=3, unique=True).map(lambda parts: Fused(tuple(parts)))
locations = st.just(UNKNOWN) | layers | lines | fused


@st.composite
def tensors(draw):
    element = draw(elements)
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    size = int(np.prod(shape))
    if element.is_float:
        values = draw(st.lists(st.floats(width=element.bits), min_size=size, max_size=size))
    else:
        values = draw(st.lists(st.integers(element.lo, element.hi), min_size=size, max_size=size))
    return Tensor.of(np.array(values, element.dtype).reshape(shape), element, draw(texts))


def of_kind(hint, minimum=None, maximum=None):
    """Values of a field's kind."""
    if typing.get_origin(hint) is tuple:
        inner, *rest = typing.get_args(hint)
        size = {"max_size": 3} if rest == [Ellipsis] else {"min_size": 1 + len(rest), "max_size": 1 + len(rest)}
        return st.lists(of_kind(inner, minimum, maximum), **size).map(tuple)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    if hint is int:
        return st.integers(-(2**63) if minimum is None else minimum, 2**63 - 1 if maximum is None else maximum)
    return {bool: st.booleans(), str: texts, float: st.floats(), ElementType: elements, Tensor: tensors()}[hint]


def of_field(field: Field):
    values = of_kind(field.base, field.minimum, field.maximum)
    return values | st.none() if field.optional else values


leaves = st.none() | st.booleans() | int64 | st.floats() | texts | elements | tensors()
annotation_values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
annotations = st.dictionaries(texts, annotation_values, max_size=2)
NESTABLE = [op for op in all_ops().values() if op is not builtin.Module]


@st.composite
def ops(draw, visible: list[Value], names: set[str], depth: int):
    op_class = draw(st.sampled_from(NESTABLE))
    operands = []
    for field in op_class.fields:
        count = {Role.OPERAND: 1, Role.OPERANDS: draw(st.integers(0, 3))}.get(field.role, 0)
        if count and not visible:
            op_class, operands = builtin.Input, []
            break
        operands += [draw(st.sampled_from(visible)) for _ in range(count)]
    attributes = {f.name: draw(of_field(f)) for f in op_class.fields if f.role is Role.ATTR}
    regions = [draw(graphs(list(visible), names, depth + 1)) for f in op_class.fields if f.role is Role.REGION]
    result_types = [draw(types) for _ in range(op_class.result_count)]
    op = op_class.build(operands, attributes, regions, result_types, loc=draw(locations), annotations=draw(annotations))
    for value in op.results:
        wanted = draw(st.none() | texts)
        if wanted and not wanted.isdigit() and wanted not in names:
            names.add(wanted)
            value.name = wanted
    return op


@st.composite
def graphs(draw, visible: list[Value], names: set[str], depth: int):
    graph = Graph()
    for _ in range(draw(st.integers(0, 4 if depth < 3 else 0))):
        op = graph.append(draw(ops(visible, names, depth)))
        visible.extend(op.results)
    return graph


@st.composite
def modules(draw):
    body = draw(graphs([], set(), 1))
    return builtin.Module(draw(texts), body, loc=draw(locations), annotations=draw(annotations))


def snapshot(module: builtin.Module) -> list[object]:
    """Everything a module says, with values by number; `repr` keeps NaN equal and 0.0 apart from -0.0."""
    numbers: dict[Value, int] = {}
    for op in module.walk():
        for value in op.results:
            numbers[value] = len(numbers)
    return [
        (
            op.op_name,
            [numbers[v] for v in op.operands],
            {k: (type(v), repr(v)) for k, v in op.attributes.items()},
            repr(op.annotations),
            op.loc,
            [(r.name, r.type) for r in op.results],
            [len(g) for g in op.regions],
        )
        for op in module.walk()
    ]


# ---- tests --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_any_module_survives(generated):
    payload = pack(encode(generated))
    read = decode(unpack(payload, "x.fbz"), "x.fbz")
    assert snapshot(read) == snapshot(generated)
    assert pack(encode(read)) == payload


def test_file_round_trip_and_manifest(module, tmp_path):
    path = tmp_path / "kws.fbz"
    write_program(module, path)
    assert snapshot(read_program(path)) == snapshot(module)
    assert dumps(read_program(path)) == path.read_bytes()
    manifest = read_manifest(path)
    assert manifest.tool.startswith("cnn2snn-ir")
    assert (manifest.source, manifest.pipeline, manifest.target) == ("kws.h5", "akida2-default", "akida2")
    assert manifest.source_sha256 == "ab" * 32


def test_manifest_may_be_silent(module, tmp_path):
    module.annotations.clear()
    write_program(module, tmp_path / "x.fbz")
    assert read_manifest(tmp_path / "x.fbz").source is None


def test_tensors_are_shared(module):
    conv, dense = list(module.body)[1:3]
    twin = Tensor.of([1, -2, 3, -4], conv.bias.type.element, "conv/bias")
    conv.annotations["again"] = twin
    assert len(encode(module).tensors) == 6
    loaded = list(loads(dumps(module)).body)[1]
    assert loaded.annotations["again"] is loaded.bias
    assert dense.weights.array.flags.writeable is False


def test_bytes_do_not_depend_on_the_hash_seed():
    script = (
        "import hashlib, runpy; m = runpy.run_path('conftest.py')['make_module']();"
        "from cnn2snn_ir.backends.program import dumps; print(hashlib.sha256(dumps(m)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(digests) == 1


def test_published_schema_is_current():
    published = Path(sys.modules["cnn2snn_ir.backends.program"].__file__).parent / "program.fbs"
    assert published.read_text() == print_schema()


def test_elided_weights_cannot_be_written(module):
    conv = list(module.body)[1]
    conv.attributes["weights"] = Tensor("conv/kernel", conv.weights.type, None, conv.weights.digest)
    with pytest.raises(CompileError, match="IR-WEIGHTS-ELIDED"):
        dumps(module)


def test_what_does_not_fit_is_refused(module):
    module.annotations["bound"] = 2**63
    with pytest.raises(CompileError, match="FBZ-RANGE"):
        dumps(module)
    module.annotations["bound"] = "\udc80"
    with pytest.raises(CompileError, match="FBZ-TEXT"):
        dumps(module)


def test_invalid_module_is_not_written(module, tmp_path):
    dense = list(module.body)[2]
    dense.results[0].type = TensorType((None, 3), ui(7))
    with pytest.raises(CompileError, match="IR-TYPE"):
        write_program(module, tmp_path / "x.fbz")
    assert list(tmp_path.iterdir()) == []
    assert isinstance(dense, akida2.Dense1D)


@pytest.mark.oracle
def test_flatc_reads_the_payload(module, tmp_path):
    import json
    import shutil

    flatc = shutil.which("flatc")
    if flatc is None:
        pytest.skip("flatc is not installed")
    (tmp_path / "program.fbs").write_text(print_schema())
    (tmp_path / "kws.bin").write_bytes(pack(encode(module)))
    subprocess.run([flatc, "--json", "--strict-json", "program.fbs", "--", "kws.bin"], cwd=tmp_path, check=True)
    decoded = json.loads((tmp_path / "kws.json").read_text())
    assert [op["name"] for op in decoded["module"]["regions"][0]["ops"]] == [op.op_name for op in module.body]
    assert bytes(decoded["tensors"][1]["data"]) == np.array([1, -2, 3, -4], np.int8).tobytes()
    assert decoded["module"]["attributes"][0] == {"name": "sym_name", "value": {"kind": "TEXT", "text": "kws"}}
