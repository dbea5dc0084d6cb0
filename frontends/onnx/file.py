"""Reads an ONNX file and checks what holds for every graph, before anything is made of it.

The checks of the `onnx` package find some of these faults, stop at the first, and seldom name the node.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, fail
from cnn2snn_ir.files import read_bytes

MAX_FILE_BYTES = (1 << 31) - 1
"""Protobuf's own limit; larger models keep their weights in files beside."""

MIN_IR_VERSION = 3
"""The first version that stands for a published ONNX."""

STANDARD_DOMAINS = ("", "ai.onnx")
"""Two names of the standard operators."""

UNVERSIONED = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
"""Domains of QONNX, whose tools leave their version out."""


class OnnxFile(NamedTuple):
    """A parsed model file: its path, the digest of its bytes, a name for the model, the `onnx.ModelProto`."""

    path: Path
    sha256: str
    name: str
    model: Any


def read_onnx(path: Path) -> OnnxFile:
    """Read and check an ONNX file; raises `CompileError` with all that is wrong with its graph.

    Weights are not looked at here: `tensors.py` reads each when it is needed.
    """
    onnx = onnx_package(path)
    data = checked_bytes(path)
    try:
        model = onnx.ModelProto.FromString(data)
        check_names(model, path)
        found = Diagnostics(version_faults(model, path))
        found.extend(structure_faults(model, path))
    except onnx_parse_errors() as error:
        raise fail(
            "FILE-DAMAGED",
            "this is no ONNX model, or only a part of one",
            where=str(path),
            found=" ".join(str(error).split())[:200],
            help="export or copy it again",
        ) from None
    found.raise_errors(f"{path}: cannot import the model")
    return OnnxFile(path, hashlib.sha256(data).hexdigest(), path.stem, model)


def onnx_package(path: Path) -> Any:
    """The `onnx` package, imported when an ONNX file is read and not before."""
    try:
        import onnx
    except ImportError as error:
        raise fail(
            "ONNX-PACKAGE",
            "reading ONNX needs the onnx package",
            where=str(path),
            found=str(error),
            help="pip install onnx",
        ) from None
    return onnx


def check_names(model: Any, path: Path) -> None:
    """Raise `CompileError` for a name that is not UTF-8, which protobuf hands out as bytes."""
    for name in all_names(model):
        if not isinstance(name, str):
            raise damaged(str(path), f"a name that is not text: {name!r}"[:200])


def all_names(model: Any) -> Iterator[Any]:
    """Every name of the file, but for those in the text of attributes."""
    graph = model.graph
    yield from (s.domain for s in model.opset_import)
    yield from (v.name for v in (*graph.input, *graph.output, *graph.value_info, *graph.initializer))
    yield from (t.values.name for t in graph.sparse_initializer)
    yield from (text for t in graph.initializer for e in t.external_data for text in (e.key, e.value))
    yield from (d.dim_param for v in (*graph.input, *graph.output, *graph.value_info) for d in dimensions(v))
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        yield from (s.domain for s in function.opset_import)
    for node in (*graph.node, *(n for f in model.functions for n in f.node)):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name, attribute.g.name)
            yield from (text for e in attribute.t.external_data for text in (e.key, e.value))


def dimensions(info: Any) -> Any:
    """The dimensions that a ValueInfo declares."""
    return info.type.tensor_type.shape.dim


def onnx_parse_errors() -> tuple[type[Exception], ...]:
    """What damaged bytes raise."""
    from google.protobuf.message import DecodeError

    return (DecodeError, UnicodeDecodeError, RecursionError)


def checked_bytes(path: Path) -> bytes:
    """The file's bytes, if it is a file of a size that a model can have."""
    if path.is_dir():
        raise fail("FILE-DIRECTORY", "this is a folder", where=str(path), allowed="an ONNX file")
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        size = 0  # `read_bytes` says why
    if size > MAX_FILE_BYTES:
        raise fail(
            "ONNX-SIZE", "the file is too large", where=str(path), found=f"{size} bytes", allowed=f"{MAX_FILE_BYTES}"
        )
    return read_bytes(path)


# ---- versions -------------------------------------------------------------------------------------------------


def version_faults(model: Any, path: Path) -> Iterator[Diagnostic]:
    """The format and the standard operators have versions that `onnx` knows."""
    import onnx

    if not MIN_IR_VERSION <= model.ir_version <= onnx.IR_VERSION:
        yield Diagnostic(
            "ONNX-VERSION",
            "the file declares no version of the format that can be read",
            where=str(path),
            found=f"ir_version {model.ir_version}" if model.ir_version else "no ir_version",
            allowed=f"{MIN_IR_VERSION} to {onnx.IR_VERSION}",
            help="the file may be truncated, or no ONNX model"
            if not model.ir_version
            else "export it for an older version",
        )
    known = newest_opset()
    versions = [s.version for s in model.opset_import if s.domain in STANDARD_DOMAINS]
    if len(set(versions)) != 1 or not 1 <= versions[0] <= known:
        yield Diagnostic(
            "ONNX-OPSET",
            "the file must say which version of the standard operators it uses, one that is known here",
            where=str(path),
            found=", ".join(map(str, versions)) or "no opset_import of the standard domain",
            allowed=f"one of 1 to {known}",
            help="export the model again, with an opset_version that is allowed",
        )


