"""Set the control strings in a user's messages apart from those that the chat template writes.

A character that is nowhere else, the mark, goes inside each of the user's. Then the template renders, its own control
strings are found, and the mark comes out of what is left.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.text.json_strings import iter_strings


class ControlStringEscaper:
    def __init__(self, control: Iterable[str], template: str) -> None:
        longest_first = sorted(control, key=len, reverse=True)
        self._template = template
        self._written = re.compile(f"({_any_of(longest_first)})")
        # Looking ahead finds those that overlap, too. A control string of one character has no inside.
        long_enough = [text for text in longest_first if len(text) > 1]
        self._anywhere = re.compile(f"(?=(?:{_any_of(long_enough)}))(.)", re.DOTALL)

    def escape(self, messages: Any) -> tuple[Any, str | None]:
        """Return the messages with the mark inside each control string, and the mark: None where there was none.
        Raises BadRequest for messages nested deeper than Python goes."""
        try:
            texts = list(iter_strings(messages))
        except RecursionError:
            raise BadRequest("The messages are nested too deeply.", param="messages") from None
        if not any(self._anywhere.search(text) for text in texts):
            return messages, None
        mark = self._unused(texts)
        return _map_strings(messages, lambda text: self._anywhere.sub(rf"\1{mark}", text)), mark

    def mark_end(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
        """Return the messages with a mark and a space behind the last one's content, and the mark."""
        mark = self._unused(iter_strings(messages))
        *before, last = messages
        return [*before, {**last, "content": f"{last['content']}{mark} "}], mark

    def _unused(self, texts: Iterable[str]) -> str:
        """Return a character that is nowhere else."""
        used = set().union(self._template, *texts)
        # Private-use characters first: no template treats them in a way of its own.
        return next(chr(code) for code in range(0xE000, 0x110000) if chr(code) not in used)

    def split(self, prompt: str) -> list[str]:
        """Cut the prompt into text, control string, text, …, text."""
        return self._written.split(prompt)


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
