"""ONNX files: messages with other fields, and damaged bytes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import onnx
from generators.onnx_faults import OPERATORS
from generators.quantizeml_onnx import small
from google.protobuf.message import Message
from onnx import TensorProto

from cnn2snn_ir.frontends import load_float_model, load_model
from fuzz.mutate import spoiled_bytes
from fuzz.readers.networks import FIXTURES

FILES = (
    "onnx/vectors_s8.onnx", "onnx/floored_u8.onnx", "onnx/maps_u8.onnx", "onnx/mlp_s8.onnx", "onnx/stream_s8.onnx",
    "onnx_standard/qoperator_u8.onnx", "onnx_standard/qdq_u8_per_channel.onnx", "onnx_standard/float.onnx",
)  # fmt: skip
INTEGERS = (0, 1, -1, 2, 3, 4, 7, 10, 16, 21, 22, 99, 127, 255, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "", "x", "y", "\0", "\n", "é", "a" * 300, "../x", "/etc/passwd", "weights.bin", "ai.onnx", "com.brainchip",
    "location", "offset", "auto_pad", "SAME_UPPER", "-5", *OPERATORS,
)  # fmt: skip


class READER:
    """Small networks of QuantizeML, of other quantizers, and of floats."""

    name, suffix = "onnx", ".onnx"

    def __init__(self) -> None:
        self.seeds = [(FIXTURES / name).read_bytes() for name in FILES]
        self.seeds.append(small(channels=1, size=4).SerializeToString())

    def make(self, random: Random) -> bytes:
        seed = random.choice(self.seeds)
        way = random.random()
        if way < 0.2:
            return spoiled_bytes(seed, random)
        model = onnx.ModelProto.FromString(seed)
        if way < 0.21:
            nest(model, random.choice((3, 20, 45, 90, 200)))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            spoil_message(model, random)
        data: bytes = model.SerializeToString()
        return spoiled_bytes(data, random) if way > 0.97 else data

    def read(self, path: Path) -> None:
        load = load_float_model if path.stat().st_size % 3 == 0 else load_model
        load(path)


def nest(model: Any, depth: int) -> None:
    """Graphs in attributes of nodes of graphs."""
    graph = model.graph
    for _ in range(depth):
        node = graph.node.add(op_type="If", input=["x"], output=["y"])
        graph = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g


def spoil_message(root: Any, random: Random) -> None:
    """Change one field of one message, somewhere below `root`."""
    message = root.graph if random.random() < 0.85 else root
    for _ in range(8):
        inner = [v for f, v in message.ListFields() if f.type == f.TYPE_MESSAGE]
        members = [m for v in inner for m in ([v] if isinstance(v, Message) else [random.choice(v)] if len(v) else [])]
        if not members or (message is not root.graph and random.random() < 0.35):
            break
        message = random.choice(members)
    spoil_field(
        message,
        random.choice(message.DESCRIPTOR.fields) if random.random() < 0.2 else some_field(message, random),
        random,
    )


def some_field(message: Any, random: Random) -> Any:
    """A field that is set, if any."""
    return random.choice([f for f, _ in message.ListFields()] or list(message.DESCRIPTOR.fields))


def spoil_field(message: Any, field: Any, random: Random) -> None:
    """Another value, more or fewer of them, or none."""
    name, many = field.name, field.is_repeated
    values = getattr(message, name)
    way = random.random()
    if way < 0.15:
        message.ClearField(name)
    elif many and len(values) and way < 0.35:
        del values[random.randrange(len(values))]
    elif many and len(values) and way < 0.5:
        again = random.choice(values)
        values.append(again) if not isinstance(again, Message) else values.add().CopyFrom(again)
    elif many and len(values) > 1 and way < 0.6:
        order = list(values)
        random.shuffle(order)
        message.ClearField(name)
        getattr(message, name).extend(order)
    elif field.type == field.TYPE_MESSAGE:
        (values.add() if many else values).SetInParent() if not many else values.add()
    elif not many:
        setattr(message, name, other(field, values, random))
    elif len(values):
        at = random.randrange(len(values))
        values[at] = other(field, values[at], random)
    else:
        values.extend(other(field, None, random) for _ in range(random.randrange(1, 4)))


def other(field: Any, value: Any, random: Random) -> Any:
    """A value that the field can hold."""
    if field.type == field.TYPE_STRING:
        return random.choice(TEXTS)
    if field.type == field.TYPE_BYTES:
        return spoiled_bytes(value, random) if value else bytes(random.randrange(9))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return random.choice(REALS)
    if field.type == field.TYPE_ENUM:
        return random.choice([v.number for v in field.enum_type.values])
    narrow = field.type in (field.TYPE_INT32, field.TYPE_UINT32)
    number = random.choice(INTEGERS)
    if name_is_type(field) and random.random() < 0.7:
        number = random.choice(list(TensorProto.DataType.values()))
    if field.type in (field.TYPE_UINT64, field.TYPE_UINT32):
        number = abs(number)
    return max(-(2**31), min(number, 2**31 - 1)) if narrow else number


def name_is_type(field: Any) -> bool:
    return field.name in ("data_type", "elem_type")
