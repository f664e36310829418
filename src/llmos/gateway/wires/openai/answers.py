"""Parts of answers that OpenAI's APIs share: log probabilities of answers, and of prompts as vLLM has them."""

from collections.abc import Sequence

import msgspec

from llmos.engine.messages import TokenLogprob, TokenScore
from llmos.gateway.calls.answer import Answer, finite


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


class PromptLogprob(msgspec.Struct):
    logprob: float
    rank: int
    """1 for the most likely token."""
    decoded_token: str


PromptLogprobs = list[dict[str, PromptLogprob] | None]
"""For each token of a prompt: the token itself and the most likely ones, by token id. null for the first token."""


def render_prompt_logprobs(answer: Answer, index: int, num_top: int | None) -> PromptLogprobs | msgspec.UnsetType:
    """Return the log probabilities of the prompt of a choice, with `num_top` of the most likely tokens.

    None: they aren't asked for. The answer must have been read.
    """
    if num_top is None:
        return msgspec.UNSET
    return [None, *(_prompt_logprob(token, num_top) for token in answer.prompt_scores(index).prompt)]


def _prompt_logprob(token: TokenScore, num_top: int) -> dict[str, PromptLogprob]:
    entries = {str(token.token_id): PromptLogprob(finite(token.logprob), token.rank, token.text)}
    for rank, (id, text, _, logprob) in enumerate(token.top[:num_top], 1):
        entries.setdefault(str(id), PromptLogprob(finite(logprob), rank, text))
    return entries
