"""Text to IR.  Lark's LALR parser calls `_Builder` at every reduction, which builds ops at once: no tree.

The parser reports what makes the text meaningless (syntax, unknown ops, undefined values), all of it that it
can; whether the ops make sense is the verifier's business, so that broken IR can be written down and read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from lark import Lark, Token, UnexpectedInput, v_args

from cnn2snn_ir.diagnostics import CompileError, Diagnostic
from cnn2snn_ir.dialects import DIALECTS, all_ops, lookup
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.ir.fields import AttrValue, Field, Role, convert
from cnn2snn_ir.ir.graph import Graph
from cnn2snn_ir.ir.location import UNKNOWN, Location
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.tensor import Tensor
from cnn2snn_ir.ir.types import F32, TensorType
from cnn2snn_ir.ir.values import Value
from cnn2snn_ir.text.literals import Literals, Word, plain, unquote
from cnn2snn_ir.text.nesting import check_nesting
from cnn2snn_ir.text.printer import FORMAT_VERSION
from cnn2snn_ir.text.spelling import did_you_mean
from cnn2snn_ir.text.syntax_errors import syntax_error
from cnn2snn_ir.text.weights import Weights, decode_blob

_VERSION = re.compile(r"\s*// c2s (\d+)")


def parse_module(text: str, file: str = "<text>", weights: Weights | None = None) -> Module:
    """Read one module; raises `CompileError` with every fault found and carets into the text.

    `weights` holds the arrays of a sidecar by hash; a trailer in the text itself is found by itself.
    """
    version = _VERSION.match(text)
    if version and int(version[1]) > FORMAT_VERSION:
        message = f"the text has format {version[1]}; this tool reads up to {FORMAT_VERSION}"
        raise CompileError(Diagnostic("PARSE-VERSION", message, where=file))
    check_nesting(text, file, "PARSE-DEPTH")
    builder, lark = _parser().builder, _parser().lark
    builder.begin(text, file, weights or {})
    try:
        module = lark.parse(text)
    except UnexpectedInput as error:
        raise CompileError([*builder.found, syntax_error(error, text, file)]) from None
    found = builder.found
    builder.begin("", "", {})  # let go of the text and of its values
    found.raise_errors()
    assert isinstance(module, Module)
    return module


class Dict(dict[str, AttrValue]):
    """The entries of a `{…}`."""


class Constants(list[Any]):
    """Operands and tensors of a custom form, in order."""


class Regions(list[Graph]):
    """The regions of a generic form."""


class Signature(tuple[list[Token], list[Token]]):
    """Operand and result types of a generic form."""

    __slots__ = ()


@v_args(inline=True)
class _Builder(Literals):
    """One method a grammar rule; the state is that of one text."""

    def begin(self, text: str, file: str, weights: Weights) -> None:
        """Forget the last text."""
        self.reset(text, file)
        self.weights = weights
        self.environment: dict[str, Value] = {}
        self.blobs: dict[str, Token] = {}

    # ---- module, blocks, ops --------------------------------------------------------------------------------

    def start(self, module: Op | None, *blobs: None) -> Op | None:
        if not isinstance(module, Module):
            message = "the outermost op must be a module"
            self.found.add(Diagnostic("PARSE-MODULE", message, where=self.file))
            return None
        if self.blobs or self.weights:
            for op in module.walk():
                op.attributes = {k: self.filled(v) for k, v in op.attributes.items()}
                op.annotations = {k: self.filled(v) for k, v in op.annotations.items()}
        return module

    def module(self, name: Token, *rest: Any) -> Module:
        annotations = next((part for part in rest if isinstance(part, Dict)), Dict())
        body = next(part for part in rest if isinstance(part, Graph))
        loc = next((part for part in rest if not isinstance(part, (Dict, Graph))), self.position_of(name))
        plain_annotations = {k: plain(v) for k, v in annotations.items()}
        return Module(unquote(name[1:]), body, annotations=plain_annotations, loc=loc)

    def block(self, *ops: Op) -> Graph:
        return Graph(op for op in ops if op is not None)

    def custom(self, *parts: Any) -> Op | None:
        results, parts = split_results(parts)
        token: Token = parts[0]
        op_class = self.known(token, str(token))
        inputs: list[Token] = []
        tensors: list[Tensor] = []
        given: Dict = Dict()
        regions: list[Graph] = []
        types: list[Token] = []
        annotations, loc = Dict(), None
        for part in parts[1:]:
            match part:
                case Constants():
                    inputs = [p for p in part if isinstance(p, Token)]
                    tensors = [p for p in part if isinstance(p, Tensor)]
                case Meta():
                    annotations = part.entries
                case Dict():
                    given = part
                case Graph():
                    regions.append(part)
                case Token(type="TYPE"):
                    types.append(part)
                case Token(type="VALUE"):
                    inputs.append(part)
                case Tensor():
                    tensors.append(part)
                case _:
                    loc = part
        operands = [self.resolve(t) for t in inputs]
        if op_class is None:
            self.bind_unknown(results)
            return None
        attributes = self.complete(op_class, given, tensors, token)
        return self.finish(op_class, token, operands, attributes, regions, types, results, annotations, loc)

    def generic(self, *parts: Any) -> Op | None:
        results, parts = split_results(parts)
        token: Token = parts[0]
        op_class = self.known(token, str(token)[1:-1])
        inputs: list[Token] = []
        attributes, annotations, loc = Dict(), Dict(), None
        regions: list[Graph] = []
        inputs_types: list[Token] = []
        types: list[Token] = []
        for part in parts[1:]:
            match part:
                case Constants():
                    inputs = list(part)
                case Meta():
                    annotations = part.entries
                case Dict():
                    attributes = part
                case Regions():
                    regions = part
                case Signature():
                    inputs_types, types = part
                case _:
                    loc = part
        operands = [self.resolve(t) for t in inputs]
        self.check_signature(inputs, operands, inputs_types, token)
        if op_class is None:
            self.bind_unknown(results)
            return None
        fields = {f.name: f for f in op_class.fields}
        values = {k: self.as_field(fields.get(k), v, token) for k, v in attributes.items()}
        return self.finish(op_class, token, operands, values, regions, types, results, annotations, loc)

    def known(self, token: Token, name: str) -> type[Op] | None:
        """The op class, or a diagnostic with the nearest name."""
        op_class = lookup(name)
        if op_class is None:
            dialect = name.partition(".")[0]
            hint = did_you_mean(name, all_ops(), len(self.found))
            if dialect not in DIALECTS:
                hint = hint or f"known dialects: {', '.join(DIALECTS)}"
            self.fault("PARSE-UNKNOWN-OP", f"no op is called {name}", token, hint)
        return op_class

    def finish(
        self,
        op_class: type[Op],
        token: Token,
        operands: list[Value],
        attributes: dict[str, AttrValue],
        regions: Iterable[Graph],
        types: list[Token],
        results: list[Token],
        annotations: dict[str, AttrValue],
        loc: Location | None,
    ) -> Op:
        if len(results) != len(types):
            message = f"{len(results)} results are named but {len(types)} types are given"
            self.fault("PARSE-RESULTS", message, token)
        result_types = [self.type(t) for t in types]
        op = op_class.build(
            operands,
            attributes,
            regions,
            result_types,
            loc=loc or self.position_of(token),
            annotations={k: plain(v) for k, v in annotations.items()},
        )
        for name, value in zip(results, op.results, strict=False):
            self.define(name, value)
        return op

    def complete(self, op_class: type[Op], given: Dict, tensors: list[Tensor], token: Token) -> dict[str, AttrValue]:
        """The attributes of a custom form, with defaults filled in and in field order."""
        fields = [f for f in op_class.fields if f.role is Role.ATTR]
        positional = [f.name for f in fields if f.positional]
        if len(tensors) != len(positional):
            words = " and ".join(positional) or "no tensor"
            message = f"{op_class.op_name} takes {words} after its operands, found {len(tensors)} tensors"
            self.fault("PARSE-CONSTANTS", message, token)
        values: dict[str, AttrValue] = {**dict(zip(positional, tensors, strict=False)), **given}
        unknown = [name for name in values if name not in {f.name for f in fields}]
        for name in unknown:
            names = [f.name for f in fields]
            hint = did_you_mean(name, names, len(self.found)) or f"it has {', '.join(names) or 'none'}"
            self.fault("PARSE-UNKNOWN-ATTRIBUTE", f"{op_class.op_name} has no attribute {name}", token, hint)
        complete: dict[str, AttrValue] = {}
        for field in fields:
            if field.name in values:
                complete[field.name] = self.as_field(field, values[field.name], token)
            elif not field.required:
                complete[field.name] = field.default
            else:
                self.fault("PARSE-MISSING-ATTRIBUTE", f"{op_class.op_name} needs the attribute {field.name}", token)
        return complete

    def as_field(self, field: Field | None, value: AttrValue, token: Token) -> AttrValue:
        """A parsed value as the kind that its field wants; the verifier judges the rest."""
        if field is not None and isinstance(value, Word):
            converted = convert(field, value)
            if not isinstance(converted, Word):
                return converted
        return plain(value)

    def check_signature(self, names: list[Token], operands: list[Value], types: list[Token], token: Token) -> None:
        if len(names) != len(types):
            self.fault("PARSE-SIGNATURE", f"{len(names)} operands but {len(types)} operand types", token)
        for name, value, written in zip(names, operands, types, strict=False):
            if str(value.type) != written and value.owner is not _NOWHERE:
                self.fault("PARSE-SIGNATURE", f"{name} is a {value.type}, not a {written}", written)

    # ---- values ---------------------------------------------------------------------------------------------

    def resolve(self, token: Token) -> Value:
        """The value called so; an undefined one is reported and stood in for."""
        value = self.environment.get(str(token))
        if value is None:
            hint = did_you_mean(str(token), self.environment, len(self.found))
            self.fault("PARSE-UNDEFINED", f"{token} is not defined above", token, hint)
            value = self.environment[str(token)] = _stand_in()
        return value

    def define(self, token: Token, value: Value) -> None:
        earlier = self.environment.get(str(token))
        if earlier is not None and earlier.owner is not _NOWHERE:
            self.fault("PARSE-REDEFINED", f"{token} is defined twice", token)
        self.environment[str(token)] = value
        name = unquote(token[1:])
        value.name = None if token[1:].isdigit() else name

    def bind_unknown(self, results: list[Token]) -> None:
        for token in results:
            self.environment[str(token)] = _stand_in()

    def type(self, token: Token) -> TensorType:
        try:
            return TensorType.parse(str(token))
        except ValueError as error:
            self.fault("PARSE-TYPE", str(error), token, "for example tensor<?x14x14x16xsi8>")
            return TensorType((), F32)

    # ---- lists of things ------------------------------------------------------------------------------------

    def results(self, *tokens: Token) -> Results:
        return Results(tokens)

    def values(self, *tokens: Token) -> Constants:
        return Constants(tokens)

    custom_operands = values

    def types(self, *tokens: Token) -> list[Token]:
        return list(tokens)

    def inputs(self, types: Any = None) -> list[Token]:
        return types or []

    outputs = inputs

    def signature(self, inputs: list[Token], outputs: list[Token]) -> Signature:
        return Signature((inputs, outputs))

    def properties(self, entries: Dict) -> Dict:
        return entries

    def regions(self, *graphs: Graph) -> Regions:
        return Regions(graphs)

    def meta(self, entries: Dict) -> Meta:
        return Meta(entries)

    def entries(self, *entries: tuple[Token, AttrValue]) -> Dict:
        result = Dict()
        for name, value in entries:
            if name in result:
                self.fault("PARSE-DUPLICATE", f"{name} is given twice", name)
            result[str(name)] = value
        return result

    def entry(self, name: Token, value: Any) -> tuple[Token, AttrValue]:
        return name, unquote(value) if isinstance(value, Token) else value

    # ---- bytes of tensors ---------------------------------------------------------------------------------

    def blob(self, digest: Token, text: Token) -> None:
        self.blobs[digest.removeprefix("sha256:")] = text

    def filled(self, value: AttrValue) -> AttrValue:
        """An attribute with the bytes of its opaque tensors, where a trailer or sidecar has them."""
        if isinstance(value, tuple):
            return tuple(self.filled(v) for v in value)
        if not isinstance(value, Tensor) or not value.is_opaque:
            return value
        token = self.blobs.get(value.digest)
        try:
            if token is not None:
                return value.with_array(decode_blob(token[1:-1]))
            if value.digest in self.weights:
                return value.with_array(self.weights[value.digest])
        except (ValueError, EOFError, OSError) as error:
            diagnostic = Diagnostic("IR-WEIGHTS-HASH", f"wrong bytes: {error}", where=value.name)
            self.found.add(diagnostic)
        return value


class Results(tuple[Token, ...]):
    """The names on the left of `=`."""

    __slots__ = ()


class Meta:
    """The entries of a `meta {…}`."""

    __slots__ = ("entries",)

    def __init__(self, entries: Dict) -> None:
        self.entries = entries


class _Nowhere(Op, name="builtin.nowhere", results=0):
    """Owner of values that stand in for undefined ones; never part of a module."""


_NOWHERE = _Nowhere.build([], {}, [], [], loc=UNKNOWN)


def _stand_in() -> Value:
    """What stands for a value that is not known; its type is never compared."""
    return Value(TensorType((), F32), _NOWHERE, 0)


def split_results(parts: tuple[Any, ...]) -> tuple[list[Token], tuple[Any, ...]]:
    """The result names of an op, and the rest."""
    return ([*parts[0]], parts[1:]) if isinstance(parts[0], Results) else ([], parts)


class _Parser:
    """Lark's tables and the builder they call."""

    def __init__(self) -> None:
        grammar = (files("cnn2snn_ir.text") / "grammar.lark").read_text(encoding="utf-8")
        self.builder = _Builder()
        self.lark = Lark(grammar, parser="lalr", lexer="contextual", transformer=self.builder)


_LOCAL = threading.local()


def _parser() -> _Parser:
    """This thread's parser, built when first needed: the builder keeps state during a parse."""
    if not hasattr(_LOCAL, "parser"):
        _LOCAL.parser = _Parser()
    parser: _Parser = _LOCAL.parser
    return parser
