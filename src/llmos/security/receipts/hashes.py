"""The hashes in a receipt: what was sent, and what came back. Everybody who has both can compute them.

input    SHA-256 of the canonical JSON of the request's body; of its bytes if it isn't JSON, or has no canonical form
output   SHA-256 of the canonical JSON of the choices, in their order:
         [{"text": "…"}], with "reasoning" and "tool_calls": [{"name": "…", "arguments": {…}}] where a choice has them
vectors  SHA-256 of the vectors one after another, each number as a little-endian 32-bit float
scores   SHA-256 of the canonical JSON of the list of scores, in the order of the texts that were sent
logprobs SHA-256 of the canonical JSON of {"options": [[…], …]}, the log probabilities of each continuation's tokens,
         and "prompt": [null, …], those of the prompt's, where it is scored
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.canonical import canonical, sha256_of
from llmos.core.errors import BadRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The part of one choice that a caller got."""

    text: str
    reasoning: str = ""
    tool_calls: Sequence[tuple[str, str]] = ()
    """The name and the arguments, in JSON, of each call."""


def hash_of_body(body: bytes) -> dict[str, str]:
    try:
        return {"of": "json", "sha256": sha256_of(json.loads(body))}
    except (ValueError, RecursionError, BadRequest):
        return {"of": "bytes", "sha256": hashlib.sha256(body).hexdigest()}


def hash_of_choices(choices: Sequence[Choice]) -> dict[str, str]:
    return {"of": "choices", "sha256": sha256_of([_plain(choice) for choice in choices])}


def hash_of_vectors(vectors: Sequence[bytes]) -> dict[str, str]:
    return {"of": "vectors", "sha256": hashlib.sha256(b"".join(vectors)).hexdigest()}


def hash_of_scores(scores: Sequence[float]) -> dict[str, str]:
    return {"of": "scores", "sha256": sha256_of(list(scores))}


def hash_of_logprobs(options: Sequence[Sequence[float]], prompt: Sequence[float | None] | None) -> dict[str, str]:
    value = {"options": options} | ({} if prompt is None else {"prompt": prompt})
    return {"of": "logprobs", "sha256": sha256_of(value)}


def _plain(choice: Choice) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": _text(choice.text)}
    if choice.reasoning:
        plain["reasoning"] = _text(choice.reasoning)
    if choice.tool_calls:
        plain["tool_calls"] = [{"name": name, "arguments": _arguments(text)} for name, text in choice.tool_calls]
    return plain


def _arguments(text: str) -> Any:
    """Return the value of a call's arguments: some formats send it instead of the text. Otherwise the text itself."""
    try:
        value = json.loads(text or "{}")
        canonical(value)
    except (ValueError, RecursionError, BadRequest):
        return _text(text)
    return value


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()
