"""View code: the command, the curl and the Python that do what a page does."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Code:
    command: str
    curl: str
    python: str


def reading(command: str, path: str, python: str) -> Code:
    """Return the code of a page that shows what is at `path`. `python`: an expression with `client`."""
    return Code(command, f'curl "$LLMOS_ENDPOINT{path}" -H "Authorization: Bearer $LLMOS_API_KEY"', _program(python))


def changing(method: str, command: str, path: str, body: Mapping[str, Any] | None, python: str) -> Code:
    """Return the code of an action."""
    curl = f'curl -X {method} "$LLMOS_ENDPOINT{path}" -H "Authorization: Bearer $LLMOS_API_KEY"'
    if body is not None:
        curl += f" \\\n  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    return Code(command, curl, _program(python))


def _program(python: str) -> str:
    return f"from llmos import Client\n\nclient = Client()\n{python}"
