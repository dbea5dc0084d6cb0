"""A damaged or forged program file gives one clear error, quickly, and never anything else."""

import hashlib
import random
import struct
import sys
import time
import tracemalloc
import zlib
from dataclasses import replace

import flatbuffers
import pytest

from cnn2snn_ir.backends.program import container, dumps, loads, read_program, schema
from cnn2snn_ir.backends.program.container import MAGIC, unwrap, wrap
from cnn2snn_ir.backends.program.decode import decode
from cnn2snn_ir.backends.program.encode import encode
from cnn2snn_ir.backends.program.pack import pack
from cnn2snn_ir.backends.program.schema import Kind
from cnn2snn_ir.diagnostics import CompileError


def code_of(data: bytes) -> str:
    with pytest.raises(CompileError) as caught:
        loads(data, "kws.fbz")
    (first, *_) = caught.value.diagnostics
    assert "kws.fbz" in caught.value.render()
    return first.code


def outcome(data: bytes) -> object:
    """The module, or None if there is a `CompileError`; anything else is a failure of the test."""
    try:
        return loads(data, "kws.fbz")
    except CompileError:
        return None


# ---- the container ------------------------------------------------------------------------------------------


def test_every_corrupt_byte_is_noticed(module):
    data = dumps(module)
    for position in range(len(data)):
        for flip in (0x01, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            loaded = outcome(bytes(damaged))
            assert loaded is None or dumps(loaded) == data


def test_every_truncation_is_noticed(module):
    data = dumps(module)
    assert all(outcome(data[:length]) is None for length in range(len(data)))
    assert code_of(data + b"\0") == "FBZ-TRAILING"


def header(length: int, payload: bytes = b"", version: int = container.VERSION) -> bytes:
    return struct.pack("<8sIQ32s", MAGIC, version, length, hashlib.sha256(payload).digest())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "FBZ-MAGIC"),
        (b"x", "FBZ-MAGIC"),
        (MAGIC, "FBZ-TRUNCATED"),
        (header(4, version=2), "FBZ-VERSION"),
        (header(2**64 - 1) + zlib.compress(b"abcd"), "FBZ-SIZE"),
        (header(2**30 + 1) + zlib.compress(b"abcd"), "FBZ-SIZE"),
        (header(5) + zlib.compress(b"abcd"), "FBZ-TRUNCATED"),
        (header(3) + zlib.compress(b"abcd"), "FBZ-SIZE"),
        (header(4) + b"not zlib at all", "FBZ-DAMAGED"),
        (header(4) + zlib.compress(b"abcd"), "FBZ-CHECKSUM"),
        (wrap(b""), "FBZ-IDENTIFIER"),
        (wrap(b"\0\0\0\0JUNK"), "FBZ-IDENTIFIER"),
        (wrap(b"\xff\xff\xff\xffC2SP"), "FBZ-OFFSET"),
    ],
)
def test_hostile_headers(data, code):
    assert code_of(data) == code


def test_a_bomb_is_not_unpacked():
    bomb = zlib.compress(b"\0" * (1 << 27), 9)
    tracemalloc.start()
    assert code_of(header(1000) + bomb) == "FBZ-SIZE"
    assert code_of(header(1 << 62) + bomb) == "FBZ-SIZE"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_files(tmp_path):
    with pytest.raises(CompileError, match="FILE-MISSING"):
        read_program(tmp_path / "none.fbz")
    (tmp_path / "empty.fbz").touch()
    with pytest.raises(CompileError, match="FILE-EMPTY"):
        read_program(tmp_path / "empty.fbz")
    with pytest.raises(CompileError, match="FILE-ACCESS"):
        read_program(tmp_path)


# ---- the FlatBuffer -----------------------------------------------------------------------------------------


def test_mutated_payloads(module):
    """A valid checksum around a damaged buffer: what a forger would send."""
    rng = random.Random(5)
    payload = pack(encode(module))
    codes = set()
    for _ in range(1500):
        mutated = bytearray(payload)
        for _ in range(rng.choice((1, 1, 2, 8))):
            position = rng.randrange(len(mutated))
            mutated[position] = rng.choice((0, 0xFF, rng.randrange(256), mutated[position] ^ 1 << rng.randrange(8)))
        if rng.random() < 0.1:
            del mutated[rng.randrange(len(mutated)) :]
        try:
            loads(wrap(bytes(mutated)), "kws.fbz")
        except CompileError as error:
            codes.add(error.diagnostics[0].code)
    assert {"FBZ-OFFSET", "FBZ-ALIGNMENT", "FBZ-OP", "FBZ-TENSOR", "FBZ-FIELD"} <= codes


@pytest.mark.slow
def test_every_mutated_byte_of_the_payload(module):
    payload = pack(encode(module))
    for position in range(len(payload)):
        for value in (0, 1, 4, 0x7F, 0x80, 0xFF, payload[position] ^ 1, payload[position] + 4 & 255):
            mutated = bytearray(payload)
            mutated[position] = value
            outcome(wrap(bytes(mutated)))


