"""Parts of answers that OpenAI's APIs share: log probabilities."""

from collections.abc import Sequence

import msgspec

from llmos.engine.messages import TokenLogprob
from llmos.gateway.http.answers import finite


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
