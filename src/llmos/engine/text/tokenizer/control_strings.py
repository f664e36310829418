"""Tells the control strings in a user's messages from those that the chat template writes.

A marker, a character that occurs nowhere else, is put inside each control string of the messages. The template renders
them; the control strings in its output are then its own, and the markers are removed from the rest.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.text.json_strings import iter_strings


class ControlStringEscaper:
    def __init__(self, control: Iterable[str], template: str) -> None:
        """`control`: the control strings. `template`: the chat template's source."""
        longest_first = sorted(control, key=len, reverse=True)
        self._template = template
        self._any = re.compile(f"({_any_of(longest_first)})")
        # The lookahead also finds overlapping strings. A control string of one character has no inside for a marker.
        long_enough = [text for text in longest_first if len(text) > 1]
        self._first_characters = re.compile(f"(?=(?:{_any_of(long_enough)}))(.)", re.DOTALL)

    def escape(self, messages: Any) -> tuple[Any, str | None]:
        """Return the messages with a marker inside each control string, and the marker (None: no control strings).

        Raises BadRequest for messages nested deeper than Python's recursion limit.
        """
        try:
            texts = list(iter_strings(messages))
        except RecursionError:
            raise BadRequest(
                "The messages are nested too deeply. Send a flatter structure.", param="messages"
            ) from None
        if not any(self._first_characters.search(text) for text in texts):
            return messages, None
        marker = self._unused_character(texts)
        return _map_strings(messages, lambda text: self._first_characters.sub(rf"\1{marker}", text)), marker

    def mark_end(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
        """Return the messages with a marker and a space after the content of the last one, and the marker."""
        marker = self._unused_character(iter_strings(messages))
        *before, last = messages
        return [*before, {**last, "content": f"{last['content']}{marker} "}], marker

    def split(self, prompt: str) -> list[str]:
        """Split a prompt into text, control string, text, …, text."""
        return self._any.split(prompt)

    def _unused_character(self, texts: Iterable[str]) -> str:
        """Return a character that occurs neither in the texts nor in the template."""
        used = set().union(self._template, *texts)
        # Private-use characters first, because no template treats them specially.
        return next(chr(code) for code in range(0xE000, 0x110000) if chr(code) not in used)


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts)) or "(?!)"  # (?!) never matches


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_map_strings(key, change): _map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    return value
