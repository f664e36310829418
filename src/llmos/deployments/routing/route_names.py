"""The names of routes. They are those that clients ask for, so more is allowed than in the names of models:
`Qwen/Qwen3-8B`, `llama3.1:8b`, `deepseek/deepseek-r1:free`.

`NAME:latest` is NAME, as for Ollama's clients, which add the tag to every name without one.
"""

import re

from llmos.core.errors import BadRequest

LATEST = ":latest"
MAX_LENGTH = 64

_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._+-]*(?:[/:][A-Za-z0-9][A-Za-z0-9._+-]*)*")
_RESERVED = ("weights", "history", "evidence", "rollout")
"""The last parts of paths below a route in the control API."""


def check_route_name(name: str) -> str:
    """Return the name without `:latest`. Raises BadRequest, with the rules, for an invalid one."""
    shortened = name.removesuffix(LATEST)
    if not _NAME.fullmatch(shortened) or len(shortened) > MAX_LENGTH:
        raise BadRequest(
            f"{name[:80]!r} is not a valid name for a route: use letters, digits and . _ - + , in parts joined by / or"
            f" : , such as gpt-4o, Qwen/Qwen3-8B or llama3.1:8b, and at most {MAX_LENGTH} characters.",
            param="name",
        )
    if "/" in shortened and shortened.rpartition("/")[2] in _RESERVED:
        raise BadRequest(
            f"{name[:80]!r} is not a valid name for a route: its last part can't be {' or '.join(_RESERVED)}.",
            param="name",
        )
    return shortened
