"""Conversations for chat templates that take fewer forms of them than we do.

Some templates reject two turns of one role in a row, some a system message in the middle, some every system message.
What such a template gets instead says the same: neighbours are merged, and the system's words go before the user's.
A conversation that begins with the assistant, who greets or whose question was cut off, gets an empty turn before it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llmos.core.errors import BadRequest

Message = dict[str, Any]

SECONDS_TO_TRY = 1.0
"""After this much processor time no further form is tried: other requests wait for this thread."""

_NOTHING_SAID: Message = {"role": "user", "content": ""}

_BETWEEN = "\n\n"
"""The separator of the texts of merged messages."""


def encode_turns(
    messages: list[Message], encode: Callable[[Sequence[Message]], list[int]], *, takes_system: Callable[[], bool]
) -> list[int]:
    """Return the tokens of the conversation, in the first form that the template takes.

    `takes_system` returns whether the template shows the model what a system message says; it is only called for
    conversations with one. Raises BadRequest where the template takes no form; the reason is that for the first one.
    """
    shows_system = not any(message.get("role") == "system" for message in messages) or takes_system()
    refusal: BadRequest | None = None
    began = time.thread_time()
    for form in _distinct(_forms(messages, shows_system=shows_system)):
        try:
            return encode(form)
        except BadRequest as error:
            refusal = refusal or error
            is_about_form = error.param == "messages"
            if not is_about_form or time.thread_time() - began > SECONDS_TO_TRY:
                break
    assert refusal is not None, "there is always one form"
    raise refusal


def _distinct(forms: Iterator[list[Message]]) -> Iterator[list[Message]]:
    before: list[list[Message]] = []
    for form in forms:
        if form not in before:
            before.append(form)
            yield form


def _forms(messages: list[Message], *, shows_system: bool) -> Iterator[list[Message]]:
    """Yield the conversation in every form, those that change least first."""
    if shows_system:
        yield messages
        yield _merged(messages)
        yield _merged([*messages[:1], *map(_as_user, messages[1:])])
    plain = _merged([*map(_as_user, messages)])
    yield plain
    # Templates with a role of its own for results want the assistant's turn after them.
    in_results = _with_words_in_results(plain)
    yield in_results
    if plain and plain[0]["role"] == "assistant":
        yield [_NOTHING_SAID, *plain]
        yield [_NOTHING_SAID, *in_results]


def _as_user(message: Message) -> Message:
    return {**message, "role": "user"} if message["role"] == "system" else message


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with neighbours of one role merged. Results of tools stay apart: each has its own call."""
    merged: list[Message] = []
    for message in messages:
        if merged and message["role"] == merged[-1]["role"] != "tool":
            merged[-1] = _join(merged[-1], message)
        else:
            merged.append(message)
    return merged


def _join(first: Message, second: Message) -> Message:
    joined = {**first, "content": _texts(first["content"], second["content"])}
    if "reasoning_content" in second:
        joined["reasoning_content"] = _texts(first.get("reasoning_content", ""), second["reasoning_content"])
    if "tool_calls" in second:
        joined["tool_calls"] = [*first.get("tool_calls", []), *second["tool_calls"]]
    return joined


def _with_words_in_results(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with a user's words after the results of tools as a part of the last result."""
    moved: list[Message] = []
    for message in messages:
        if moved and message["role"] == "user" and moved[-1]["role"] == "tool":
            moved[-1] = {**moved[-1], "content": _texts(moved[-1]["content"], message["content"])}
        else:
            moved.append(message)
    return moved


def _texts(*texts: str) -> str:
    return _BETWEEN.join(text for text in texts if text)
