"""Messages: plural and select arguments of ICU's message format, whose branches are texts to translate.

{count, plural, one {# item} other {# items}}

The argument, its kind and the names of its branches are kept; the texts of the branches are translated one by one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HEAD = re.compile(r"\{\s*[\w.]{1,100}\s*,\s*(?:plural|selectordinal|select)\s*,\s*(?:offset:\d+\s*)?")
_BRANCH = re.compile(r"\s*(?:=\d+|[\w-]{1,100})\s*\{")
_END = re.compile(r"\s*\}")
_MAX_DEPTH = 32

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """A message, and the places of the texts of its branches."""

    start: int
    end: int
    branches: Sequence[Span]


def messages_in(text: str) -> Iterator[Message]:
    """Yield the outermost messages of a text. What only looks like one is left out."""
    position = 0
    while (head := _HEAD.search(text, position)) is not None:
        message = _read(text, head)
        if message is not None:
            yield message
        position = head.end() if message is None else message.end


def _read(text: str, head: re.Match[str]) -> Message | None:
    branches: list[Span] = []
    position = head.end()
    while (branch := _BRANCH.match(text, position)) is not None:
        end = _closing_brace(text, branch.end())
        if end is None:
            return None
        branches.append((branch.end(), end))
        position = end + 1
    end_match = _END.match(text, position)
    return Message(head.start(), end_match.end(), branches) if branches and end_match else None


def _closing_brace(text: str, start: int) -> int | None:
    """Return where the brace stands that closes the one before `start`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth < 0:
            return match.start()
        if depth > _MAX_DEPTH:
            return None
    return None
