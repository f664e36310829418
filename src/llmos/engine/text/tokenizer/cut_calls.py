"""Calls whose arguments are no JSON object, because the answer was cut off: templates write objects, so they get one
that stands for the text, and the text takes its place in the prompt."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmos.engine.text.json_strings import iter_strings

Messages = Sequence[Mapping[str, Any]]


def mark_cut_calls(
    messages: Messages, unused_character: Callable[[Iterable[str]], str]
) -> tuple[Messages, Callable[[str], str]]:
    """Return the messages with an object for each cut text, and what puts the texts into the rendered prompt.

    `unused_character` returns a character that is not in the texts that it gets.
    """
    texts: list[str] = []
    marker = ""
    marked = []
    for message in messages:
        calls = message.get("tool_calls") or ()
        if any(isinstance(call["function"].get("arguments"), str) for call in calls):
            marker = marker or unused_character(iter_strings(messages))
            message = {**message, "tool_calls": [_mark(call, marker, texts) for call in calls]}
        marked.append(message)
    if not texts:
        return messages, lambda prompt: prompt
    # A template that doesn't write JSON writes the key and the value in a form of its own.
    written = re.compile(rf'\{{\s*"?{marker}(\d+){marker}"?:\s*0\s*\}}|{marker}(\d+){marker}')
    return marked, lambda prompt: written.sub(lambda match: texts[int(match[1] or match[2])], prompt)


def _mark(call: Mapping[str, Any], marker: str, texts: list[str]) -> Mapping[str, Any]:
    function = call["function"]
    if not isinstance(function.get("arguments"), str):
        return call
    texts.append(function["arguments"])
    stand_in = {f"{marker}{len(texts) - 1}{marker}": 0}
    return {**call, "function": {**function, "arguments": stand_in}}
