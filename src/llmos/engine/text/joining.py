"""Joins deltas of one choice, which cost their reader as much as a single one."""

import msgspec

from llmos.engine.messages import Delta, TokenLogprob, ToolCallDelta


def join(deltas: list[Delta]) -> Delta:
    """Return consecutive deltas of one choice as one."""
    if len(deltas) == 1:
        return deltas[0]
    # In one pass: most have a text and a token, and nothing else.
    texts: list[str] = []
    reasonings: list[str] = []
    calls: list[ToolCallDelta] = []
    ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    num_cached_tokens, queued_micros = 0, 0
    for each in deltas:
        texts.append(each.text)
        ids += each.token_ids
        if each.reasoning:
            reasonings.append(each.reasoning)
        if each.tool_calls:
            calls += each.tool_calls
        if each.logprobs:
            logprobs += each.logprobs
        num_cached_tokens += each.num_cached_tokens
        queued_micros += each.queued_micros
    return msgspec.structs.replace(
        deltas[-1],
        text="".join(texts),
        reasoning="".join(reasonings),
        tool_calls=calls,
        token_ids=ids,
        logprobs=logprobs,
        num_cached_tokens=num_cached_tokens,
        queued_micros=queued_micros,
    )
