"""The table of mutation operators: what is planted in the place of a piece of syntax.

Each function takes a node of the tree and yields what may stand there instead.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Change = Callable[[ast.AST], Iterator[ast.AST]]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Pow: ast.Mult,
}
FUNCTIONS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "floor": "ceil",
    "ceil": "floor",
    "argmin": "argmax",
    "argmax": "argmin",
}
"""Functions and methods of Python and numpy, each with its opposite."""

UNORDERED = {"isinstance", "issubclass", "cast", "getattr", "setattr", "hasattr", "TypeVar", "zip", "print"}
"""Functions whose swapped arguments are a crash at once, or the same."""


def comparison(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Compare)
    for i, op in enumerate(node.ops):
        ops = [COMPARISONS[type(op)]() if i == j else old for j, old in enumerate(node.ops)]
        yield ast.Compare(node.left, ops, node.comparators)


def arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.BinOp)
    if any(isinstance(side, ast.JoinedStr) or is_text(side) or is_type(side) for side in (node.left, node.right)):
        return
    if isinstance(node.op, ast.FloorDiv):  # rounded up, not down
        yield ast.UnaryOp(ast.USub(), ast.BinOp(ast.UnaryOp(ast.USub(), node.left), node.op, node.right))
    elif type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)


def assignment(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.AugAssign)
    if type(node.op) in ARITHMETIC and not (isinstance(node.value, ast.JoinedStr) or is_text(node.value)):
        yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def integer(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Constant)
    if type(node.value) is int:
        yield ast.Constant(node.value + 1)
        if node.value > 0:
            yield ast.Constant(node.value - 1)


def boolean(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Constant)
    if type(node.value) is bool:
        yield ast.Constant(not node.value)


def default(node: ast.AST) -> Iterator[ast.AST]:
    """The default of a parameter; it is found by `sites`, which knows where a default stands."""
    yield from integer(node)
    yield from boolean(node)


def connective(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.BoolOp)
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def negation(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.UnaryOp)
    if isinstance(node.op, ast.Not) or (isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant)):
        yield node.operand


def opposite(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Call)
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield ast.Call(ast.Name(FUNCTIONS[node.func.id]), node.args, node.keywords)
    elif isinstance(node.func, ast.Attribute) and node.func.attr in FUNCTIONS:
        function = ast.Attribute(node.func.value, FUNCTIONS[node.func.attr])
        yield ast.Call(function, node.args, node.keywords)


def arguments(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Call)
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    starred = any(isinstance(a, ast.Starred) for a in node.args[:2])
    if len(node.args) < 2 or starred or name in UNORDERED or name in FUNCTIONS:
        return
    yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def piece(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Slice)
    one = ast.Constant(1)
    yield ast.Slice(one if node.lower is None else ast.BinOp(node.lower, ast.Add(), one), node.upper, node.step)
    if node.upper is not None:
        yield ast.Slice(node.lower, ast.BinOp(node.upper, ast.Sub(), one), node.step)


def value(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Return)
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value in (None, True)):
        yield ast.Return(ast.Constant(True if isinstance(node.value, ast.Compare | ast.BoolOp) else None))


def effect(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Expr | ast.Assign | ast.AugAssign)
    if isinstance(node, ast.Expr):
        removable = isinstance(node.value, ast.Call)
    elif isinstance(node, ast.Assign):
        removable = all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    else:
        removable = True
    if removable:
        yield ast.Pass()


def refusal(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.Raise)
    if node.exc is not None:
        yield ast.Pass()


def finding(node: ast.AST) -> Iterator[ast.AST]:
    """A diagnostic that a generator yields, left out; the generator stays one."""
    assert isinstance(node, ast.Expr)
    if isinstance(node.value, ast.Yield | ast.YieldFrom):
        yield ast.Expr(ast.YieldFrom(ast.Tuple([], ast.Load())))


def leaving(node: ast.AST) -> Iterator[ast.AST]:
    yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


@dataclass(frozen=True)
class Operator:
    """Where it applies, and what it makes of it."""

    name: str
    example: str
    nodes: tuple[type[ast.AST], ...]
    change: Change


OPERATORS = (
    Operator("comparison", "`<` ▶ `<=`, `==` ▶ `!=`, `in` ▶ `not in`", (ast.Compare,), comparison),
    Operator("arithmetic", "`+` ▶ `-`, `<<` ▶ `>>`, `//` rounded up", (ast.BinOp,), arithmetic),
    Operator("assignment", "`+=` ▶ `-=`", (ast.AugAssign,), assignment),
    Operator("integer", "`n` ▶ `n + 1` or `n - 1`", (ast.Constant,), integer),
    Operator("boolean", "`True` ▶ `False`", (ast.Constant,), boolean),
    Operator("default", "the default of a parameter, as the two above", (), default),
    Operator("connective", "`and` ▶ `or`", (ast.BoolOp,), connective),
    Operator("negation", "`not x` ▶ `x`, `-x` ▶ `x`", (ast.UnaryOp,), negation),
    Operator("opposite", "`min` ▶ `max`, `any` ▶ `all`, `floor` ▶ `ceil`", (ast.Call,), opposite),
    Operator("arguments", "`f(a, b)` ▶ `f(b, a)`", (ast.Call,), arguments),
    Operator("slice", "`a[i:j]` ▶ `a[i + 1:j]` or `a[i:j - 1]`", (ast.Slice,), piece),
    Operator("return", "`return x` ▶ `return None`", (ast.Return,), value),
    Operator("effect", "a call or an assignment to a part of an object, left out", (ast.Expr, ast.Assign), effect),
    Operator("refusal", "`raise …` left out", (ast.Raise,), refusal),
    Operator("finding", "`yield …` left out", (ast.Expr,), finding),
    Operator("leaving", "`break` ▶ `continue`", (ast.Break, ast.Continue), leaving),
)


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, int | float)


def is_type(node: ast.AST) -> bool:
    """`A` of `A | None`: our classes begin with a capital, but not constants."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return (name[:1].isupper() and not name.isupper()) or name in ("int", "float", "str", "list", "tuple", "dict")
