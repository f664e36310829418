"""The arguments of earlier calls, as chat templates take them."""

import json
import math
from collections.abc import Mapping
from typing import Any

from llmos.engine.text.json_strings import iter_strings


def read_arguments(text: str | dict[str, Any]) -> dict[str, Any] | str:
    """Return the arguments as an object; the text itself if templates could not write it as JSON again.

    That is so for arguments that were cut off, and for values that Python would change: half a surrogate pair, and
    numbers beyond a double.
    """
    if not isinstance(text, str):
        return text
    try:
        arguments = json.loads(text, parse_float=_finite)
        is_text = all(each.isascii() or each.encode() for each in iter_strings(arguments))
    except (ValueError, RecursionError):
        return text
    return arguments if isinstance(arguments, dict) and is_text else text


def write_arguments(arguments: Mapping[str, Any] | str) -> str:
    """Return arguments as read_arguments() returns them as text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("beyond a double")
    return value
