"""The text of pipelines: names resolved to passes and named pipelines, with carets for what stands for nothing.

parse_pipeline("canonicalize, qnn.block(fold-scales)")
▶ Pipeline("builtin.module", (Canonicalize(), Pipeline("qnn.block", (FoldScales(),))))
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput

from cnn2snn_ir.diagnostics import CompileError, Diagnostic, Diagnostics, Span
from cnn2snn_ir.dialects import all_ops
from cnn2snn_ir.ir import Role
from cnn2snn_ir.passes import registry
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.options import Option, OptionText, Word, options_of
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.text.nesting import check_nesting
from cnn2snn_ir.text.syntax_errors import syntax_error


@cache
def _lark() -> Lark:
    grammar = files("cnn2snn_ir.passes").joinpath("pipeline.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=False)


def anchor_ops() -> list[str]:
    """The ops that a pipeline can be anchored on: those that hold other ops."""
    return [name for name, op in all_ops().items() if any(f.role is Role.REGION for f in op.fields)]


class Resolver:
    """Finds what the names of one pipeline text stand for, and collects what stands for nothing."""

    def __init__(self, text: str, file: str, inside: tuple[str, ...] = ()) -> None:
        self.text = text
        self.file = file
        self.inside = inside  # the named pipelines being expanded
        self.found = Diagnostics()

    def pipeline(self) -> Pipeline:
        check_nesting(self.text, self.file, "PIPELINE-DEPTH")
        try:
            tree = _lark().parse(self.text)
        except UnexpectedInput as error:
            raise CompileError(syntax_error(error, self.text, self.file, "PIPELINE-SYNTAX")) from None
        items = _items(tree)
        if len(items) == 1 and _name(items[0]) == MODULE and (nested := _part(items[0], "nested")) is not None:
            items = _items(nested)
        return Pipeline(MODULE, tuple(self.resolve(items, MODULE)))

    def resolve(self, items: Iterable[Tree[Token]], anchor: str) -> Iterator[Pass | Pipeline]:
        for item in items:
            name, options, nested = _name(item), _part(item, "options"), _part(item, "nested")
            if nested is not None:
                yield from self.nested(name, options, nested, anchor)
            elif str(name) in registry.PIPELINES and options is None:
                yield from self.named(name, anchor)
            elif (pass_class := registry.find_pass(str(name))) is not None:
                yield from self.a_pass(pass_class, name, options, anchor)
            else:
                self.unknown_item(name)

    # ---- the three kinds of items ---------------------------------------------------------------------------

    def nested(
        self, name: Token, options: Tree[Token] | None, nested: Tree[Token], anchor: str
    ) -> Iterator[Pass | Pipeline]:
        if str(name) not in anchor_ops():
            near = nearest(str(name), anchor_ops())
            self.fault("PIPELINE-OP", f"{name} holds no other ops", name, help=near, allowed=", ".join(anchor_ops()))
        elif str(name) == MODULE:
            self.fault("PIPELINE-OP", f"{MODULE} stands outermost", name, found=f"inside {anchor}")
        elif options is not None:
            self.fault("PIPELINE-OP", "an op has no options", name)
        else:
            yield Pipeline(str(name), tuple(self.resolve(_items(nested), str(name))))

    def named(self, name: Token, anchor: str) -> Iterator[Pass | Pipeline]:
        if str(name) in self.inside:
            self.fault("PIPELINE-CYCLE", f"{name} contains itself", name, found=" ▶ ".join((*self.inside, str(name))))
            return
        if anchor != MODULE:
            self.fault("PIPELINE-ANCHOR", f"{name} runs on {MODULE}", name, found=f"inside {anchor}")
            return
        named = registry.find_pipeline(str(name))
        if isinstance(named, Pipeline):
            yield from named.items
            return
        inner = Resolver(named, f"<{name}>", (*self.inside, str(name)))
        yield from inner.pipeline().items
        self.found.extend(inner.found)

    def a_pass(self, pass_class: type[Pass], name: Token, options: Tree[Token] | None, anchor: str) -> Iterator[Pass]:
        if pass_class.anchors and anchor not in pass_class.anchors:
            allowed = ", ".join(pass_class.anchors)
            self.fault("PIPELINE-ANCHOR", f"{name} does not run on {anchor}", name, allowed=allowed)
            return
        values: dict[str, Any] = {}
        known = options_of(pass_class)
        for tree in options.children if options is not None else ():
            key, text = _option(tree)
            option = known.get(str(key))
            if option is None:
                self.unknown_option(name, key, known)
            elif option.field in values:
                self.fault("PIPELINE-OPTION", f"{key} is given twice", key)
            else:
                self.read(option, key, text, values)
        yield pass_class(**values)

    def read(self, option: Option, key: Token, text: OptionText, values: dict[str, Any]) -> None:
        try:
            values[option.field] = option.read(text)
        except ValueError:
            found = "no value" if text is None else "a list" if isinstance(text, tuple) else repr(str(text))
            self.fault("PIPELINE-VALUE", f"{key} cannot be that", key, found=found, allowed=option.allowed)

    # ---- faults ---------------------------------------------------------------------------------------------

    def unknown_item(self, name: Token) -> None:
        names = [*registry.pass_names(), *registry.PIPELINES]
        near = nearest(str(name), names)
        if str(name) in registry.PIPELINES:
            self.fault("PIPELINE-OPTION", f"{name} is a named pipeline and has no options", name)
        elif str(name) in anchor_ops():
            self.fault("PIPELINE-OP", f"{name} needs a pipeline", name, help=f"{name}(…)")
        else:
            self.fault("PIPELINE-PASS", f"no pass is called {name}", name, help=near or "--list-passes shows them all")

    def unknown_option(self, name: Token, key: Token, known: dict[str, Option]) -> None:
        allowed = ", ".join(known) or "none"
        message = f"{name} has no option {key}"
        self.fault("PIPELINE-OPTION", message, key, help=nearest(str(key), known), allowed=allowed)

    def fault(self, code: str, message: str, token: Token, found: str = "", allowed: str = "", help: str = "") -> None:
        span = Span(self.text, token.line or 1, token.column or 1, len(token), self.file)
        self.found.add(Diagnostic(code, message, where=self.file, found=found, allowed=allowed, help=help, span=span))


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean …?`, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(names), 1)
    return f"did you mean {near[0]}?" if near else ""


# ---- reading Lark's trees --------------------------------------------------------------------------------------


def _items(tree: Tree[Token]) -> list[Tree[Token]]:
    return [
        item for items in tree.children if isinstance(items, Tree) for item in items.children if isinstance(item, Tree)
    ]


def _name(item: Tree[Token]) -> Token:
    name = item.children[0]
    assert isinstance(name, Token)
    return name


def _part(item: Tree[Token], rule: str) -> Tree[Token] | None:
    return next((c for c in item.children if isinstance(c, Tree) and c.data == rule), None)


def _option(tree: Any) -> tuple[Token, OptionText]:
    key, *value = tree.children
    if not value:
        return key, None
    if value[0].data == "list":
        return key, tuple(_text(item) for item in value[0].children)
    return key, _text(value[0])


def _text(tree: Any) -> str:
    token = tree.children[0]
    return str(json.loads(token)) if token.type == "STRING" else Word(token)
