"""Where mutants can be planted: the program's own arithmetic and decisions, not its words.

Not mutated: text, type annotations, decorators, imports, `assert` (it states what always holds: a weaker one cannot
be told from it; `strict=` of a `zip` is one), `copy=False` (it saves time), `__repr__` and `__str__`, and what stands
inside the making of a message.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .operators import OPERATORS

MESSAGES = {"fail", "Diagnostic", "CompileError", "Rule", "Span", "warn", "cast", "TypeVar", "NewType"}
"""Calls whose arguments are words for people, or for the type checker."""

NAMED = {"__repr__", "__str__", "__getattr__", "__dir__"}
"""Functions that are for people only."""

DECLARATIONS = (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr, ast.Global, ast.Nonlocal, ast.MatchValue)


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the bytes from `start` to `end` give way to `after`."""

    path: str
    line: int
    operator: str
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        """The mutated file."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()

    def fits(self, source: str) -> bool:
        """True if what the mutant changes still stands where it stood."""
        return source.encode()[self.start : self.end] == self.before.encode()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.operator}: {short(self.before)} ▶ {short(self.after)}"


def short(text: str, width: int = 90) -> str:
    """One line of code."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a file, in the order of the source; a few may say the same as the source: see `differs`."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    data, found = source.encode(), []
    for name, node, new in changes(ast.parse(source)):
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        before, after = data[start:end].decode(), written(new)
        found.append(Mutant(path, node.lineno, name, start, end, before, after))
    return found


def differs(mutant: Mutant, source: str) -> bool:
    """Whether Python reads another program."""
    return ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source))


def written(node: ast.AST) -> str:
    """As text that can stand where the old node stood, whatever stands around it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.YieldFrom):
        return "yield from ()"
    text = ast.unparse(ast.fix_missing_locations(node))
    whole = isinstance(node, ast.stmt | ast.Constant | ast.Name | ast.Call | ast.Attribute | ast.Slice)
    return text if whole else f"({text})"


def changes(tree: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Operator, node, what takes its place."""
    for node, is_default in reachable(tree, False):
        for operator in OPERATORS:
            applies = operator.name == "default" if is_default else isinstance(node, operator.nodes)
            if applies:
                for new in operator.change(node):
                    yield operator.name, node, new


def reachable(node: ast.AST, is_default: bool) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes that may change, and whether each is the default of a parameter."""
    if isinstance(node, DECLARATIONS) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
        return
    if isinstance(node, ast.FunctionDef):
        if node.name in NAMED:
            return
        for value in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            if isinstance(value, ast.Constant):
                yield value, True
        children = node.body
    elif isinstance(node, ast.ClassDef):
        children = node.body
    elif isinstance(node, ast.AnnAssign):
        children = [node.value] if node.value is not None else []
    elif isinstance(node, ast.keyword) and node.arg in ("strict", "copy") and isinstance(node.value, ast.Constant):
        if node.arg == "strict" or node.value.value is False:
            return
        children = [node.value]
    elif isinstance(node, ast.Raise):
        yield node, False
        return
    elif isinstance(node, ast.Call) and called(node) in MESSAGES:
        return
    else:
        if hasattr(node, "lineno") or isinstance(node, ast.Slice):
            yield node, False
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from reachable(child, False)


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
