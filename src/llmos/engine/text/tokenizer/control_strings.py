"""Tells the control strings in a user's messages from those that the chat template writes.

A marker, a character that occurs nowhere else, is put inside each control string of the messages. The template renders
them; the control strings in its output are then its own, and the markers are removed from the rest.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.text.json_strings import iter_strings


class ControlStringEscaper:
    def __init__(self, control: Iterable[str], template: str) -> None:
        """`control`: the control strings. `template`: the chat template's source."""
        longest_first = sorted(control, key=len, reverse=True)
        self._template = template
        self._any = re.compile(f"({_any_of(longest_first)})")
        self._first_characters_of = lru_cache(8)(partial(_first_characters, longest_first))

    def escape(
        self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any], kept: frozenset[str] = frozenset()
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any], str | None]:
        """Return the messages and variables with a marker inside each control string, and the marker (None: there are
        no control strings). `kept`: strings that an assistant's messages may have.

        Raises BadRequest for messages nested deeper than Python's recursion limit.
        """
        everywhere, in_answers = self._first_characters_of(frozenset()), self._first_characters_of(kept)
        try:
            texts = list(iter_strings((messages, variables)))
        except RecursionError:
            raise BadRequest(
                "The messages are nested too deeply. Send a flatter structure.", param="messages"
            ) from None
        if not any(everywhere.search(text) for text in texts):
            return messages, variables, None
        marker = self.unused_character(texts)

        def escaped(value: Any, found: re.Pattern[str]) -> Any:
            return _map_strings(value, lambda text: found.sub(rf"\1{marker}", text))

        marked = [
            escaped(message, in_answers if message.get("role") == "assistant" else everywhere) for message in messages
        ]
        return marked, escaped(variables, everywhere), marker

    def mark_end(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
        """Return the messages with a marker and a space after the content of the last one, and the marker."""
        marker = self.unused_character(iter_strings(messages))
        *before, last = messages
        return [*before, {**last, "content": f"{last['content']}{marker} "}], marker

    def split(self, prompt: str) -> list[str]:
        """Split a prompt into text, control string, text, …, text."""
        return self._any.split(prompt)

    def unused_character(self, texts: Iterable[str]) -> str:
        """Return a character that occurs neither in the texts nor in the template."""
        used = set().union(self._template, *texts)
        # Private-use characters first, because no template treats them specially.
        return next(chr(code) for code in range(0xE000, 0x110000) if chr(code) not in used)


def _first_characters(control: Sequence[str], kept: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern for the first character of each control string but those that are kept."""
    # The lookahead also finds overlapping strings. A control string of one character has no inside for a marker.
    long_enough = [text for text in control if len(text) > 1 and text not in kept]
    return re.compile(f"(?=(?:{_any_of(long_enough)}))(.)", re.DOTALL)


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
