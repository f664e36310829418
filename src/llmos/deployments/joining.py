"""Joins deltas of an answer that wait for the same reader, which costs it as much as a single one."""

from collections.abc import Iterable, Iterator

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import Delta, Event


def can_join(before: Delta, after: Delta) -> bool:
    """Return whether a delta can be joined to the one before it without changing the order of what they say."""
    if before.tool_calls or after.tool_calls or before.index != after.index:
        return False
    return not (after.reasoning and before.text)


def join(deltas: list[Delta]) -> Delta:
    """Return several deltas of one choice as one."""
    if len(deltas) == 1:
        return deltas[0]
    # In one pass: most have a text and a token, and nothing else.
    texts, reasonings, ids, logprobs, num_cached = [], [], [], [], 0
    for each in deltas:
        texts.append(each.text)
        ids += each.token_ids
        if each.reasoning:
            reasonings.append(each.reasoning)
        if each.logprobs:
            logprobs += each.logprobs
        num_cached += each.num_cached_tokens
    return msgspec.structs.replace(
        deltas[-1],
        text="".join(texts),
        reasoning="".join(reasonings),
        token_ids=ids,
        logprobs=logprobs,
        num_cached_tokens=num_cached,
    )


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
