"""The filters for chat templates: the ones of Jinja's that templates need, each within limits."""

import json
from collections.abc import Callable
from functools import wraps
from itertools import islice
from types import GeneratorType
from typing import Any

import jinja2
from jinja2.filters import FILTERS as _JINJA

from llmos.engine.text.tokenizer.limits import (
    MAX_ITEMS,
    charge,
    check_format,
    check_length,
    check_replace,
    check_size,
    check_width,
    output_too_large,
    tick,
)


def limited(function: Any) -> Callable[..., Any]:
    """Return the filter or test with its arguments checked and its result charged."""

    @wraps(function)  # also copies the attribute by which Jinja passes the context
    def within_limits(*args: Any, **kwargs: Any) -> Any:
        tick()
        for value in (*args, *kwargs.values()):
            check_size(value)
        result = function(*args, **kwargs)
        charge(result)
        return result

    return within_limits


def _limit_items(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a limit on how many items it iterates over."""

    @wraps(function)
    def with_limit(*args: Any, **kwargs: Any) -> Any:
        return function(*(_to_list(value) if isinstance(value, GeneratorType) else value for value in args), **kwargs)

    return with_limit


def _limit_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a limit on its numeric arguments."""

    @wraps(function)
    def with_limit(value: Any, *args: Any, **kwargs: Any) -> Any:
        for number in (*args, *kwargs.values()):
            check_width(number)
        return function(value, *args, **kwargs)

    return with_limit


def _to_list(value: Any) -> list[Any]:
    items = list(islice(value, MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise output_too_large()
    check_size(items)
    return items


@wraps(_JINJA["join"])
def _join(context: Any, value: Any, d: Any = "", attribute: Any = None) -> Any:
    items = _to_list(value)
    check_length(len(items) * len(str(d)))
    return _JINJA["join"](context, items, d, attribute)


@wraps(_JINJA["replace"])
def _replace(context: Any, s: Any, old: Any, new: Any, count: Any = None) -> Any:
    check_replace(str(s), str(old), str(new))
    return _JINJA["replace"](context, s, old, new, count)


def _indent(s: Any, width: Any = 4, first: bool = False, blank: bool = False) -> Any:
    check_width(width)
    check_length((str(s).count("\n") + 1) * (len(width) if isinstance(width, str) else int(width)))
    return _JINJA["indent"](s, width, first, blank)


def _format(value: Any, *args: Any, **kwargs: Any) -> Any:
    check_format(str(value), "%", (*args, *kwargs.values()))
    return _JINJA["format"](value, *args, **kwargs)


@wraps(_JINJA["sum"])
def _sum(environment: Any, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    if not isinstance(start, int | float):
        raise jinja2.TemplateError("sum only adds numbers")
    return _JINJA["sum"](environment, iterable, attribute, start)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own escapes HTML, which models were not trained on.
    if indent is not None and not (isinstance(indent, int) and indent <= 16):
        raise jinja2.TemplateError("tojson indents by at most 16 spaces")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _concat(parts: list[Any]) -> str:
    """Concatenate the operands of the operator ~."""
    text = "".join([str(check_size(part)) for part in parts])
    charge(text)
    return text


_PLAIN = """
    abs attr capitalize count d default e escape first float int items last length lower map reject rejectattr safe
    select selectattr string title trim truncate upper urlencode wordcount
""".split()  # noqa: SIM905 - a list to read
_ITERATING = ["dictsort", "groupby", "max", "min", "reverse", "sort", "unique"]
_NUMERIC = ["batch", "center", "round", "slice"]

FILTERS: dict[str, Callable[..., Any]] = {
    **{name: limited(_JINJA[name]) for name in _PLAIN},
    **{name: limited(_limit_items(_JINJA[name])) for name in _ITERATING},
    **{name: limited(_limit_items(_limit_numbers(_JINJA[name]))) for name in _NUMERIC},
    "format": limited(_format),
    "indent": limited(_indent),
    "join": limited(_join),
    "list": limited(_to_list),
    "replace": limited(_replace),
    "sum": limited(_sum),
    "tojson": limited(_tojson),
    # Internal: _AddLimits inserts them into the syntax tree.
    "_tick": lambda _: tick(),
    "_size_checked": check_size,
    "_concat": _concat,
}
