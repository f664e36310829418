"""Asserts that say what they compared, and are counted."""

import ast
from typing import Any

_MAX_CHARS = 300
NAMES = ("_llmos_counted", "_llmos_compared", "_llmos_left", "_llmos_right")
_SYMBOLS: dict[type, str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}


class Checks:
    """The number of asserts that were reached, and the names that the rewritten tests need."""

    def __init__(self) -> None:
        self.num_reached = 0

    def names(self) -> dict[str, Any]:
        return {NAMES[0]: self._count, NAMES[1]: _compared}

    def _count(self) -> None:
        self.num_reached += 1


class Rewriter(ast.NodeTransformer):
    """Counts asserts, and lets a comparison that is false show both sides."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        counted: ast.stmt = ast.Expr(_call(NAMES[0]))
        test, before = node.test, [counted]
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            left, right = NAMES[2:]
            before += [_assign(left, test.left), _assign(right, test.comparators[0])]
            compared = ast.Compare(_load(left), test.ops, [_load(right)])
            shown = _call(NAMES[1], _load(left), _load(right), ast.Constant(_SYMBOLS[type(test.ops[0])]))
            message = shown if node.msg is None else node.msg
            asserted = ast.Assert(compared, message)
        else:
            asserted = ast.Assert(test, node.msg)
        return [ast.fix_missing_locations(ast.copy_location(each, node)) for each in [*before, asserted]]


def brief(value: str) -> str:
    """Return a text of bounded length."""
    return value if len(value) <= _MAX_CHARS else f"{value[:_MAX_CHARS]}…"


def _compared(left: Any, right: Any, operator: str) -> str:
    if operator == "==":
        return f"got {brief(repr(left))}, expected {brief(repr(right))}"
    return f"{brief(repr(left))} {operator} {brief(repr(right))} is false"


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(name: str, *args: ast.expr) -> ast.expr:
    return ast.Call(_load(name), list(args), [])