def newest_opset() -> int:
    """The latest version of the standard operators that `onnx` knows."""
    import onnx

    return int(onnx.defs.onnx_opset_version())


# ---- structure ------------------------------------------------------------------------------------------------


def structure_faults(model: Any, path: Path) -> Iterator[Diagnostic]:
    """The graph has nodes and outputs, and every value is made once, by an earlier node, before it is read."""
    graph = model.graph
    for what, members in (("node", graph.node), ("output", graph.output)):
        if not members:
            yield Diagnostic("ONNX-EMPTY", f"the graph has no {what}", where=str(path), help="is the file truncated?")
    domains = {"" if s.domain in STANDARD_DOMAINS else s.domain for s in model.opset_import}
    for index, node in enumerate(graph.node):
        yield from node_faults(node, described(node.name, node.op_type, index), domains)
    yield from repeated([i.name for i in graph.input], "inputs of the graph", str(path))
    yield from repeated([o.name for o in graph.output], "outputs of the graph", str(path))
    yield from repeated([t.name for t in graph.initializer], "constants of the graph", str(path))
    yield from repeated([f"{f.domain}:{operator(f)}" for f in model.functions], "functions", str(path))
    yield from order_faults(graph, path)


def node_faults(node: Any, where: str, domains: set[str]) -> Iterator[Diagnostic]:
    """A node has outputs, attributes of different names, and an operator of a domain that the file declares."""
    if node.domain not in (*STANDARD_DOMAINS, *UNVERSIONED, *domains):
        yield Diagnostic(
            "ONNX-DOMAIN",
            "the node's operator belongs to a domain whose version the file does not tell",
            where=where,
            found=node.domain,
            allowed=", ".join(sorted(d or "the standard domain" for d in domains)),
        )
    if not any(node.output):
        yield Diagnostic("ONNX-EMPTY", "the node has no output", where=where)
    yield from repeated([a.name for a in node.attribute], "attributes of the node", where)


def operator(message: Any) -> str:
    """The name of a node's operator, or of a function; there may be several functions of one name ("overloads")."""
    name = message.op_type if hasattr(message, "op_type") else message.name
    return f"{name}:{message.overload}" if message.overload else str(name)


def repeated(names: list[str], what: str, where: str) -> Iterator[Diagnostic]:
    """A fault for every name that stands more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            yield Diagnostic("ONNX-NAMES", f"{count} {what} have one name", where=where, found=name)


def order_faults(graph: Any, path: Path) -> Iterator[Diagnostic]:
    """Faults of values that are made twice, too late, or not at all."""
    stored = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    ready = {i.name for i in graph.input}.union(stored)
    maker = {name: index for index, node in reversed(list(enumerate(graph.node))) for name in node.output}
    for index, node in enumerate(graph.node):
        where = described(node.name, node.op_type, index)
        for name in dict.fromkeys(node.input):
            if name and name not in ready:
                yield unready(graph, name, maker.get(name), where)
        for name in filter(None, node.output):
            if name in ready:
                message = "the node makes a value that is already there"
                yield Diagnostic("ONNX-NAMES", message, where=where, found=name, help="give each value its own name")
            ready.add(name)
    for output in graph.output:
        if output.name not in ready:
            message = "no node makes an output of the graph"
            yield Diagnostic("ONNX-VALUE", message, where=str(path), found=output.name)


def unready(graph: Any, name: str, maker: int | None, where: str) -> Diagnostic:
    """The fault of a node that reads what is not there yet."""
    if maker is None:
        message = "the node reads a value that nothing makes"
        return Diagnostic("ONNX-VALUE", message, where=where, found=name, help="the file may lack an initializer")
    later = graph.node[maker]
    return Diagnostic(
        "ONNX-ORDER",
        "the node reads a value that is only made later: nodes are not in order, or form a cycle",
        where=where,
        found=f"{name}, made by {described(later.name, later.op_type, maker)}",
        help="export the model again; nodes must be sorted topologically",
    )


def described(name: str, op_type: str, index: int) -> str:
    """A node as messages name it; nodes need not have names."""
    return f"{name or f'node {index}'} ({op_type})"


def damaged(where: str, reason: str) -> CompileError:
    """The error for a file that contradicts itself."""
    return fail(
        "FILE-DAMAGED", "the file is truncated or damaged", where=where, found=reason, help="export or copy it again"
    )