def nested_lists(depth: int, width: int) -> bytes:
    """Lists whose elements are all the same list: a few bytes that unfold to `width ** depth` values."""
    builder = flatbuffers.Builder(0)
    inner = None
    for _ in range(depth):
        items = None
        if inner is not None:
            builder.StartVector(4, width, 4)
            for _ in range(width):
                builder.PrependUOffsetTRelative(inner)
            items = builder.EndVector()
        builder.StartObject(5)
        builder.PrependUint8Slot(0, int(Kind.LIST), 0)
        if items is not None:
            builder.PrependUOffsetTRelativeSlot(4, items, 0)
        inner = builder.EndObject()
    name = builder.CreateString("x")
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(1, inner, 0)
    attribute = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(attribute)
    annotations = builder.EndVector()
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(3, annotations, 0)
    op = builder.EndObject()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(2, op, 0)
    builder.Finish(builder.EndObject(), file_identifier=schema.IDENTIFIER)
    return bytes(builder.Output())


def test_overlapping_objects_do_not_unfold():
    start = time.perf_counter()
    assert code_of(wrap(nested_lists(12, 100))) == "FBZ-OVERLAP"
    assert time.perf_counter() - start < 1
    assert code_of(wrap(nested_lists(80, 1))) == "FBZ-DEPTH"


def test_lists_nest_as_deeply_as_is_said():
    """Program, op, attribute and list: the innermost list of 61 lies 64 levels deep."""
    assert code_of(wrap(nested_lists(62, 1))) != "FBZ-DEPTH"
    assert code_of(wrap(nested_lists(63, 1))) == "FBZ-DEPTH"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x89HDF\r\n", "it looks like a Keras model"),
        (b"PK\x03\x04", "it looks like a Keras model"),
        (b"FB..", "the vendor's .fbz files are another format"),
        (b"\x8fother", ""),
    ],
)
def test_what_another_file_may_be(start, words):
    with pytest.raises(CompileError) as caught:
        loads(start + bytes(80), "other.fbz")
    (found,) = caught.value.diagnostics
    assert found.code == "FBZ-MAGIC"
    assert found.help.startswith(words)
    assert bool(found.help) is bool(words)


def test_too_many_objects(module, monkeypatch):
    monkeypatch.setattr(sys.modules["cnn2snn_ir.backends.program.unpack"], "MAX_OBJECTS", 50)
    assert code_of(dumps(module)) == "FBZ-OBJECTS"


# ---- what the records say -----------------------------------------------------------------------------------


def forged(module, change) -> bytes:
    """The file of the module's records after `change`, which gets the program and returns another."""
    return wrap(pack(change(encode(module))))


def with_ops(program, ops):
    return replace(program, module=replace(program.module, regions=(schema.Region(ops=tuple(ops)),)))


def ops_of(program):
    return list(program.module.regions[0].ops)


def change_op(index, **changes):
    def change(program):
        ops = ops_of(program)
        ops[index] = replace(ops[index], **changes)
        return with_ops(program, ops)

    return change


def change_attribute(index, name, value):
    def change(program):
        ops = ops_of(program)
        attributes = [replace(a, value=value) if a.name == name else a for a in ops[index].attributes]
        ops[index] = replace(ops[index], attributes=tuple(attributes))
        return with_ops(program, ops)

    return change


def change_tensor(**changes):
    return lambda program: replace(program, tensors=(replace(program.tensors[0], **changes), *program.tensors[1:]))


def tensor_type(element, *shape):
    return schema.Type(element=element, shape=shape)


def block_of(ops):
    return schema.Op(
        name="qnn.block",
        attributes=(
            schema.Attribute(name="kind", value=schema.Value(kind=Kind.TEXT, text="add")),
            schema.Attribute(name="layer", value=schema.Value(kind=Kind.TEXT, text="x")),
        ),
        results=(schema.Result(type=tensor_type("si8", -1)),),
        regions=(schema.Region(ops=tuple(ops)),),
    )


def nested(program):
    inner = ops_of(program)
    for _ in range(9):
        inner = [block_of(inner)]
    return with_ops(program, inner)


def swapped(program):
    ops = ops_of(program)
    return with_ops(program, [ops[0], ops[2], ops[1], *ops[3:]])


