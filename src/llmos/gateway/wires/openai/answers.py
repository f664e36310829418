"""Parts that the answers of OpenAI's APIs share: usage, log probabilities, and the frame of a stream's events."""

from collections.abc import Sequence

import msgspec

from llmos.engine.messages import TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int
    """The tokens of the prompt that were found in the prefix cache, from an earlier request with the same beginning."""


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


def usage(answer: Answer) -> Usage:
    """Return the tokens that the answer has used so far."""
    num_prompt, num_completion = answer.num_prompt_tokens, answer.num_completion_tokens
    details = PromptTokensDetails(answer.num_cached_tokens)
    return Usage(num_prompt, num_completion, num_prompt + num_completion, details)


def finite(logprob: float) -> float:
    """Return the log probability as JSON can represent it: -9999 for minus infinity, as OpenAI sends it."""
    return max(logprob, -9999.0)


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobs(TopLogprob):
    top_logprobs: list[TopLogprob]


def token_logprobs(tokens: Sequence[TokenLogprob]) -> list[TokenLogprobs]:
    """Return the log probabilities of tokens in OpenAI's chat format."""
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
    """The constant parts of a stream's events, encoded once. A choice goes between `opening` and `closing`."""

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
        """Return the last event, which has the usage and no choice."""
        return self.opening + b'],"usage":' + sse.encode(usage(answer)) + b"}\n\n"
