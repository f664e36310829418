"""Files of policies and of cases."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmos.core.errors import BadRequest

Verdict = Literal["allow", "flag", "redact", "block"]


class CaseLine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    text: str
    side: Literal["input", "output"] | None = None
    expect: Verdict | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A text to try a policy on."""

    number: int
    text: str
    side: str
    expect: Verdict | None = None
    """None: any verdict is right."""


def read_document(path: Path) -> dict[str, Any]:
    """Return the policy in a file. Raises BadRequest for one that is neither TOML nor JSON."""
    text = _read(path)
    try:
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{path} isn't a policy in {'JSON' if path.suffix == '.json' else 'TOML'}: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest(f"{path} isn't a policy: it must be an object with `input`, `output` or `both`.")
    return document


def read_cases(path: Path, side: str) -> Sequence[Case]:
    """Return the cases of a .jsonl file, or the text of another one as the only case. Raises BadRequest."""
    if side not in ("input", "output"):
        raise BadRequest(f"--side is {side!r}; it takes input or output.")
    text = _read(path)
    if path.suffix != ".jsonl":
        return [Case(number=1, text=text, side=side)]
    cases = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = msgspec.json.decode(line.encode(), type=CaseLine)
        except msgspec.MsgspecError as error:
            raise BadRequest(f"Line {number} of {path} isn't a case: {error}.") from None
        cases.append(Case(number=number, text=read.text, side=read.side or side, expect=read.expect))
    return cases


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} isn't text in UTF-8.") from None