FORGERIES = {
    "unknown op": (change_op(1, name="akida2.conv3d"), "FBZ-OP"),
    "unknown dialect": (change_op(1, name="os.system"), "FBZ-OP"),
    "op without dialect": (change_op(1, name=""), "FBZ-OP"),
    "root is no module": (lambda p: replace(p, module=ops_of(p)[0]), "FBZ-ROOT"),
    "dangling value": (change_op(2, operands=(99,)), "FBZ-OPERAND"),
    "own value": (change_op(1, operands=(1,)), "FBZ-OPERAND"),
    "use before definition": (swapped, "FBZ-OPERAND"),
    "too few operands": (change_op(1, operands=()), "FBZ-COUNT"),
    "too many operands": (change_op(1, operands=(0, 0)), "FBZ-COUNT"),
    "no result": (change_op(1, results=()), "FBZ-COUNT"),
    "no region": (lambda p: replace(p, module=replace(p.module, regions=())), "FBZ-COUNT"),
    "too deep": (nested, "FBZ-DEPTH"),
    "kind of attribute": (change_attribute(1, "stride", schema.Value(kind=Kind.TEXT, text="2")), "FBZ-FIELD"),
    "boolean is no integer": (change_attribute(1, "stride", schema.Value(kind=Kind.BOOL, integer=1)), "FBZ-FIELD"),
    "bound of attribute": (change_attribute(1, "stride", schema.Value(kind=Kind.INTEGER)), "FBZ-FIELD"),
    "no such choice": (change_attribute(1, "pool", schema.Value(kind=Kind.TEXT, text="min")), "FBZ-FIELD"),
    "none for required": (change_attribute(1, "weights", schema.Value()), "FBZ-FIELD"),
    "no such tensor": (change_attribute(1, "weights", schema.Value(kind=Kind.TENSOR, integer=99)), "FBZ-TENSOR"),
    "negative tensor": (change_attribute(1, "weights", schema.Value(kind=Kind.TENSOR, integer=-1)), "FBZ-TENSOR"),
    "no such element": (change_attribute(1, "acc", schema.Value(kind=Kind.ELEMENT, text="si64")), "FBZ-TYPE"),
    "missing attribute": (change_op(0, attributes=()), "FBZ-FIELD"),
    "unknown attribute": (
        change_op(3, attributes=(schema.Attribute(name="volume", value=schema.Value()),)),
        "FBZ-FIELD",
    ),
    "attribute twice": (change_op(4, attributes=(schema.Attribute(name="x", value=schema.Value()),) * 2), "FBZ-FIELD"),
    "name twice": (
        change_op(2, results=(schema.Result(name="conv", type=tensor_type("si28", -1, 3)),)),
        "FBZ-NAME",
    ),
    "number as name": (change_op(2, results=(schema.Result(name="7", type=tensor_type("si28", -1, 3)),)), "FBZ-NAME"),
    "negative size": (change_op(2, results=(schema.Result(type=tensor_type("si28", -2, 3)),)), "FBZ-TYPE"),
    "no batch": (change_op(2, results=(schema.Result(type=tensor_type("si28")),)), "FBZ-TYPE"),
    "huge rank": (change_op(2, results=(schema.Result(type=tensor_type("si28", *[1] * 33)),)), "FBZ-TYPE"),
    "wrong result type": (change_op(2, results=(schema.Result(type=tensor_type("si8", -1, 3)),)), "IR-TYPE"),
    "no return": (lambda p: with_ops(p, ops_of(p)[:-1]), "IR-RETURN"),
    "tensor too short": (change_tensor(data=b"abc"), "FBZ-TENSOR"),
    "tensor too large": (change_tensor(type=tensor_type("si4", 2**30, 2**30, 2**30)), "FBZ-TENSOR"),
    "tensor empty and huge": (change_tensor(type=tensor_type("si4", 0, 2**30, 2**30), data=b""), "FBZ-TENSOR"),
    "tensor with batch": (change_tensor(type=tensor_type("si4", -1, 36)), "FBZ-TENSOR"),
    "two negatives": (change_tensor(type=tensor_type("si4", -1, -36)), "FBZ-TYPE"),
    "value outside its type": (change_tensor(data=b"\x08" * 36), "FBZ-TENSOR"),
    "element of tensor": (change_tensor(type=tensor_type("f16", 3, 3, 1, 4)), "FBZ-TYPE"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_records(module, name):
    change, code = FORGERIES[name]
    assert code_of(forged(module, change)) == code


def test_errors_name_the_op(module):
    change, _ = FORGERIES["bound of attribute"]
    with pytest.raises(CompileError, match=r"kws\.fbz: %conv \(akida2\.input_conv2d\): attribute stride must be"):
        loads(forged(module, change), "kws.fbz")


def test_a_missing_optional_attribute_has_its_default(module):
    program = encode(module)
    shorter = tuple(a for a in ops_of(program)[1].attributes if a.name != "stride")
    loaded = decode(change_op(1, attributes=shorter)(program), "x")
    assert list(loaded.body)[1].stride == 1


def test_values_of_a_region_stay_inside():
    empty = schema.Program(tool="", module=schema.Op(name="builtin.module"))
    inner = schema.Op(
        name="builtin.input",
        attributes=(
            schema.Attribute(name="shape", value=schema.Value(kind=Kind.LIST)),
            schema.Attribute(name="element", value=schema.Value(kind=Kind.ELEMENT, text="si8")),
        ),
        results=(schema.Result(type=tensor_type("si8", -1)),),
    )
    block = block_of([inner])
    end = schema.Op(name="builtin.return", operands=(0,))
    root = replace(
        empty.module,
        attributes=(schema.Attribute(name="sym_name", value=schema.Value(kind=Kind.TEXT, text="m")),),
        regions=(schema.Region(ops=(block, end)),),
    )
    with pytest.raises(CompileError, match="FBZ-OPERAND"):
        decode(replace(empty, module=root), "x")


def test_checksum_is_of_the_payload(module):
    data = dumps(module)
    assert hashlib.sha256(unwrap(data, "x")).digest() == data[20:52]
