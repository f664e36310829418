"""What answers in OpenAI's formats have in common: the usage, and the frame of a stream's events."""

from collections.abc import Sequence

import msgspec

from llmos.engine.messages import TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int
    """Of the prompt's tokens, those whose work was done already, for an earlier request with the same beginning."""


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


def usage(answer: Answer) -> Usage:
    """Return what the answer has cost so far."""
    num_prompt, num_completion = answer.num_prompt_tokens, answer.num_completion_tokens
    details = PromptTokensDetails(answer.num_cached_tokens)
    return Usage(num_prompt, num_completion, num_prompt + num_completion, details)


def finite(logprob: float) -> float:
    """JSON has no infinity: a banned token's logprob is spelled as OpenAI does."""
    return max(logprob, -9999.0)


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobs(TopLogprob):
    top_logprobs: list[TopLogprob]


def token_logprobs(tokens: Sequence[TokenLogprob]) -> list[TokenLogprobs]:
    return [
        TokenLogprobs(
            token.text,
            finite(token.logprob),
            list(token.bytes),
            [TopLogprob(text, finite(logprob), list(raw)) for _, text, raw, logprob in token.top],
        )
        for token in tokens
    ]


class EventFrame:
    """What stays the same from one event of a stream to the next, spelled once: a choice goes between the two ends."""

    def __init__(self, answer: Answer, kind: str, *, wants_usage_event: bool) -> None:
        head = {
            "id": answer.id,
            "object": kind,
            "created": answer.created,
            "model": answer.served.ref,
            "system_fingerprint": answer.fingerprint,
        }
        self.opening = b"data: " + sse.encode(head)[:-1] + b',"choices":['
        self.closing = b'],"usage":null}\n\n' if wants_usage_event else b"]}\n\n"

    def usage_event(self, answer: Answer) -> bytes:
        """Return the event that comes last, without a choice."""
        return self.opening + b'],"usage":' + sse.encode(usage(answer)) + b"}\n\n"
