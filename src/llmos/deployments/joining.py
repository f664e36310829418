"""Joins deltas of an answer that wait for the same reader, which costs it as much as a single one."""

from collections.abc import Iterable, Iterator

from llmos.core.errors import LLMOSError
from llmos.engine.messages import Delta, Event
from llmos.engine.text.joining import join


def can_join(before: Delta, after: Delta) -> bool:
    """Return whether a delta can be joined to the one before it without changing the order of what they say."""
    if before.tool_calls or after.tool_calls or before.index != after.index:
        return False
    return not (after.reasoning and before.text)


def joined(events: Iterable[Event], max_tokens: int | None = None) -> Iterator[Event]:
    """Yield the events, with deltas that follow each other as one. An LLMOSError comes after what was before it.

    `max_tokens`: where a choice has so many, its deltas stay apart, so that a reader can end it there.
    """
    waiting: list[Delta] = []
    try:
        for event in events:
            if waiting and not (isinstance(event, Delta) and _goes_on(waiting[-1], event, max_tokens)):
                yield join(waiting)
                waiting = []
            if isinstance(event, Delta):
                waiting.append(event)
            else:
                yield event
    except LLMOSError:
        if waiting:
            yield join(waiting)
        raise
    if waiting:
        yield join(waiting)


def _goes_on(before: Delta, after: Delta, max_tokens: int | None) -> bool:
    is_within = max_tokens is None or before.num_output_tokens < max_tokens
    return is_within and before.finish_reason is None and can_join(before, after)
