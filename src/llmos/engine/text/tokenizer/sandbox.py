"""The Jinja environment for untrusted chat templates: Jinja's immutable sandbox, which protects our objects, and limits
on time and memory.

    each loop iteration and macro call     checks the time, by code that is inserted into the syntax tree
    each operator, call and filter         checks its arguments before and its result after (limits.py)
    methods, filters (filters.py), names   are only those that templates need
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from llmos.engine.text.tokenizer.filters import FILTERS, limited
from llmos.engine.text.tokenizer.limits import (
    MAX_WIDTH,
    charge,
    check_format,
    check_length,
    check_power,
    check_product,
    check_replace,
    check_size,
    check_width,
    concat,
    output_too_large,
    tick,
)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment in which transformers renders templates, with limits."""

    concat = staticmethod(concat)
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
            finalize=_finalize,
            optimized=False,  # the optimizer would evaluate constants before the limits apply
            cache_size=0,
        )
        self.filters = dict(FILTERS)
        self.tests = {name: limited(test) for name, test in self.tests.items()}
        self.globals = {
            "range": self.globals["range"],  # the sandbox's own, at most 100,000
            "dict": _dict,
            "namespace": _Namespace,
            "cycler": self.globals["cycler"],
            "joiner": self.globals["joiner"],
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = _AddLimits().visit(super()._parse(source, name, filename))
        template.set_environment(self)
        return template  # type: ignore[no-any-return]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind):
                return attr in methods
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def format_within_limits(*args: Any, **kwargs: Any) -> str:
            check_format(value.__self__, "{", (*args, *kwargs.values()))
            return wrapped(*args, **kwargs)

        return format_within_limits

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        tick()
        for value in (*args, *kwargs.values()):
            check_size(value)
        _check_method(__obj, args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        charge(result)
        return result

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        tick()
        check_size(left)
        check_size(right)
        if operator == "*":
            check_product(left, right)
        elif operator == "**":
            check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            check_format(left, "%", (right,))
        result = super().call_binop(context, operator, left, right)
        charge(result)
        return result


# --- allowed methods


_METHODS: dict[type | tuple[type, ...], frozenset[str]] = {
    str: frozenset(
        """
        capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal isdigit
        isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition
        removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip
        swapcase title upper zfill
        """.split()  # noqa: SIM905 - a list to read
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    (list, tuple): frozenset({"copy", "count", "index"}),
    (int, float, bytes): frozenset({"is_integer"}),
}


def _check_method(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check a call of a string method whose result may be much larger than its arguments."""
    text, name = getattr(method, "__self__", None), getattr(method, "__name__", None)
    if not isinstance(text, str):
        check_size(text)
        return
    if name in ("center", "expandtabs", "ljust", "rjust", "zfill"):
        for value in (*args, *kwargs.values()):
            check_width(value)
    elif name == "replace":
        check_replace(text, *args)
    elif name == "join" and args and isinstance(args[0], list | tuple | str):
        check_length(len(text) * len(args[0]))
    elif name == "join":
        raise output_too_large()


# --- global names


class _Namespace(Namespace):
    """Jinja's namespace without names of Python internals, and without a repr of its contents."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        Namespace.__init__(self)
        for name, value in dict(*rest, **kwargs).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or name.startswith("_"):
            raise jinja2.TemplateError(f"a namespace cannot hold the name {name!r:.60}")
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _raise_exception(message: Any) -> None:
    raise jinja2.TemplateError(str(message))


def _strftime_now(pattern: str) -> str:
    if not isinstance(pattern, str) or len(pattern) > MAX_WIDTH or re.search(r"%[-_0^#]*\d", pattern):
        raise output_too_large()
    return datetime.now().strftime(pattern)


def _finalize(value: Any) -> Any:
    charge(check_size(value))
    return value


# --- limits in the syntax tree


class _AddLimits(NodeTransformer):
    """Insert a tick into everything that can repeat, and size checks before operators that Jinja doesn't intercept."""

    def _with_tick(self, node: nodes.For | nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_filter(nodes.Const(None, lineno=node.lineno), "_tick"), lineno=node.lineno))
        return node

    visit_For = visit_Macro = visit_CallBlock = visit_Block = _with_tick

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        node.expr = _size_checked(node.expr)
        for operand in node.ops:
            operand.expr = _size_checked(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            node.arg = _size_checked(node.arg)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:
        self.generic_visit(node)
        node.key = _size_checked(node.key)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_concat")


def _size_checked(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filter(node, "_size_checked")


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Generation(Extension):
    """{% generation %} marks the assistant's text for training. Here its body is plain text."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
